//! Extensions of IMAP: each is held to its grant, and an upstream that lies with one of them deceives nobody.

use crate::support::maildir;
use crate::support::stage::{ADDRESS, ScriptedStage, Stage};
use crate::support::upstream::imap::{CAPABILITIES, Command, Script};

/// What a server has that knows all of them.
const ALL: &str = "ENABLE CONDSTORE QRESYNC ESEARCH ESORT WITHIN BINARY CHILDREN SPECIAL-USE LIST-EXTENDED LIST-STATUS \
                   STATUS=SIZE QUOTA SORT SORT=DISPLAY THREAD=REFERENCES";

/// Memory that a gateway may take up in passing, in KiB.
const FLAT: u64 = 24 * 1024;

/// A server that knows all of them and answers so.
fn knowing(
    answer: impl Fn(&mut crate::support::upstream::imap::Peer, &Command) -> bool + Send + Sync + 'static,
) -> Script {
    Script { capabilities: format!("{CAPABILITIES} {ALL}"), ..Script::answering(answer) }
}

/// Commands of the extensions, each with the first one it takes.
const COMMANDS: &[(&str, &str)] = &[
    ("CONDSTORE", "SELECT INBOX (CONDSTORE)"),
    ("QRESYNC", "EXAMINE INBOX (QRESYNC (1 2))"),
    ("CONDSTORE", "FETCH 1 (MODSEQ)"),
    ("CONDSTORE", "FETCH 1 FLAGS (CHANGEDSINCE 5)"),
    ("QRESYNC", "UID FETCH 1 FLAGS (CHANGEDSINCE 5 VANISHED)"),
    ("CONDSTORE", "STORE 1 (UNCHANGEDSINCE 5) +FLAGS (\\Seen)"),
    ("CONDSTORE", "SEARCH NOT (MODSEQ 5)"),
    ("CONDSTORE", "STATUS INBOX (HIGHESTMODSEQ)"),
    ("STATUS=SIZE", "STATUS INBOX (SIZE)"),
    ("WITHIN", "SEARCH OR SEEN YOUNGER 5"),
    ("ESEARCH", "UID SEARCH RETURN (COUNT) ALL"),
    ("BINARY", "FETCH 1 BINARY[]"),
    ("BINARY", "FETCH 1 BINARY.SIZE[1]"),
    ("QUOTA", "GETQUOTA x"),
    ("QUOTA", "GETQUOTAROOT INBOX"),
    ("LIST-EXTENDED", "LIST (SUBSCRIBED) \"\" *"),
    ("LIST-EXTENDED", "LIST \"\" (a b)"),
    ("LIST-EXTENDED", "LIST \"\" a RETURN (CHILDREN)"),
    ("LIST-STATUS", "LIST \"\" a RETURN (STATUS (MESSAGES))"),
    ("SPECIAL-USE", "LIST \"\" a RETURN (SPECIAL-USE)"),
];

#[test]
fn gw_12_what_the_upstream_lacks_is_not_offered_and_not_sent() {
    let stage = ScriptedStage::set();
    let token = stage.token("full");
    for (is_known, outcome) in [(false, "a BAD the mail server does not support this"), (true, "a OK done")] {
        let capabilities = if is_known { format!("{CAPABILITIES} {ALL}") } else { CAPABILITIES.to_owned() };
        stage.upstream.plays(Script { capabilities, ..Script::default() });
        let mut imap = stage.session(&token);
        let offered = imap.command_ok("c", "CAPABILITY").remove(0);
        let before = stage.upstream.heard().len();
        for (extension, command) in COMMANDS {
            assert_eq!(offered.split(' ').any(|known| known == *extension), is_known, "{extension}: {offered}");
            let answer = imap.command("a", command);
            assert_eq!(answer.last().map(String::as_str), Some(outcome), "{command}");
        }
        let mut sent: Vec<String> = stage.upstream.heard()[before..].iter().map(Command::as_text).collect();
        // Asked of our own accord, for the record of the STORE.
        sent.retain(|command| command != "FETCH 1 (UID)");
        assert_eq!(sent.len(), if is_known { COMMANDS.len() } else { 0 }, "{sent:?}");
    }
}

#[test]
fn im_08_no_extension_shows_a_folder_outside_the_bounds() {
    let stage = Stage::reading(|dovecot| {
        let root = dovecot.maildir(ADDRESS);
        maildir::seed(&root, 3, 0);
        for name in [".Archive", ".Archive.2025", ".Archive.2025.Secret", ".Secret", ".Secret.Deep"] {
            for part in ["cur", "new", "tmp"] {
                std::fs::create_dir_all(root.join(name).join(part)).expect("make a folder");
            }
        }
        std::fs::write(root.join("subscriptions"), "Archive\nArchive/2025/Secret\nSecret\n").expect("subscribe");
        crate::support::give_to_mail_user(&root);
    });
    let tool = stage.gateway.add_bounded_tool("bounded", ADDRESS, "full", &["Archive", "Archive/2025"]);
    let mut imap = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&tool, ADDRESS));
    imap.command_ok("q", "ENABLE QRESYNC");
    for command in [
        "SELECT Secret (CONDSTORE)",
        "EXAMINE inbox (QRESYNC (1 2))",
        "SELECT {6+}\r\nSecret (QRESYNC (1 2 3:4))",
        "STATUS \"Secret\" (HIGHESTMODSEQ)",
        "STATUS Archive/2025/Secret (SIZE)",
        "GETQUOTAROOT Secret",
        "GETQUOTAROOT Archive",
        "GETQUOTA Mailbox",
        "APPEND Secret ~{1+}\r\nx",
    ] {
        let answer = imap.command("a", command);
        assert!(answer.len() == 1 && answer[0].starts_with("a NO [NOPERM]"), "{command}: {answer:?}");
    }
    for command in [
        "LIST (SUBSCRIBED) \"\" *",
        "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %",
        "LIST (RECURSIVEMATCH SUBSCRIBED) \"\" (INBOX Secret *)",
        "LIST (SPECIAL-USE) \"\" *",
        "LIST \"\" (INBOX Secret {11+}\r\nSecret/Deep Archive/2025/*) RETURN (STATUS (MESSAGES UIDNEXT))",
        "LIST \"\" * RETURN (SUBSCRIBED CHILDREN SPECIAL-USE STATUS (MESSAGES SIZE HIGHESTMODSEQ))",
        "LIST \"Secret/\" * RETURN (CHILDREN)",
        "LIST \"Archive/../\" (Secret) RETURN (STATUS (MESSAGES))",
    ] {
        let answer = imap.command_ok("b", command);
        let shown = answer.iter().filter(|line| line.starts_with("* ")).collect::<Vec<_>>();
        let is_inside = |line: &&String| line.contains("Archive") && !line.contains("Secret");
        assert!(shown.iter().all(|line| is_inside(line) && !line.contains("CHILDINFO")), "{command}: {answer:?}");
    }
    let everything = imap.command_ok("c", "LIST \"\" * RETURN (STATUS (MESSAGES))");
    assert_eq!(everything.len(), 5, "two folders, each with its status, and the answer: {everything:?}");
}

#[test]
fn im_08_an_upstream_that_says_more_than_was_asked_is_cut_short() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_bounded_tool("bounded", ADDRESS, "backup", &["Archive/*"]);
    let token = stage.gateway.token(&tool, ADDRESS);
    stage.upstream.plays(knowing(|peer, command| {
        let (tag, done) = (&command.tag, format!("{} OK done", command.tag));
        if command.is("LIST \"\" (\"*\")") {
            return peer.say(&[
                "* LIST (\\Subscribed) \"/\" Archive/a (\"CHILDINFO\" (\"SUBSCRIBED\"))",
                "* LIST () \"/\" \"Archive/b\" (OLDNAME (\"Secret\"))",
                "* LIST () \"/\" {9}",
                "Archive/c (OLDNAME ({6}",
                "Secret))",
                "* LIST () \"/\" Archive (\"CHILDINFO\" (\"SUBSCRIBED\"))",
                "* LIST () \"/\" Secret (\"CHILDINFO\" (\"SUBSCRIBED\"))",
                "* STATUS Secret (MESSAGES 3 SIZE 9)",
                "* STATUS Archive/a (MESSAGES 3 SIZE 9)",
                "* QUOTAROOT Secret \"root of Secret\"",
                "* QUOTA \"root of Secret\" (STORAGE 10 512)",
                &done,
            ]);
        }
        command.is("SEARCH")
            && peer.say(&[
                &format!("* ESEARCH (TAG \"{tag}\" MAILBOX Secret UIDVALIDITY 1) ALL 1"),
                &format!("* ESEARCH (MAILBOX Secret TAG \"{tag}\") ALL 2"),
                &format!("* ESEARCH (TAG \"{tag}\") COUNT 3"),
                &done,
            ])
    }));
    let mut imap = stage.gateway.imap_session(ADDRESS, &token);
    imap.command_ok("open", "EXAMINE Archive/a");
    assert_eq!(
        imap.command("a", "LIST \"\" (*)"),
        [
            "* LIST (\\Subscribed) \"/\" Archive/a",
            "* LIST () \"/\" \"Archive/b\"",
            "* LIST () \"/\" {9}",
            "Archive/c",
            "* LIST (\\Noselect) \"/\" Archive",
            "* STATUS Archive/a (MESSAGES 3 SIZE 9)",
            "a OK done",
        ]
    );
    assert_eq!(imap.command("b", "SEARCH RETURN (COUNT) ALL"), ["* ESEARCH (TAG \"b\") COUNT 3", "b OK done"]);
}

#[test]
fn im_06_results_and_news_that_were_not_asked_for_are_not_passed_on() {
    let stage = ScriptedStage::set();
    let token = stage.token("full");
    stage.upstream.plays(knowing(|peer, command| {
        let (tag, done) = (&command.tag, format!("{} OK done", command.tag));
        if command.is("ENABLE") {
            return peer.say(&["* ENABLED QRESYNC X-MORE UTF8=ACCEPT", &done]);
        }
        (command.is("UID SEARCH") || command.is("NOOP"))
            && peer.say(&[
                "* ESEARCH (TAG \"b\") UID ALL 1:9",
                "* ESEARCH (TAG \"w1x0\") UID ALL 1:9",
                &format!("* ESEARCH (TAG \"{tag}x\") UID ALL 1:9"),
                &format!("* esearch (tag \"{tag}\") UID ALL 2,{}", tag.len()),
                &format!("* ESEARCH (TAG {tag}) UID COUNT 2"),
                "* VANISHED 7",
                "* VANISHED (EARLIER) 8:9",
                "* ENABLED QRESYNC",
                &done,
            ])
    }));
    let mut imap = stage.session(&token);
    let found = |tag: &str, answer: &[String], with: &[&str]| {
        let mut expected =
            vec![format!("* ESEARCH (TAG \"{tag}\") UID ALL 2,"), format!("* ESEARCH (TAG \"{tag}\") UID COUNT 2")];
        expected.extend(with.iter().map(|line| (*line).to_owned()));
        expected.push(format!("{tag} OK done"));
        assert_eq!(answer.len(), expected.len(), "{answer:?}");
        assert!(answer.iter().zip(&expected).all(|(line, start)| line.starts_with(start)), "{answer:?}");
    };
    found("a", &imap.command("a", "UID SEARCH RETURN () ALL"), &[]);
    assert_eq!(imap.command("e", "ENABLE QRESYNC UTF8=ACCEPT IMAP4rev2"), ["* ENABLED QRESYNC", "e OK done"]);
    assert_eq!(stage.upstream.heard().last().map(Command::as_text).as_deref(), Some("ENABLE QRESYNC"));
    found(
        "b2",
        &imap.command("b2", "UID SEARCH RETURN (ALL COUNT) ALL"),
        &["* VANISHED 7", "* VANISHED (EARLIER) 8:9"],
    );
    imap.command_ok("u", "UNSELECT");
    assert_eq!(imap.command("n", "NOOP"), ["n OK done"], "no folder is open");
    let heard = stage.upstream.heard().len();
    assert_eq!(imap.command("x", "ENABLE UTF8=ACCEPT IMAP4rev2 COMPRESS"), ["* ENABLED", "x OK nothing to enable"]);
    assert_eq!(stage.upstream.heard().len(), heard, "something of it went upstream");
}

#[test]
fn im_10_who_may_only_append_learns_nothing_from_an_extension() {
    let stage = ScriptedStage::set();
    stage.upstream.plays(knowing(|_, _| false));
    let tool = stage.gateway.add_bounded_tool("bounded", ADDRESS, "restore", &["Restored"]);
    let mut imap = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&tool, ADDRESS));
    let before = stage.upstream.heard().len();
    for command in [
        "SELECT Restored (CONDSTORE)",
        "EXAMINE Restored (QRESYNC (1 2))",
        "STATUS Restored (SIZE HIGHESTMODSEQ)",
        "LIST \"\" Restored RETURN (STATUS (MESSAGES))",
        "LIST (SUBSCRIBED) \"\" (Restored) RETURN (CHILDREN STATUS (UIDNEXT))",
        "GETQUOTA x",
        "GETQUOTAROOT Restored",
        "FETCH 1 BINARY[]",
        "SEARCH RETURN (COUNT) ALL",
        "STORE 1 (UNCHANGEDSINCE 9) +FLAGS (\\Seen)",
        "APPEND Other ~{1+}\r\nx",
    ] {
        let answer = imap.command("a", command);
        assert!(answer.len() == 1 && !answer[0].starts_with("a OK"), "{command}: {answer:?}");
    }
    assert_eq!(stage.upstream.heard().len(), before, "something of it went upstream");
    imap.command_ok("b", "LIST \"\" (Restored) RETURN (SPECIAL-USE)");
}

#[test]
fn im_11_sort_and_thread_are_off_until_the_operator_wants_them() {
    let mut stage = ScriptedStage::set();
    stage.upstream.plays(knowing(|_, _| false));
    let tool = stage.gateway.add_tool("full", ADDRESS, "full");
    let commands = [
        "SORT (SUBJECT) UTF-8 ALL",
        "UID SORT RETURN (COUNT) (REVERSE DATE) US-ASCII ALL",
        "THREAD REFERENCES UTF-8 ALL",
        "UID THREAD REFERENCES UTF-8 ALL",
    ];
    for is_on in [false, true] {
        if is_on {
            stage.gateway.stop();
            stage.gateway.environment.push(("MAILWARDEN_GATEWAY_COSTLY_SEARCH", "true".to_owned()));
            stage.gateway.serve();
        }
        let mut imap = stage.session(&stage.gateway.token(&tool, ADDRESS));
        let offered = imap.command_ok("c", "CAPABILITY").remove(0);
        for name in ["SORT", "SORT=DISPLAY", "ESORT", "THREAD=REFERENCES"] {
            assert_eq!(offered.split(' ').any(|known| known == name), is_on, "{name}: {offered}");
        }
        let before = stage.upstream.heard().len();
        for command in commands {
            let answer = imap.command("a", command);
            let word = if is_on { "a OK" } else { "a NO [NOPERM]" };
            assert!(answer.len() == 1 && answer[0].starts_with(word), "{command}: {answer:?}");
            let explained = stage.gateway.manage_ok(
                &[
                    "grant",
                    "explain",
                    "--client",
                    &tool.id,
                    "--mailbox",
                    ADDRESS,
                    "--command",
                    command,
                    "--format",
                    "json",
                ],
                b"",
            );
            assert_eq!(explained.contains("\"permitted\":true"), is_on, "{command}: {explained}");
        }
        assert_eq!(stage.upstream.heard().len() - before, if is_on { commands.len() } else { 0 });
    }
}

#[test]
fn im_15_floods_of_the_extensions_take_a_small_buffer() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    let before = stage.gateway.peak_memory_kib();
    let part = ",7654321".repeat(8192);
    for word in [
        "VANISHED (EARLIER) 1",
        "ESEARCH (TAG \"@\") UID ALL 1",
        "SEARCH 1",
        "QUOTA \"\" (1",
        "ESEARCH (TAG \"b\") ALL 1",
    ] {
        let flood = part.clone();
        stage.upstream.plays(knowing(move |peer, command| {
            if command.is("ENABLE") {
                return peer.say(&["* ENABLED QRESYNC", &format!("{} OK done", command.tag)]);
            }
            command.is("UID SEARCH")
                && peer.send(format!("* {}", word.replace('@', &command.tag)))
                && (0..512).all(|_| peer.send(&flood))
                && peer.say(&["", &format!("{} OK found", command.tag)])
        }));
        let mut imap = stage.gateway.imap_session(ADDRESS, &token);
        imap.command_ok("q", "ENABLE QRESYNC");
        imap.command_ok("open", "EXAMINE INBOX");
        imap.send("a UID SEARCH RETURN (ALL) ALL\r\n");
        let mut found = 0_usize;
        imap.each_chunk(|chunk| {
            found += chunk.len();
            chunk.ends_with(b"a OK found\r\n")
        });
        let line = "* ".len() + word.replace('@', "a").len() + 512 * part.len() + "\r\n".len();
        let is_shown = !word.contains("\"b\"");
        assert_eq!(found, "a OK found\r\n".len() + if is_shown { line } else { 0 }, "{word}");
        imap.command_ok("b", "NOOP");
    }
    let after = stage.gateway.peak_memory_kib();
    assert!(after - before < FLAT, "memory rose from {before} to {after} KiB");
}
