//! An upstream that lies, babbles or floods: the tool never hears a false OK, and the gateway never holds more than a little.

use std::time::Duration;

use crate::support::gateway::{plain, xoauth2};
use crate::support::long_run;
use crate::support::stage::{ADDRESS, ScriptedStage};
use crate::support::upstream::imap::{CAPABILITIES, Command, Script};

/// How much more memory the server may take for a reply of any size, in KiB. The buffers of a session hold 256 KiB; the rest is the
/// allocator's.
const FLAT: u64 = 8 * 1024;

#[test]
fn im_06_an_answer_that_was_not_asked_for_is_never_taken_for_one() {
    let stage = ScriptedStage::set();
    let token = stage.token("helpdesk");
    for (what, said) in [
        ("a tag that was never sent", "w99 OK done\r\n"),
        ("the tool's own tag", "a OK done\r\n"),
        ("a continuation", "+ go on\r\n"),
        ("a line that is none", "garbage\r\n"),
        ("the end", "* BYE gone\r\n"),
        ("a bare LF", "* OK fine\n"),
        ("an old tag", "w9 OK done\r\n"),
    ] {
        stage.upstream.plays(Script::answering(move |peer, command| command.is("STORE") && peer.send(said)));
        let mut imap = stage.session(&token);
        imap.send("a STORE 1 +FLAGS (\\Seen)\r\n");
        let heard = imap.rest().unwrap_or_else(|error| panic!("{what}: the session hangs: {error}"));
        assert!(!heard.iter().any(|line| line.starts_with("a OK")), "{what}: {heard:?}");
        assert!(heard.iter().any(|line| line.starts_with("* BYE [UNAVAILABLE]")), "{what}: {heard:?}");
    }
}

#[test]
fn im_06_a_tag_of_the_future_cannot_be_foreseen() {
    let stage = ScriptedStage::set();
    let token = stage.token("helpdesk");
    // Answers the first command, and whatever it takes for the tag of the next in the same breath.
    stage.upstream.plays(Script::answering(|peer, command| {
        if !command.is("NOOP") {
            return false;
        }
        let (number, random) = command.tag[1..].split_once('x').expect("the tag's two parts");
        let next = number.parse::<u64>().expect("a number") + 1;
        peer.say(&[
            &format!("{} OK done", command.tag),
            &format!("w{next}x{random} OK done"),
            &format!("w{next} OK done"),
        ])
    }));
    let mut imap = stage.session(&token);
    imap.send("a NOOP\r\nb STORE 1 +FLAGS (\\Seen)\r\n");
    let heard = imap.rest().expect("an end");
    assert!(heard.iter().any(|line| line.starts_with("a OK")), "{heard:?}");
    assert!(!heard.iter().any(|line| line.starts_with("b OK")), "{heard:?}");
}

#[test]
fn im_06_an_ok_for_what_was_not_heard_yet_is_a_false_one() {
    let stage = ScriptedStage::set();
    let token = stage.token("helpdesk");
    // Neither message nor DONE was sent when these answers come.
    stage.upstream.plays(Script {
        capabilities: CAPABILITIES.replace(" LITERAL+", ""),
        ..Script::answering(|peer, command| {
            if command.is("NOOP") {
                // The announcement of a message follows.
                peer.say(&[&format!("{} OK done", command.tag)]);
                let line = String::from_utf8(peer.line().expect("a line")).expect("text");
                assert!(line.ends_with(" APPEND INBOX {3}"), "{line}");
                return peer.say(&[&format!("{} OK added", line.split(' ').next().expect("a tag"))]);
            }
            command.is("IDLE") && peer.say(&[&format!("{} OK idled", command.tag)])
        })
    });
    for command in ["IDLE", "APPEND INBOX {3}"] {
        let mut imap = stage.session(&token);
        if command != "IDLE" {
            imap.command_ok("n", "NOOP");
        }
        imap.send(format!("a {command}\r\n"));
        let heard = imap.rest().expect("an end");
        assert!(!heard.iter().any(|line| line.starts_with("a OK")), "{command}: {heard:?}");
        assert!(heard.iter().any(|line| line.starts_with("* BYE [UNAVAILABLE]")), "{command}: {heard:?}");
    }
}

#[test]
fn im_06_an_odd_greeting_or_login_lets_nobody_in() {
    let stage = ScriptedStage::set();
    let token = stage.token("helpdesk");
    let good = Script::default();
    for (what, script) in [
        ("PREAUTH", Script { greeting: "* PREAUTH come in\r\n".to_owned(), ..good.clone() }),
        ("BYE", Script { greeting: "* BYE [REFERRAL imap://evil.test/] go\r\n".to_owned(), ..good.clone() }),
        ("a greeting with a continuation", Script { greeting: "* OK hi\r\n+ go\r\n".to_owned(), ..good.clone() }),
        ("a greeting with a tag", Script { greeting: "* OK hi\r\nw2 OK in\r\n".to_owned(), ..good.clone() }),
        ("a referral", Script { login: "NO [REFERRAL imap://evil.test/] elsewhere".to_owned(), ..good.clone() }),
        ("a login of another kind", Script { login: "MAYBE later".to_owned(), ..good.clone() }),
    ] {
        stage.upstream.plays(script);
        let mut imap = stage.gateway.imap();
        let answer = imap.command("a", &format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, &token)));
        let last = answer.last().expect("an answer");
        assert!(last.starts_with("a NO [UNAVAILABLE]"), "{what}: {answer:?}");
        assert!(!format!("{answer:?}").contains("evil"), "{what}: {answer:?}");
    }
    // Two greetings are odd, but speak of nothing that was asked; and where to go instead is not for the tool.
    stage.upstream.plays(Script {
        greeting: "* OK one\r\n* OK two\r\n* PREAUTH three\r\n".to_owned(),
        login: "OK [REFERRAL imap://evil.test/] in".to_owned(),
        ..Script::answering(|peer, command| {
            command.is("NOOP")
                && peer.say(&[
                    "* OK [REFERRAL imap://evil.test/] move",
                    "* PREAUTH again",
                    "* CAPABILITY IMAP4rev1 URLAUTH",
                    &format!("{} NO [REFERRAL imap://evil.test/] [CAPABILITY X-EVIL] no", command.tag),
                ])
        })
    });
    let mut imap = stage.session(&token);
    let heard = imap.command("b", "NOOP");
    assert_eq!(heard, ["* OK move", "b NO no"]);
}

#[test]
fn im_15_a_reply_of_any_size_takes_a_small_buffer() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    let (mebibytes, literals) = if long_run() { (1024, 200_000) } else { (48, 50_000) };
    let before = stage.gateway.peak_memory_kib();

    // One line, as long as it gets.
    let part = "7654321 ".repeat(8192);
    stage.upstream.plays(Script::answering(move |peer, command| {
        command.is("SEARCH")
            && peer.send("* SEARCH")
            && (0..mebibytes * 16).all(|_| peer.send(format!(" {}", part.trim_end())))
            && peer.say(&["", &format!("{} OK found", command.tag)])
    }));
    let mut imap = stage.session(&token);
    imap.send("a SEARCH ALL\r\n");
    let mut found = 0_usize;
    imap.each_chunk(|chunk| {
        found += chunk.len();
        chunk.ends_with(b"a OK found\r\n")
    });
    assert_eq!(found, "* SEARCH".len() + mebibytes * 16 * 8192 * 8 + "\r\na OK found\r\n".len());
    imap.command_ok("b", "NOOP");

    // Very many literals in one response.
    stage.upstream.plays(Script::answering(move |peer, command| {
        let batch = "X {1}\r\ny ".repeat(1000);
        command.is("FETCH")
            && peer.send("* 1 FETCH (")
            && (0..literals / 1000).all(|_| peer.send(&batch))
            && peer.say(&["X y)", &format!("{} OK fetched", command.tag)])
    }));
    let mut imap = stage.session(&token);
    imap.send("a FETCH 1 FLAGS\r\n");
    let mut found = 0_usize;
    imap.each_chunk(|chunk| {
        found += chunk.len();
        chunk.ends_with(b"a OK fetched\r\n")
    });
    assert_eq!(found, "* 1 FETCH (".len() + literals * 9 + "X y)\r\na OK fetched\r\n".len());

    let after = stage.gateway.peak_memory_kib();
    assert!(after - before < FLAT, "memory rose from {before} to {after} KiB");
}

#[test]
fn im_15_a_literal_beyond_all_measure_ends_the_session() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    for literal in ["{10737418240}", "{4294967296}", "{5+}", "~{5+}", "~{4294967296}", "{05}", "{-1}"] {
        let line = format!("* 1 FETCH (BODY[] {literal}");
        stage.upstream.plays(Script::answering(move |peer, command| {
            command.is("FETCH") && peer.say(&[&line, &format!("{} OK fetched", command.tag)])
        }));
        let mut imap = stage.session(&token);
        imap.send("a FETCH 1 BODY[]\r\n");
        let heard = imap.rest().expect("an end");
        assert!(!heard.iter().any(|line| line.starts_with("a OK")), "{literal}: {heard:?}");
    }
}

#[test]
fn im_15_what_has_to_be_judged_whole_is_bounded() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_bounded_tool("bounded", ADDRESS, "backup", &["INBOX"]);
    let token = stage.gateway.token(&tool, ADDRESS);
    let before = stage.gateway.peak_memory_kib();
    for word in ["LIST () \"/\" ", "LSUB () \"/\" ", "STATUS ", "NAMESPACE ((\"", "LIST () \"/\" {9990000}\r\n"] {
        stage.upstream.plays(Script::answering(move |peer, command| {
            command.is("LIST \"\" *")
                && peer.send(format!("* {word}"))
                && (0..1000).all(|_| peer.send("a".repeat(10_000)))
                && peer.say(&["", &format!("{} OK listed", command.tag)])
        }));
        let mut imap = stage.session(&token);
        imap.send("a LIST \"\" *\r\n");
        let heard = imap.rest().expect("an end");
        assert!(heard.iter().any(|line| line.starts_with("* BYE [UNAVAILABLE]")), "{word}: {heard:?}");
        assert!(!heard.iter().any(|line| line.starts_with("a OK")), "{word}: {heard:?}");
    }
    let after = stage.gateway.peak_memory_kib();
    assert!(after - before < FLAT, "memory rose from {before} to {after} KiB");
}

#[test]
fn a_long_tagged_answer_reaches_the_tool_whole() {
    let stage = ScriptedStage::set();
    let token = stage.token("helpdesk");
    let set = (1..60_000).map(|n| (n * 2).to_string()).collect::<Vec<_>>().join(",");
    let text = format!("[COPYUID 7 {set} {set}] copied");
    let said = text.clone();
    stage.upstream.plays(Script::answering(move |peer, command| {
        command.is("UID COPY") && peer.say(&[&format!("* OK {said}"), &format!("{} OK {said}", command.tag)])
    }));
    let mut imap = stage.session(&token);
    assert!(imap.command("a", "UID COPY 1:* INBOX") == [format!("* OK {text}"), format!("a OK {text}")]);
    imap.command_ok("b", "NOOP");
}

#[test]
fn gw_12_a_tool_sees_our_capabilities_whatever_the_upstream_has() {
    let stage = ScriptedStage::set();
    let token = stage.token("full");
    stage.upstream.plays(Script {
        capabilities: format!(
            "{CAPABILITIES} ENABLE IMAP4rev2 COMPRESS=DEFLATE URLAUTH URLAUTH=BINARY URL-PARTIAL UNAUTHENTICATE XCLIENT \
             LOGIN-REFERRALS MAILBOX-REFERRALS NOTIFY METADATA ACL RIGHTS=texk QUOTA CATENATE MULTIAPPEND BINARY REPLACE \
             QRESYNC CONDSTORE SORT THREAD=REFERENCES ESEARCH SEARCHRES UTF8=ACCEPT X-GM-EXT-1 STARTTLS LOGINDISABLED"
        ),
        ..Script::default()
    });
    let ours =
        "IMAP4rev1 LITERAL+ ID ENABLE IDLE NAMESPACE UNSELECT UIDPLUS MOVE CONDSTORE QRESYNC ESEARCH BINARY QUOTA";
    let mut imap = stage.gateway.imap();
    let before = imap.command("a", "CAPABILITY");
    let known = ["*", "CAPABILITY", "IMAP4rev1", "LITERAL+", "ID", "SASL-IR"];
    assert!(before[0].split(' ').all(|word| known.contains(&word) || word.starts_with("AUTH=")), "{before:?}");
    let login = imap.command_ok("b", &format!("AUTHENTICATE XOAUTH2 {}", xoauth2(ADDRESS, &token)));
    assert_eq!(login.last().expect("an answer"), &format!("b OK [CAPABILITY {ours}] logged in"));
    assert_eq!(imap.command("c", "CAPABILITY")[0], format!("* CAPABILITY {ours}"));
    imap.command_ok("d", "SELECT INBOX");
    let heard = stage.upstream.heard().len();
    for command in [
        "COMPRESS DEFLATE",
        "UNAUTHENTICATE",
        "GENURLAUTH \"imap://x/\" INTERNAL",
        "URLFETCH \"imap://x/\"",
        "RESETKEY",
        "XCLIENT ADDR=192.0.2.1",
        "NOTIFY NONE",
        "RLIST \"\" *",
        "GETMETADATA INBOX /shared/comment",
        "SORT (DATE) UTF-8 ALL",
        "X-GM-RAW x",
    ] {
        let answer = imap.command("e", command);
        let last = answer.last().expect("an answer");
        assert!(last.starts_with("e NO [NOPERM]") && last.contains("vrd_"), "{command}: {answer:?}");
    }
    for command in ["STARTTLS", "SEARCH RETURN (SAVE) ALL", "SEARCH $", "FETCH 1 (PREVIEW)", "LIST (SUBSCRIBED) \"\" *"]
    {
        let answer = imap.command("f", command);
        assert!(!answer.last().expect("an answer").starts_with("f OK"), "{command}: {answer:?}");
    }
    assert_eq!(imap.command_ok("g", "ENABLE UTF8=ACCEPT NOTIFY")[0], "* ENABLED");
    assert_eq!(stage.upstream.heard().len(), heard, "something of it reached the upstream");
    imap.command_ok("h", "ENABLE QRESYNC UTF8=ACCEPT CONDSTORE");
    let heard: Vec<String> = stage.upstream.heard()[heard..].iter().map(Command::as_text).collect();
    assert_eq!(heard, ["ENABLE QRESYNC CONDSTORE"]);
}

#[test]
fn gw_05_no_token_ever_goes_upstream() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    let logins = if long_run() { 10_000 } else { 50 };
    for number in 0..logins {
        let mut imap = stage.gateway.imap();
        match number % 3 {
            0 => imap.command_ok("a", &format!("AUTHENTICATE XOAUTH2 {}", xoauth2(ADDRESS, &token))),
            1 => imap.command_ok("a", &format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, &token))),
            _ => imap.command_ok("a", &format!("LOGIN {ADDRESS} {token}")),
        };
        imap.command_ok("b", "EXAMINE INBOX");
    }
    let heard = stage.upstream.everything();
    assert!(heard.len() > logins, "the upstream kept a record");
    for part in [token.as_str(), &token[..20], &token[token.len() - 20..], "Bearer", &xoauth2(ADDRESS, &token)] {
        let found = heard.windows(part.len()).any(|window| window == part.as_bytes());
        assert!(!found, "the upstream heard {} octets of a token", part.len());
    }
}

#[test]
fn gw_16_a_reader_that_stalls_holds_nothing_but_its_own_session() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    let length = 200 << 20;
    stage.upstream.plays(Script::answering(move |peer, command| {
        let chunk = vec![b'x'; 64 << 10];
        command.is("FETCH")
            && peer.send(format!("* 1 FETCH (BODY[] {{{length}}}\r\n"))
            && (0..length / chunk.len()).all(|_| peer.send(&chunk))
            && peer.say(&[")", &format!("{} OK fetched", command.tag)])
    }));
    let before = stage.gateway.peak_memory_kib();
    let mut stalled = stage.session(&token);
    stalled.send("a FETCH 1 BODY[]\r\n");
    assert!(stalled.line().starts_with("* 1 FETCH"));
    // Others work meanwhile, long enough for a gateway that buffers to take all of it.
    for _ in 0..20 {
        let mut other = stage.session(&token);
        other.patience(Duration::from_secs(30));
        other.command_ok("b", "NOOP");
    }
    let after = stage.gateway.peak_memory_kib();
    assert!(after - before < 2 * FLAT, "memory rose from {before} to {after} KiB");
}

#[test]
fn au_07_an_upstream_hears_of_no_change_that_cannot_be_recorded() {
    let stage = ScriptedStage::set();
    let token = stage.token("full");
    let changes = ["STORE 1 +FLAGS (\\Deleted)", "EXPUNGE", "MOVE 1 Other", "CREATE New", "APPEND INBOX {4+}\r\nabcd"];
    let sessions: Vec<_> = changes.iter().map(|change| (change, stage.session(&token))).collect();
    stage.gateway.tamper("UPDATE audit_head SET seq = seq + 1");
    for (change, mut imap) in sessions {
        imap.send(format!("a {change}\r\n"));
        let heard = imap.rest().expect("an end");
        assert!(heard.iter().any(|line| line.starts_with("* BYE [UNAVAILABLE]")), "{change}: {heard:?}");
        assert!(!heard.iter().any(|line| line.starts_with("a OK")), "{change}: {heard:?}");
    }
    let heard: Vec<String> = stage.upstream.heard().iter().map(Command::as_text).collect();
    // It is asked which messages are meant, and no more.
    let is_question =
        |command: &String| ["SELECT INBOX", "FETCH 1 (UID)", "UID SEARCH DELETED"].contains(&command.as_str());
    assert!(heard.iter().all(is_question), "{heard:?}");
}
