//! `grant explain --command` where budgets count: it says before a command what the wire then says to it, and asking takes nothing.

use serde_json::{Value, json};

use crate::support::gateway::{Gateway, Tool, plain};
use crate::support::pop3::Pop3;
use crate::support::smtp_upstream::Act;
use crate::support::stage::ADDRESS;
use crate::support::submission::{Both, say};
use crate::support::wire::Wire;
use crate::support::{PATIENCE, early_in_the_hour, wait_for};

/// A scene, and a tool with these budgets.
struct Asked {
    scene: Both,
    tool: Tool,
}

impl Asked {
    fn set(preset: &str, budgets: &[&str]) -> Self {
        let scene = Both::set(|_| Act::Well);
        let tool = scene.gateway.add_client("counted");
        let mut grant = vec!["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", preset];
        grant.extend(budgets.iter().flat_map(|budget| ["--budget", *budget]));
        scene.gateway.manage_ok(&grant, b"");
        Self { scene, tool }
    }

    fn gateway(&self) -> &Gateway {
        &self.scene.gateway
    }

    fn token(&self) -> String {
        self.gateway().token(&self.tool, ADDRESS)
    }

    fn explain(&self, args: &[&str]) -> Value {
        let args = [&["grant", "explain", "--format", "json"], args].concat();
        serde_json::from_str(&self.gateway().manage_ok(&args, b"")).expect("JSON")
    }

    fn now(&self, command: &str) -> Value {
        self.explain(&["--client", "counted", "--mailbox", ADDRESS, "--command", command])
    }

    /// What would be told of a command that passes: each limit that it counts on, as `what=used/limit/span`.
    #[track_caller]
    fn passes(&self, command: &str, budgets: &[&str]) {
        let told = self.now(command);
        assert_eq!((&told["permitted"], &told["rule"]), (&json!(true), &Value::Null), "{command}: {told}");
        assert_eq!(listed(&told), budgets, "{command}: {told}");
    }

    /// What would be told of a command that a budget refuses; gives the explanation.
    #[track_caller]
    fn fails(&self, command: &str, object: &str, budgets: &[&str]) -> Value {
        let told = self.now(command);
        assert_eq!((&told["permitted"], &told["rule"]), (&json!(false), &json!("budget")), "{command}: {told}");
        assert_eq!((&told["object"], listed(&told)), (&json!(object), owned(budgets)), "{command}: {told}");
        assert!(told["text"].as_str().is_some_and(|text| text.contains(object)), "{told}");
        told
    }

    /// The wire's refusal under this verdict says the same as was told before.
    #[track_caller]
    fn same(&self, told: &Value, refusal: &str) {
        let at = refusal.find("vrd_").unwrap_or_else(|| panic!("no verdict in {refusal:?}"));
        let verdict: String =
            refusal[at..].chars().take_while(|one| one.is_ascii_alphanumeric() || *one == '_').collect();
        let later = self.explain(&["--verdict", &verdict]);
        for name in [
            "permitted",
            "rule",
            "object",
            "text",
            "needs",
            "asked",
            "remedy",
            "command",
            "presets",
            "roles",
            "operators",
            "who",
        ] {
            assert_eq!(told[name], later[name], "{name}: {told}\n{later}");
        }
    }

    /// Does what an explanation proposes.
    fn paste(&self, told: &Value) {
        let line = told["command"].as_str().expect("a command");
        self.gateway().manage_ok(&line.split(' ').skip(1).collect::<Vec<_>>(), b"");
    }

    /// All that is counted and held.
    fn counters(&self) -> [i64; 4] {
        [
            "SELECT CAST(COALESCE(SUM(used), 0) AS BIGINT) FROM budget_uses",
            "SELECT COUNT(*) FROM budget_uses",
            "SELECT COUNT(*) FROM budget_folders",
            "SELECT COUNT(*) FROM session_seats",
        ]
        .map(|text| self.gateway().number(text))
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The limits of an explanation. What is left, and when a span ends, is looked at here.
fn listed(told: &Value) -> Vec<String> {
    let each = told["budgets"].as_array().expect("budgets").iter().map(|one| {
        let [limit, used, left] = ["limit", "used", "left"].map(|name| one[name].as_u64().expect("a number"));
        assert_eq!(left, limit.saturating_sub(used), "{one}");
        let what = one["what"].as_str().expect("a word");
        let Some(span) = one["span"].as_str() else {
            assert!(what == "sessions" && one["renewed_at"].is_null(), "{one}");
            return format!("{what}={used}/{limit}");
        };
        let (renewed, now) = (time(one["renewed_at"].as_str().expect("a time")), time::OffsetDateTime::now_utc());
        let length = if span == "hour" { time::Duration::HOUR } else { time::Duration::DAY };
        assert!(renewed > now && renewed <= now + length, "{one}");
        assert_eq!(renewed.unix_timestamp() % length.whole_seconds(), 0, "{one}");
        format!("{what}={used}/{limit}/{span}")
    });
    each.collect()
}

fn time(text: &str) -> time::OffsetDateTime {
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).expect("a time")
}

/// The last line of a refused IMAP command.
fn refused(imap: &mut Wire, command: &str) -> String {
    let answer = imap.command("no", command).pop().expect("an answer");
    assert!(answer.starts_with("no NO [LIMIT] "), "{command}: {answer}");
    answer
}

fn append(imap: &mut Wire, octets: usize) -> String {
    imap.send(format!("app APPEND INBOX {{{octets}+}}\r\nSubject: x\r\n\r\n{}\r\n", "x".repeat(octets - 14)));
    imap.answer("app").pop().expect("an answer")
}

#[test]
fn what_imap_would_hear_of_its_budgets_is_what_it_hears() {
    let budgets = ["folders=1/hour", "messages_read=1/hour", "messages_read=9/day", "bytes=2000/day"];
    let asked = Asked::set("archive", &budgets);
    early_in_the_hour();
    let mut filler = asked.gateway().imap_session(ADDRESS, &asked.scene.token);
    filler.command_ok("make", "CREATE Other");
    for _ in 0..3 {
        assert!(append(&mut filler, 100).starts_with("app OK"));
    }
    // Nothing was used, and nothing is counted on by what reads no content.
    asked.passes("EXAMINE INBOX", &["folders=0/1/hour"]);
    asked.passes("STATUS Other (MESSAGES)", &[]);
    asked.passes("FETCH 1 (FLAGS ENVELOPE)", &[]);
    asked.passes("FETCH 1 BODY[HEADER]", &["bytes=0/2000/day"]);
    asked.passes("FETCH 1 BODY[]", &["messages_read=0/1/hour", "messages_read=0/9/day", "bytes=0/2000/day"]);
    let mut imap = asked.gateway().imap_session(ADDRESS, &asked.token());
    imap.command_ok("a", "EXAMINE INBOX");
    // It was counted in this hour.
    asked.passes("EXAMINE inbox", &["folders=1/1/hour"]);
    imap.command_ok("b", "EXAMINE inbox");
    let told = asked.fails("EXAMINE Other", "folders=1/hour", &["folders=1/1/hour"]);
    asked.same(&told, &refused(&mut imap, "EXAMINE Other"));
    imap.command_ok("c", "EXAMINE INBOX");
    // The budget is used up, and what is proposed is enough.
    imap.command_ok("d", "FETCH 1 BODY.PEEK[TEXT]");
    let read = ["messages_read=1/1/hour", "messages_read=1/9/day"];
    let octets = listed(&asked.now("FETCH 1 BODY.PEEK[HEADER]"));
    let all: Vec<&str> = read.into_iter().chain(octets.iter().map(String::as_str)).collect();
    assert!(octets.len() == 1 && !octets[0].starts_with("bytes=0/"), "{octets:?}");
    for command in ["FETCH 1 BODY[]", "UID FETCH 1 BODY[1]"] {
        let told = asked.fails(command, "messages_read=1/hour", &all);
        assert!(told["remedy"].as_str().is_some_and(|text| text.contains("next hour")), "{told}");
        asked.same(&told, &refused(&mut imap, command));
    }
    imap.command_ok("e", "FETCH 1 BODY.PEEK[HEADER]");
    let told = asked.now("FETCH 1 BODY[]");
    assert!(told["command"].as_str().is_some_and(|line| line.ends_with("--budget=messages_read=2/hour")), "{told}");
    asked.paste(&told);
    assert_eq!(asked.now("FETCH 1 BODY[]")["permitted"], true);
    let mut imap = asked.gateway().imap_session(ADDRESS, &asked.token());
    imap.command_ok("f", "EXAMINE INBOX");
    imap.command_ok("g", "FETCH 1 BODY.PEEK[TEXT]");
    // A message that is too big for what is left.
    assert_eq!(asked.now("APPEND INBOX {100}")["permitted"], true);
    let told = asked.now("APPEND INBOX (\\Seen) {1990+}");
    assert_eq!((&told["rule"], &told["object"]), (&json!("budget"), &json!("bytes=2000/day")), "{told}");
    asked.same(&told, &append(&mut imap, 1990));
    asked.paste(&told);
    let mut imap = asked.gateway().imap_session(ADDRESS, &asked.token());
    assert!(append(&mut imap, 1990).starts_with("app OK"));
    // One that is too big for any budget, and one for a folder that is not there to be added to.
    assert_eq!(asked.now("APPEND INBOX {999999999}")["rule"], "size");
    // The table says the same.
    let args = ["grant", "explain", "--client", "counted", "--mailbox", ADDRESS, "--command", "FETCH 1 BODY[]"];
    let table = asked.gateway().manage_ok(&args, b"");
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.contains(&vec!["LEFT", "LIMIT", "RENEWED_AT", "SPAN", "USED", "WHAT"]), "{table}");
    assert!(
        lines
            .iter()
            .any(|line| line.len() == 6 && line[..2] == ["0", "2"] && line[3..] == ["hour", "2", "messages_read"]),
        "{table}"
    );
    assert!(table.lines().any(|line| line.starts_with("remedy ") && line.contains("raise the budget")), "{table}");
}

#[test]
fn what_submission_would_hear_of_its_budgets_is_what_it_hears() {
    let asked = Asked::set("marketing", &["recipients=1/hour", "messages_sent=1/day", "bytes=2000/day"]);
    early_in_the_hour();
    let (mail, rcpt) = (format!("MAIL FROM:<{ADDRESS}>"), "RCPT TO:<customer@else.test>");
    asked.passes(&mail, &["bytes=0/2000/day", "messages_sent=0/1/day"]);
    asked.passes(rcpt, &["recipients=0/1/hour"]);
    asked.passes("DATA", &["bytes=0/2000/day", "messages_sent=0/1/day"]);
    let mut smtp = Wire::connect(asked.gateway().port("smtps"), asked.gateway().ca_file());
    smtp.reply();
    say(&mut smtp, &format!("AUTH PLAIN {}", plain(ADDRESS, &asked.token())), "235");
    say(&mut smtp, &mail, "250");
    say(&mut smtp, rcpt, "250");
    let told = asked.fails(rcpt, "recipients=1/hour", &["recipients=1/1/hour"]);
    asked.same(&told, &say(&mut smtp, rcpt, "452 4.5.3")[0]);
    say(&mut smtp, "DATA", "354");
    say(&mut smtp, &format!("From: <{ADDRESS}>\r\n\r\nHello\r\n."), "250");
    asked.paste(&told);
    let mut smtp = Wire::connect(asked.gateway().port("smtps"), asked.gateway().ca_file());
    smtp.reply();
    say(&mut smtp, &format!("AUTH PLAIN {}", plain(ADDRESS, &asked.token())), "235");
    // The message that it begins could not be sent, and it says so; the wire refuses DATA.
    let told = asked.now(&mail);
    assert_eq!(told["permitted"], true, "{told}");
    assert_eq!(listed(&told)[1], "messages_sent=1/1/day");
    say(&mut smtp, &mail, "250");
    say(&mut smtp, rcpt, "250");
    let told = asked.now("data");
    assert_eq!((&told["rule"], &told["object"]), (&json!("budget"), &json!("messages_sent=1/day")), "{told}");
    assert!(told["remedy"].as_str().is_some_and(|text| text.contains("next day")), "{told}");
    asked.same(&told, &say(&mut smtp, "DATA", "450 4.7.1")[0]);
    // Who may not send is told that, and nothing of budgets.
    let reader = asked.gateway().add_tool("reader", ADDRESS, "backup");
    let told = asked.explain(&["--client", &reader.id, "--mailbox", ADDRESS, "--command", "DATA"]);
    assert_eq!((&told["rule"], &told["needs"], &told["budgets"]), (&json!("scope"), &json!("mail.send"), &json!([])));
}

#[test]
fn what_pop3_would_hear_of_its_budgets_is_what_it_hears() {
    let asked = Asked::set("backup", &["folders=1/day", "messages_read=1/day", "bytes=50/day"]);
    early_in_the_hour();
    let mut filler = asked.gateway().imap_session(ADDRESS, &asked.scene.token);
    for _ in 0..2 {
        assert!(append(&mut filler, 20).starts_with("app OK"));
    }
    asked.passes("STAT", &["folders=0/1/day"]);
    asked.passes("RETR 1", &["folders=0/1/day", "messages_read=0/1/day", "bytes=0/50/day"]);
    let mut pop3 = Pop3::session(asked.gateway(), ADDRESS, &asked.token());
    asked.passes("TOP 1 0", &["folders=1/1/day", "bytes=0/50/day"]);
    pop3.fetch("RETR 1");
    let told = asked.now("RETR 2");
    assert_eq!(told["object"], "messages_read=1/day", "{told}");
    asked.same(&told, &pop3.say("RETR 2", "-ERR [SYS/TEMP]"));
    while asked.now("TOP 1 0")["permitted"] == true {
        pop3.fetch("TOP 1 0");
    }
    let told = asked.now("TOP 1 0");
    asked.same(&told, &pop3.say("TOP 1 0", "-ERR [SYS/TEMP]"));
    // Two are short by now, and both are raised.
    let told = asked.now("RETR 2");
    let line = told["command"].as_str().expect("a command");
    assert!(line.contains("--budget=messages_read=2/day --budget=bytes=100/day"), "{line}");
    asked.paste(&told);
    assert_eq!(asked.now("RETR 2")["permitted"], true);
    Pop3::session(asked.gateway(), ADDRESS, &asked.token()).fetch("RETR 2");
}

#[test]
fn a_place_among_the_sessions_is_told_to_who_comes_and_kept_by_who_is_there() {
    let asked = Asked::set("backup", &["sessions=1"]);
    asked.passes("login", &["sessions=0/1"]);
    asked.passes("NOOP", &["sessions=0/1"]);
    let mut first = asked.gateway().imap_session(ADDRESS, &asked.token());
    asked.passes("NOOP", &["sessions=1/1"]);
    first.command_ok("a", "NOOP");
    let told = asked.fails("LOGIN", "sessions=1", &["sessions=1/1"]);
    assert!(told["remedy"].as_str().is_some_and(|text| text.contains("end one of")), "{told}");
    let log_in = || asked.gateway().imap().command("b", &format!("LOGIN {ADDRESS} {}", asked.token())).pop();
    let refusal = log_in().expect("an answer");
    assert!(refusal.starts_with("b NO [LIMIT]"), "{refusal}");
    asked.same(&told, &refusal);
    asked.paste(&told);
    asked.passes("login", &["sessions=1/2"]);
    first.command_ok("c", "LOGOUT");
    wait_for("the place", PATIENCE, || (listed(&asked.now("login")) == ["sessions=0/2"]).then_some(()));
    // Where there is none at all, nothing passes.
    let none = asked.gateway().add_client("none");
    let grant = ["grant", "add", "--client", &none.id, "--mailbox", ADDRESS, "--preset", "backup"];
    asked.gateway().manage_ok(&[&grant[..], &["--budget", "sessions=0"]].concat(), b"");
    for command in ["login", "NOOP"] {
        let told = asked.explain(&["--client", "none", "--mailbox", ADDRESS, "--command", command]);
        assert_eq!((&told["rule"], &told["object"]), (&json!("budget"), &json!("sessions=0")), "{command}: {told}");
    }
    // A password is no part of the question.
    assert_eq!(asked.now("LOGIN a b")["rule"], "never");
}

#[test]
fn asking_takes_nothing_of_a_budget_and_is_no_use_of_it() {
    let budgets = ["messages_read=1/hour", "folders=0/day", "bytes=1/day", "messages_sent=0/hour", "recipients=0/day"];
    let asked = Asked::set("full", &[&budgets[..], &["sessions=1", "on_exhausted=freeze"]].concat());
    let commands =
        ["EXAMINE INBOX", "FETCH 1 BODY[]", "APPEND INBOX {9}", "RETR 1", "DATA", "RCPT TO:<a@else.test>", "login"];
    let (before, told) = (asked.counters(), commands.map(|command| asked.now(command)));
    assert_eq!(told.each_ref().map(|one| one["permitted"] == true), [false, true, false, false, false, false, true]);
    assert_eq!(commands.map(|command| asked.now(command)), told, "the same again");
    assert_eq!(asked.counters(), before);
    let log = asked.gateway().audit();
    let told_of = |code: &str| log.iter().filter(|event| event["code"] == code).count();
    assert_eq!((told_of("budget.exhausted"), told_of("freeze.added")), (0, 0));
}
