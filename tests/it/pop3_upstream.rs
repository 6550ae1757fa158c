//! POP3 before an upstream that lies, dies or floods: what a tool takes for a whole message is one, and it is never led astray.

use crate::support::pop3::Pop3;
use crate::support::stage::{ADDRESS, ScriptedStage};
use crate::support::upstream::imap::{Command, Peer, Script};

/// What an upstream says to a FETCH with this tag.
type Answer = fn(&str) -> String;

/// A message that looks like the end of a reply and another one.
const TRAP: &str = "Subject: trap\r\n\r\n.\r\n+OK 1 octets\r\n.\r\n..\r\n-ERR no\r\n.";

/// An upstream with two messages, UIDs 7 and 9; `answer` says what it makes of FETCH for a body.
fn script(answer: impl Fn(&mut Peer, &str) -> bool + Send + Sync + 'static) -> Script {
    Script::answering(move |peer, command| {
        let done = format!("{} OK done", command.tag);
        if command.is("EXAMINE") || command.is("SELECT") {
            return peer.say(&["* 2 EXISTS", "* 0 RECENT", "* OK [UIDVALIDITY 77] so", &done]);
        }
        if command.is("UID FETCH 1:*") {
            // In no order, with news between.
            return peer.say(&[
                "* 2 FETCH (UID 9 RFC822.SIZE 5)",
                "* 1 FETCH (FLAGS (\\Seen))",
                &format!("* 1 FETCH (RFC822.SIZE {} UID 7)", TRAP.len()),
                &done,
            ]);
        }
        is_body(command) && answer(peer, &command.tag)
    })
}

fn is_body(command: &Command) -> bool {
    command.is("UID FETCH 7 (UID BODY.PEEK[]")
}

fn literal(text: &str, rest: &str) -> String {
    format!("* 1 FETCH (UID 7 BODY[] {{{}}}\r\n{text}{rest}\r\n", text.len())
}

#[test]
fn po_03_a_message_ends_where_it_ends() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    let good: [(&str, Answer); 4] = [
        ("plainly", |tag| format!("{}{tag} OK done\r\n", literal(TRAP, ")"))),
        ("with its UID behind it", |tag| {
            format!("* 1 FETCH (BODY[] {{{}}}\r\n{TRAP} FLAGS () UID 7)\r\n{tag} OK done\r\n", TRAP.len())
        }),
        ("among news", |tag| {
            let (before, after) =
                ("* 3 EXISTS\r\n* 2 FETCH (FLAGS (\\Deleted))\r\n", "* 2 EXPUNGE\r\n* OK still here\r\n");
            format!("{before}{}{after}{tag} OK done\r\n", literal(TRAP, ")"))
        }),
        ("in lines that end in LF", |tag| {
            let text = TRAP.replace("\r\n", "\n");
            format!("* 1 FETCH (UID 7 BODY[] {{{}}}\r\n{text})\r\n{tag} OK done\r\n", text.len())
        }),
    ];
    for (how, answer) in good {
        stage.upstream.plays(script(move |peer, tag| peer.send(answer(tag))));
        let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &token);
        assert_eq!(pop3.unique_ids(), ["77.7", "77.9"], "{how}");
        assert_eq!(String::from_utf8_lossy(&pop3.fetch("RETR 1")), format!("{TRAP}\r\n"), "{how}");
        pop3.say("NOOP", "+OK");
        pop3.say("LIST 2", "+OK 2 5");
    }
    let bad: [(&str, Answer); 12] = [
        ("a literal that is longer than said", |tag| {
            format!("* 1 FETCH (UID 7 BODY[] {{10}}\r\n{TRAP})\r\n{tag} OK done\r\n")
        }),
        ("a literal that is shorter than said", |tag| {
            format!("* 1 FETCH (UID 7 BODY[] {{{}}}\r\n{TRAP})\r\n{tag} OK done\r\n", TRAP.len() + 3)
        }),
        ("another message", |tag| format!("{}{tag} OK done\r\n", literal(TRAP, ")").replace("UID 7", "UID 9"))),
        ("another message, told afterwards", |tag| {
            format!("* 1 FETCH (BODY[] {{{}}}\r\n{TRAP} UID 9)\r\n{tag} OK done\r\n", TRAP.len())
        }),
        ("no UID at all", |tag| format!("* 1 FETCH (BODY[] {{{}}}\r\n{TRAP})\r\n{tag} OK done\r\n", TRAP.len())),
        ("the message twice", |tag| format!("{0}{0}{tag} OK done\r\n", literal(TRAP, ")"))),
        ("a second literal", |tag| format!("{}BODY[] {{3}}\r\nabc)\r\n{tag} OK done\r\n", literal(TRAP, " "))),
        ("NO after the message", |tag| format!("{}{tag} NO that was not all\r\n", literal(TRAP, ")"))),
        ("BYE after the message", |_| format!("{}* BYE\r\n", literal(TRAP, ")"))),
        ("an answer to another command", |_| format!("{}w9 OK done\r\n", literal(TRAP, ")"))),
        ("a literal of the kind that is not waited for", |tag| {
            format!("* 1 FETCH (UID 7 BODY[] {{3+}}\r\nabc)\r\n{tag} OK done\r\n")
        }),
        ("a continuation", |_| "+ go on\r\n".to_owned()),
    ];
    for (what, answer) in bad {
        stage.upstream.plays(script(move |peer, tag| peer.send(answer(tag))));
        let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &token);
        let answer = pop3.ask("RETR 1");
        if answer.starts_with("+OK") {
            assert_eq!(pop3.lines(), None, "{what}: this was no whole message");
        } else {
            assert!(answer.starts_with("-ERR [SYS/TEMP]"), "{what}: {answer}");
            assert_eq!(pop3.wire.rest().expect("the end"), [""; 0], "{what}");
        }
    }
}

#[test]
fn po_03_an_upstream_that_dies_in_a_message_leaves_it_open() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    for sent in ["", "Subject: x\r\n\r\n", ".\r\n", "Subject: x\r\n\r\nhello\r\n.\r\n"] {
        stage.upstream.plays(script(move |peer, _| {
            peer.send(format!("* 1 FETCH (UID 7 BODY[] {{5000}}\r\n{sent}"));
            peer.close();
            true
        }));
        let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &token);
        pop3.say("RETR 1", "+OK");
        // Nor is anything of ours in it, which would be taken for a part of it.
        let told = pop3.wire.rest().expect("the end");
        let sent: Vec<String> =
            sent.lines().map(|line| if line.starts_with('.') { format!(".{line}") } else { line.to_owned() }).collect();
        assert_eq!(told, sent);
    }
    // What is not there any more is said so, and the session goes on.
    for answer in ["", "* 1 FETCH (UID 7 BODY[] NIL)\r\n", "* 1 EXPUNGE\r\n"] {
        stage.upstream.plays(script(move |peer, tag| peer.send(format!("{answer}{tag} OK done\r\n"))));
        let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &token);
        pop3.say("RETR 1", "-ERR this message is not there any more");
        pop3.say("TOP 1 5", "-ERR this message is not there any more");
        pop3.say("STAT", "+OK 2 ");
    }
    stage.upstream.plays(script(|peer, tag| peer.say(&[&format!("{tag} NO [SERVERBUG] broken")])));
    Pop3::session(&stage.gateway, ADDRESS, &token).say("RETR 1", "-ERR [SYS/TEMP]");
}

#[test]
fn po_03_a_top_is_taken_in_pieces_that_are_not_longer_than_asked_for() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    let whole = format!("Subject: long\r\n\r\n{}", ".line of a long message\r\n".repeat(10_000));
    let text = whole.clone();
    let pieces = Script::answering(move |peer, command| {
        if !is_body(command) {
            return script(|_, _| false).answer.as_ref()(peer, command);
        }
        let asked = command.as_text();
        let (offset, length) =
            asked.split_once('<').and_then(|(_, rest)| rest.split_once('>')?.0.split_once('.')).expect("a part");
        let (offset, length): (usize, usize) = (offset.parse().expect("a number"), length.parse().expect("a number"));
        let piece = &text[offset.min(text.len())..text.len().min(offset + length)];
        peer.send(format!(
            "* 1 FETCH (UID 7 BODY[]<{offset}> {{{}}}\r\n{piece})\r\n{} OK done\r\n",
            piece.len(),
            command.tag
        ))
    });
    stage.upstream.plays(pieces);
    let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &token);
    for lines in [0, 1, 2000, 20_000] {
        let expected: String = whole.split_inclusive('\n').take(2 + lines).collect();
        assert!(pop3.fetch(&format!("TOP 1 {lines}")) == expected.as_bytes(), "{lines} lines");
    }
    let asked = stage.upstream.heard().iter().filter(|command| is_body(command)).count();
    assert!(asked < 20, "a header does not take the whole message: {asked} parts");
    stage.upstream.plays(script(|peer, tag| {
        let text = "x".repeat(100_000);
        peer.send(format!("* 1 FETCH (UID 7 BODY[]<0> {{{}}}\r\n{text})\r\n{tag} OK done\r\n", text.len()))
    }));
    Pop3::session(&stage.gateway, ADDRESS, &token).say("TOP 1 1", "-ERR [SYS/TEMP]");
}

#[test]
fn an_inbox_that_cannot_be_listed_is_no_maildrop() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    let cases: [(&str, &str, &str); 6] = [
        ("EXAMINE", "* 2 EXISTS\r\n@ OK no validity\r\n", "-ERR [SYS/TEMP]"),
        ("EXAMINE", "@ NO [INUSE] locked\r\n", "-ERR [IN-USE]"),
        ("EXAMINE", "@ NO not now\r\n", "-ERR [SYS/TEMP]"),
        ("EXAMINE", "* BYE\r\n", "-ERR [SYS/TEMP]"),
        ("UID FETCH 1:*", "@ NO not now\r\n", "-ERR [SYS/TEMP]"),
        ("UID FETCH 1:*", "x OK another's\r\n", "-ERR [SYS/TEMP]"),
    ];
    for (command, answer, expected) in cases {
        stage.upstream.plays(Script::answering(move |peer, heard| {
            heard.is(command) && peer.send(answer.replace('@', &heard.tag))
        }));
        let mut pop3 = Pop3::open(&stage.gateway);
        pop3.say(&format!("USER {ADDRESS}"), "+OK");
        pop3.say(&format!("PASS {token}"), expected);
        assert_eq!(pop3.wire.rest().expect("the end"), [""; 0], "{answer}");
    }
    // What is said twice is there once, and more than any session holds is refused without being held.
    stage.upstream.plays(Script::answering(|peer, heard| {
        heard.is("UID FETCH 1:*")
            && peer.say(&[
                "* 1 FETCH (UID 3 RFC822.SIZE 1)",
                "* 1 FETCH (UID 3 RFC822.SIZE 1)",
                &format!("{} OK", heard.tag),
            ])
    }));
    assert_eq!(Pop3::session(&stage.gateway, ADDRESS, &token).unique_ids(), ["1.3"]);
    stage.upstream.plays(Script::answering(|peer, heard| {
        if !heard.is("UID FETCH 1:*") {
            return false;
        }
        for start in (1..=600_000).step_by(10_000) {
            let lines: String =
                (start..start + 10_000).map(|uid| format!("* {uid} FETCH (UID {uid} RFC822.SIZE 9)\r\n")).collect();
            if !peer.send(lines) {
                return true;
            }
        }
        peer.say(&[&format!("{} OK", heard.tag)])
    }));
    let before = stage.gateway.peak_memory_kib();
    let mut pop3 = Pop3::open(&stage.gateway);
    pop3.say(&format!("USER {ADDRESS}"), "+OK");
    pop3.say(&format!("PASS {token}"), "-ERR [SYS/PERM] INBOX holds too many messages");
    let after = stage.gateway.peak_memory_kib();
    assert!(after - before < 64 * 1024, "memory rose from {before} to {after} KiB");
}

#[test]
fn quit_says_which_uids_it_removes_and_owns_up_when_it_could_not() {
    let stage = ScriptedStage::set();
    let token = stage.token("full");
    let two = || script(|_, _| false);
    let changing = |stage: &ScriptedStage| -> Vec<String> {
        let heard = stage.upstream.heard();
        heard.iter().map(Command::as_text).filter(|text| !text.starts_with("UID FETCH") && text != "NOOP").collect()
    };
    stage.upstream.plays(two());
    let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &token);
    pop3.say("DELE 1", "+OK");
    pop3.say("DELE 2", "+OK");
    assert_eq!(changing(&stage), ["EXAMINE INBOX"], "before QUIT nothing is said");
    pop3.say("QUIT", "+OK");
    let expected = ["EXAMINE INBOX", "SELECT INBOX", "UID STORE 7,9 +FLAGS.SILENT (\\Deleted)", "UID EXPUNGE 7,9"];
    assert_eq!(changing(&stage), expected);
    let mut so_far = expected.len();
    for (what, command, answer) in [
        ("a refusal", "UID STORE", "@ NO [READ-ONLY] no\r\n"),
        ("an end", "UID EXPUNGE", "* BYE\r\n"),
        ("another folder of that name", "SELECT", "* 2 EXISTS\r\n* OK [UIDVALIDITY 78] new\r\n@ OK done\r\n"),
    ] {
        let good = two();
        stage.upstream.plays(Script::answering(move |peer, heard| {
            if heard.is(command) {
                peer.send(answer.replace('@', &heard.tag))
            } else {
                good.answer.as_ref()(peer, heard)
            }
        }));
        let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &token);
        pop3.say("DELE 1", "+OK");
        pop3.say("QUIT", "-ERR [SYS/TEMP] some marked messages were not removed");
        let heard = changing(&stage);
        if command == "SELECT" {
            assert!(!heard[so_far..].iter().any(|text| text.starts_with("UID ")), "{what}: {heard:?}");
        }
        so_far = heard.len();
    }
    // Without UIDPLUS an expunge would take what others marked along.
    stage.upstream.plays(Script { capabilities: "IMAP4rev1 AUTH=PLAIN".to_owned(), ..two() });
    let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &token);
    pop3.say("DELE 1", "-ERR [SYS/PERM] the mail server cannot remove single messages");
    pop3.say("QUIT", "+OK");
    assert_eq!(changing(&stage)[so_far..], ["EXAMINE INBOX"]);
}
