//! An upstream that goes away behind a tool: where nothing is lost the tool goes on, where something may be it hears BYE.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::gateway::{Upstream, plain};
use crate::support::link::Link;
use crate::support::maildir;
use crate::support::stage::{ADDRESS, PASSWORD, ScriptedStage, Stage};
use crate::support::upstream::imap::{CAPABILITIES, Script};
use crate::support::wire::Wire;
use crate::support::{PATIENCE, wait_for};

/// The last word when a session cannot be carried on.
const LOST: &str = "* BYE [UNAVAILABLE] the mail server behind this mailbox went away, reconnect";

const VALIDITY: &str = "* OK [UIDVALIDITY 7] so";
const MODSEQ: &str = "* OK [HIGHESTMODSEQ 9] so";
/// What a search finds; `$` is its tag.
const FOUND: &str = "* ESEARCH (TAG \"$\") UID ALL 4:5";

/// A gateway that reaches Dovecot, with four messages, by a link.
struct Scene {
    stage: Stage,
    link: Link,
    token: String,
}

impl Scene {
    fn set(preset: &str) -> Self {
        let stage = Stage::reading(|dovecot| drop(maildir::seed(&dovecot.maildir(ADDRESS), 4, 0)));
        let link = Link::to(stage.dovecot.imaps);
        stage.gateway.manage_ok(&["mailbox", "remove", ADDRESS], b"");
        let upstream = Upstream { imap: link.port, smtp: None, starttls: false };
        stage.gateway.add_mailbox(ADDRESS, PASSWORD, upstream, &stage.ca).expect_ok("mailbox add");
        let tool = stage.gateway.add_tool("tool", ADDRESS, preset);
        let token = stage.gateway.token(&tool, ADDRESS);
        Self { stage, link, token }
    }

    fn session(&self) -> Wire {
        self.stage.gateway.imap_session(ADDRESS, &self.token)
    }

    /// A connection of somebody else's, past the gateway, with INBOX open.
    fn other(&self) -> Wire {
        let mut other = Wire::connect(self.stage.dovecot.imaps, &self.stage.ca.file());
        other.line();
        other.command_ok("a", &format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, PASSWORD)));
        other.command_ok("b", "SELECT INBOX");
        other
    }

    /// Removes a message, adds one, and flags one, while the tool is cut off.
    fn change(&self) {
        let mut other = self.other();
        other.command_ok("c", "UID STORE 2 +FLAGS.SILENT (\\Deleted)");
        other.command_ok("d", "UID EXPUNGE 2");
        other.command_ok("e", "UID STORE 3 +FLAGS.SILENT ($Later)");
        let message = "Subject: new\r\n\r\nnew\r\n";
        other.command_ok("f", &format!("APPEND INBOX {{{}+}}\r\n{message}", message.len()));
    }
}

fn go_idle(imap: &mut Wire) {
    imap.send("i IDLE\r\n");
    loop {
        let line = imap.line();
        if line.starts_with('+') {
            return;
        }
        assert!(line.starts_with("* "), "{line}");
    }
}

/// The messages in their places, as a tool knows them that takes what it is told: place and UID. A UID of 0 was not told yet.
fn follow(view: &mut Vec<u32>, lines: &[String]) {
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["*", number, "EXPUNGE"] => drop(view.remove(number.parse::<usize>().expect("a number") - 1)),
            ["*", number, "EXISTS"] => {
                let number = number.parse().expect("a number");
                assert!(number >= view.len(), "EXISTS may not remove: {line}");
                view.resize(number, 0);
            }
            ["*", "VANISHED", set] => {
                let gone: Vec<u32> = set.split(',').map(|uid| uid.parse().expect("single UIDs")).collect();
                view.retain(|uid| !gone.contains(uid));
            }
            _ => (),
        }
    }
}

/// The UIDs in their places, as the upstream tells them now.
fn places(imap: &mut Wire) -> Vec<u32> {
    let lines = imap.command_ok("u", "FETCH 1:* UID");
    let found: BTreeMap<u32, u32> = lines
        .iter()
        .filter_map(|line| {
            let (number, uid) = line.strip_prefix("* ")?.split_once(" FETCH (UID ")?;
            Some((number.parse().expect("a number"), uid.trim_end_matches(')').parse().expect("a UID")))
        })
        .collect();
    found.into_values().collect()
}

#[test]
fn a_session_with_no_folder_open_goes_on_behind_a_new_connection() {
    let scene = Scene::set("helpdesk");
    let mut imap = scene.session();
    imap.command_ok("a", "NOOP");
    let before = scene.link.count();
    scene.link.cut();
    scene.link.mend();
    wait_for("the login", PATIENCE, || (scene.link.count() > before).then_some(()));
    imap.command_ok("b", "LIST \"\" *");
    let told = imap.command_ok("c", "SELECT INBOX");
    assert!(told.contains(&"* 4 EXISTS".to_owned()), "{told:?}");
    // Out of IDLE a message may have gone that nobody may speak of.
    scene.link.cut();
    assert_eq!(imap.rest().expect("an end"), [LOST]);
}

#[test]
fn an_idle_tool_is_told_exactly_what_it_missed() {
    let scene = Scene::set("helpdesk");
    for (how, opening, enable) in [
        ("plain", "SELECT INBOX", None),
        ("read-only", "EXAMINE INBOX", None),
        ("CONDSTORE by a parameter", "SELECT INBOX (CONDSTORE)", None),
        ("CONDSTORE", "SELECT INBOX", Some("CONDSTORE")),
        ("QRESYNC", "SELECT INBOX", Some("QRESYNC")),
    ] {
        let mut other = scene.other();
        let first = places(&mut other);
        let mut imap = scene.session();
        if let Some(extension) = enable {
            imap.command_ok("e", &format!("ENABLE {extension}"));
        }
        imap.command_ok("a", opening);
        let mut view = places(&mut imap);
        assert_eq!(view, first);
        go_idle(&mut imap);
        scene.link.cut();
        let (gone, flagged) = (first[1], first[2]);
        other.command_ok("c", &format!("UID STORE {gone} +FLAGS.SILENT (\\Deleted)"));
        other.command_ok("d", &format!("UID EXPUNGE {gone}"));
        other.command_ok("e", &format!("UID STORE {flagged} +FLAGS.SILENT (later{flagged})"));
        let message = "Subject: new\r\n\r\nnew\r\n";
        other.command_ok("f", &format!("APPEND INBOX {{{}+}}\r\n{message}", message.len()));
        scene.link.mend();
        imap.send("DONE\r\n");
        let told = imap.answer("i");
        assert!(told.last().is_some_and(|line| line.starts_with("i OK")), "{how}: {told:?}");
        let expected = if how == "QRESYNC" { format!("* VANISHED {gone}") } else { "* 2 EXPUNGE".to_owned() };
        assert_eq!(told.iter().filter(|line| **line == expected).count(), 1, "{how}: {told:?}");
        assert_eq!(told.iter().filter(|line| line.ends_with("EXISTS")).count(), 1, "{how}: {told:?}");
        let flags = told.iter().find(|line| line.contains(&format!("later{flagged})")) && line.contains("FETCH"));
        let flags = flags.unwrap_or_else(|| panic!("{how}: no flags: {told:?}"));
        assert!(flags.starts_with("* 2 FETCH") && flags.contains(&format!("UID {flagged}")), "{how}: {flags}");
        let knows_modseq = how.contains("CONDSTORE") || how == "QRESYNC";
        assert_eq!(told.iter().any(|line| line.contains("MODSEQ")), knows_modseq, "{how}: {told:?}");
        follow(&mut view, &told);
        let now = places(&mut imap);
        assert_eq!(view.len(), now.len(), "{how}: {told:?}");
        assert!(view.iter().zip(&now).all(|(told, now)| *told == 0 || told == now), "{how}: {view:?} is not {now:?}");
        let stored = imap.command("s", "STORE 1 +FLAGS (\\Answered)");
        let is_refused = stored.iter().any(|line| line.contains("read-only"));
        assert_eq!(is_refused, how == "read-only", "{how}: {stored:?}");
        // What it had switched on is on again.
        let (gone, flagged) = (now[2], now[0]);
        other.command_ok("g", &format!("UID STORE {gone} +FLAGS.SILENT (\\Deleted)"));
        other.command_ok("h", &format!("UID EXPUNGE {gone}"));
        other.command_ok("i", &format!("UID STORE {flagged} +FLAGS.SILENT (again{gone})"));
        other.command_ok("j", &format!("APPEND INBOX {{{}+}}\r\n{message}", message.len()));
        let told = imap.command_ok("n", "NOOP");
        let expected = if how == "QRESYNC" { format!("* VANISHED {gone}") } else { "* 3 EXPUNGE".to_owned() };
        assert!(told.contains(&expected), "{how}: {told:?}");
        let flags = told.iter().find(|line| line.contains(&format!("again{gone})")) && line.contains("FETCH"));
        let flags = flags.unwrap_or_else(|| panic!("{how}: no flags: {told:?}"));
        assert_eq!(flags.contains("MODSEQ"), knows_modseq, "{how}: {flags}");
        imap.command_ok("z", "LOGOUT");
    }
}

#[test]
fn a_tool_that_slept_through_a_cut_sees_nothing_of_it() {
    let scene = Scene::set("backup");
    let mut imap = scene.session();
    imap.command_ok("a", "EXAMINE INBOX");
    go_idle(&mut imap);
    for _ in 0..2 {
        let before = scene.link.count();
        scene.link.cut();
        scene.link.mend();
        wait_for("the login", PATIENCE, || (scene.link.count() > before).then_some(()));
    }
    scene.change();
    let mut told = Vec::new();
    while !(told.contains(&"* 2 EXPUNGE".to_owned()) && told.contains(&"* 4 EXISTS".to_owned())) {
        told.push(imap.line());
    }
    imap.send("DONE\r\n");
    assert!(imap.answer("i").last().is_some_and(|line| line.starts_with("i OK")));
}

#[test]
fn im_12_an_idle_that_is_begun_anew_upstream_is_one_to_the_tool() {
    let stage = ScriptedStage::set_with(|gateway| {
        gateway.edit_config("[upstream]", "[gateway]\nidle_renewal_secs = 1\n[upstream]")
    });
    let token = stage.token("backup");
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    // With each end comes a message.
    stage.upstream.plays(Script::answering(move |peer, command| {
        command.is("IDLE") && peer.say(&["+ idling"]) && peer.line().is_some_and(|line| line == b"DONE") && {
            let number = count.fetch_add(1, Ordering::SeqCst) + 2;
            peer.say(&[&format!("* {number} EXISTS"), &format!("{} OK done", command.tag)])
        }
    }));
    let mut imap = stage.session(&token);
    imap.send("i IDLE\r\n");
    let begun = || stage.upstream.heard().iter().filter(|command| command.is("IDLE")).count();
    wait_for("three of them", PATIENCE, || (begun() >= 3).then_some(()));
    imap.send("DONE\r\n");
    let heard = imap.answer("i");
    let messages = (2..ended.load(Ordering::SeqCst) + 2).map(|number| format!("* {number} EXISTS"));
    let expected: Vec<String> =
        ["+ idling".to_owned()].into_iter().chain(messages).chain(["i OK done".to_owned()]).collect();
    assert_eq!(heard, expected);
}

#[test]
fn a_message_that_came_in_idle_is_known_by_its_uid_soon_after() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    let idles = AtomicUsize::new(0);
    stage.upstream.plays(Script {
        capabilities: format!("{CAPABILITIES} ENABLE CONDSTORE ESEARCH"),
        ..Script::answering(move |peer, command| {
            let (so_far, done) = (idles.load(Ordering::SeqCst), format!("{} OK done", command.tag));
            if command.is("EXAMINE") {
                let exists = if so_far == 0 { "* 2 EXISTS" } else { "* 3 EXISTS" };
                return peer.say(&[exists, VALIDITY, MODSEQ, &done]);
            }
            if command.is("UID SEARCH") {
                let uids = if so_far == 0 { "4:5" } else { "4:6" };
                return peer.say(&[&format!("* ESEARCH (TAG \"{}\") UID ALL {uids}", command.tag), &done]);
            }
            if !command.is("IDLE") {
                return false;
            }
            idles.fetch_add(1, Ordering::SeqCst);
            match so_far {
                0 => peer.say(&["+ idling", "* 3 EXISTS"]) && peer.line().is_some() && peer.say(&[&done]),
                1 => {
                    peer.say(&["+ idling"]);
                    peer.close();
                    true
                }
                _ => false,
            }
        })
    });
    let mut imap = stage.gateway.imap_session(ADDRESS, &token);
    imap.command_ok("a", "EXAMINE INBOX");
    imap.send("i IDLE\r\n");
    let begun = || stage.upstream.heard().iter().filter(|command| command.is("IDLE")).count();
    wait_for("IDLE on another connection", PATIENCE, || (begun() == 3).then_some(()));
    imap.send("DONE\r\n");
    assert_eq!(imap.answer("i"), ["+ idling", "* 3 EXISTS", "i OK done"]);
}

#[test]
fn a_folder_of_another_uidvalidity_ends_the_session() {
    let scene = Scene::set("backup");
    let mut imap = scene.session();
    imap.command_ok("a", "EXAMINE INBOX");
    go_idle(&mut imap);
    scene.link.cut();
    let maildir = scene.stage.maildir();
    for entry in std::fs::read_dir(&maildir).expect("read the Maildir") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("dovecot")) {
            std::fs::remove_file(path).expect("remove an index");
        }
    }
    let lists = maildir.join("dovecot-uidlist");
    std::fs::write(&lists, "3 V77 N5 G0123456789abcdef0123456789abcdef\n").expect("write the list of UIDs");
    crate::support::give_to_mail_user(&lists);
    scene.link.mend();
    let told = imap.rest().expect("an end");
    assert!(told.last().is_some_and(|line| line == LOST), "{told:?}");
    assert!(!told.iter().any(|line| line.contains("EXPUNGE") || line.contains("EXISTS")), "{told:?}");
}

#[test]
fn a_refused_credential_ends_the_session_at_once() {
    let scene = Scene::set("backup");
    let mut imap = scene.session();
    imap.command_ok("a", "NOOP");
    scene.stage.dovecot.set_password(ADDRESS, "another");
    let before = scene.link.count();
    scene.link.cut();
    scene.link.mend();
    assert_eq!(imap.rest().expect("an end"), [LOST]);
    assert_eq!(scene.link.count(), before + 1, "it was asked once");
}

#[test]
fn a_session_that_waits_for_its_upstream_can_be_killed() {
    let scene = Scene::set("backup");
    let mut imap = scene.session();
    imap.command_ok("a", "EXAMINE INBOX");
    go_idle(&mut imap);
    scene.link.cut();
    wait_for("a login in vain", PATIENCE, || (scene.link.turned_away() > 0).then_some(()));
    scene.stage.gateway.manage_ok(&["session", "kill", "--mailbox", ADDRESS], b"");
    assert_eq!(imap.rest().expect("an end"), ["* BYE [CONTACTADMIN] access revoked"]);
}

/// What a scripted upstream says to commands that begin with a word; `$` is the command's tag.
type Said = &'static [(&'static str, &'static [&'static str])];

/// An upstream with one folder of these UIDs; on later connections, other things are said.
fn scripted(idle: &'static [&'static str], later: Said) -> [Script; 2] {
    let capabilities = format!("{CAPABILITIES} ENABLE CONDSTORE ESEARCH");
    let usual: Said = &[("EXAMINE", &["* 2 EXISTS", VALIDITY, MODSEQ]), ("UID SEARCH", &[FOUND])];
    let script = |first: Said, idle: Option<&'static [&'static str]>| Script {
        capabilities: capabilities.clone(),
        ..Script::answering(move |peer, command| {
            if let (true, Some(lines)) = (command.is("IDLE"), idle) {
                peer.say(&["+ idling"]);
                peer.say(lines);
                peer.close();
                return true;
            }
            let Some((_, lines)) = first.iter().chain(usual).find(|(word, _)| command.is(word)) else {
                return false;
            };
            let lines: Vec<String> = lines.iter().map(|line| line.replace('$', &command.tag)).collect();
            peer.say(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            peer.say(&[&format!("{} OK done", command.tag)])
        })
    };
    [script(&[], Some(idle)), script(later, None)]
}

#[test]
fn im_06_what_an_upstream_says_on_its_return_is_checked() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    let cases: [(&str, &'static [&'static str], Said, bool); 12] = [
        ("as before", &[], &[], true),
        ("a message whose UID nobody told", &["* 3 EXISTS"], &[], false),
        ("an EXPUNGE of nothing", &["* 9 EXPUNGE"], &[], false),
        ("an EXISTS that removes", &["* 1 EXISTS"], &[], false),
        ("a word of nobody", &["* 1 EXP"], &[], true),
        ("an older state", &[], &[("EXAMINE", &["* 2 EXISTS", VALIDITY, "* OK [HIGHESTMODSEQ 8] so"])], false),
        ("no mod-sequences", &[], &[("EXAMINE", &["* 2 EXISTS", VALIDITY])], false),
        ("a UID between", &[], &[("UID SEARCH", &["* ESEARCH (TAG \"$\") UID ALL 3,5"])], false),
        ("another's search", &[], &[("UID SEARCH", &["* ESEARCH (TAG \"w1\") UID ALL 4:5"])], false),
        ("a tag of nobody", &[], &[("EXAMINE", &["w99 OK done", "* 2 EXISTS", VALIDITY, MODSEQ])], false),
        ("a continuation", &[], &[("UID SEARCH", &["+ go on", FOUND])], false),
        ("garbage", &[], &[("UID SEARCH", &["garbage", FOUND])], false),
    ];
    for (what, idle, later, goes_on) in cases {
        let [first, second] = scripted(idle, later);
        stage.upstream.plays(first);
        let mut imap = stage.gateway.imap_session(ADDRESS, &token);
        stage.upstream.plays(second);
        imap.command_ok("a", "EXAMINE INBOX");
        imap.send("i IDLE\r\nDONE\r\n");
        imap.patience(Duration::from_secs(60));
        let mut heard = Vec::new();
        while let Some(line) = imap.try_line().expect("an answer or an end") {
            let is_last = line.starts_with("i ");
            heard.push(line);
            if is_last {
                break;
            }
        }
        let last = heard.last().expect("a last word");
        assert_eq!(last.starts_with("i OK"), goes_on, "{what}: {heard:?}");
        assert!(goes_on || last == LOST, "{what}: {heard:?}");
        assert!(!heard.iter().any(|line| line.contains("w99") || line == "garbage"), "{what}: {heard:?}");
    }
}

#[test]
fn an_upstream_without_modsequences_cannot_be_resumed() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    // It tells which messages there are, and could not tell what of them has changed.
    stage.upstream.plays(Script {
        capabilities: format!("{CAPABILITIES} ESEARCH"),
        ..Script::answering(|peer, command| {
            if command.is("UID SEARCH") {
                let found = format!("* ESEARCH (TAG \"{}\") UID ALL 4", command.tag);
                return peer.say(&[&found, &format!("{} OK done", command.tag)]);
            }
            command.is("IDLE") && peer.say(&["+ idling"]) && {
                peer.close();
                true
            }
        })
    });
    let mut imap = stage.session(&token);
    imap.send("i IDLE\r\n");
    assert_eq!(imap.rest().expect("an end"), ["+ idling", LOST]);
}

#[test]
fn an_upstream_that_lets_in_and_hangs_up_is_not_asked_again_and_again() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    stage.upstream.plays(Script::answering(|peer, command| {
        command.is("NOOP") && peer.say(&[&format!("{} OK done", command.tag)]) && {
            peer.close();
            true
        }
    }));
    let mut imap = stage.gateway.imap_session(ADDRESS, &token);
    // The last thing that a login asks for.
    stage.upstream.plays(Script::answering(|peer, command| {
        let told = [format!("* CAPABILITY {CAPABILITIES}"), format!("{} OK done", command.tag)];
        command.is("CAPABILITY") && peer.say(&told.each_ref().map(String::as_str)) && {
            peer.close();
            true
        }
    }));
    let before = stage.upstream.logins();
    imap.command_ok("a", "NOOP");
    assert_eq!(imap.rest().expect("an end"), [LOST]);
    assert_eq!(stage.upstream.logins() - before, 3);
    // A tool that comes back is served when the upstream serves again.
    stage.upstream.plays(Script::default());
    stage.gateway.imap_session(ADDRESS, &token).command_ok("a", "NOOP");
}
