//! What a grant holds a tool to at the IMAP gateway: folders under every alias, the append-only role, and what commands may cost.

use crate::support::maildir;
use crate::support::stage::{ADDRESS, ScriptedStage, Stage};
use crate::support::upstream::imap::{Command, Script};

/// Names for folders outside the bounds, and names that lead out of a folder inside.
const ALIASES: &[&str] = &[
    "INBOX",
    "inbox",
    "iNbOx",
    "INBOX/",
    "Secret",
    "secret",
    "Secret/",
    "Secret/Deep",
    "/Secret",
    "./Secret",
    "Archive/../Secret",
    "Archive/..",
    "Archive//2025",
    "Archive/./2025",
    "archive",
    "ARCHIVE/2025",
    "&AFM-ecret",
    "S&AGU-cret",
    "Archive&AC8-2025",
    "&AEE-rchive",
    "S&AOk-cret",
    "S\u{e9}cret",
    "Archive.2025",
    "#shared/Secret",
    "#news.example",
    "Other Users/boss",
    "~boss/Secret",
    "Archive*",
    "Archive%",
    "",
];

#[test]
fn im_08_folder_bounds_hold_under_every_alias() {
    let stage = Stage::reading(|dovecot| {
        let root = dovecot.maildir(ADDRESS);
        maildir::seed(&root, 3, 0);
        for name in [".Archive", ".Archive.2025", ".Secret", ".Secret.Deep", ".S&AOk-cret"] {
            for part in ["cur", "new", "tmp"] {
                std::fs::create_dir_all(root.join(name).join(part)).expect("make a folder");
            }
        }
        std::fs::write(root.join("subscriptions"), "Archive\nSecret\nS&AOk-cret\n").expect("write the subscriptions");
        crate::support::give_to_mail_user(&root);
    });
    let before = maildir::snapshot(&stage.maildir());
    let tool = stage.gateway.add_bounded_tool("bounded", ADDRESS, "full", &["Archive", "Archive/*"]);
    let mut imap = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&tool, ADDRESS));
    for alias in ALIASES {
        let forms = [format!("\"{alias}\""), format!("{{{}+}}\r\n{alias}", alias.len())];
        for name in &forms {
            for command in [
                format!("SELECT {name}"),
                format!("EXAMINE {name}"),
                format!("STATUS {name} (MESSAGES UNSEEN)"),
                format!("RENAME Archive/2025 {name}"),
                format!("RENAME {name} Archive/stolen"),
                format!("CREATE {name}"),
                format!("DELETE {name}"),
                format!("SUBSCRIBE {name}"),
                format!("APPEND {name} {{1+}}\r\nx"),
                format!("GETMETADATA {name} /shared/comment"),
                format!("SELECT {name} (QRESYNC (1 1))"),
                format!("APPEND {name} CATENATE (URL \"/Secret;UID=1\")"),
            ] {
                let answer = imap.command("a", &command);
                let last = answer.last().expect("an answer");
                assert!(last.starts_with("a NO [NOPERM]") || last.starts_with("a BAD"), "{command:?}: {answer:?}");
                assert!(answer.len() == 1, "{command:?}: {answer:?}");
            }
            imap.command_ok("open", "SELECT Archive");
            for command in [format!("COPY 1:* {name}"), format!("UID MOVE 1:* {name}")] {
                let answer = imap.command("b", &command);
                let last = answer.last().expect("an answer");
                assert!(last.starts_with("b NO [NOPERM]") || last.starts_with("b BAD"), "{command:?}: {answer:?}");
            }
        }
    }
    for command in ["NOTIFY SET (SUBSCRIBED (MessageNew))", "ESEARCH IN (mailboxes Secret) ALL", "MYRIGHTS Secret"] {
        let answer = imap.command("c", command);
        assert!(answer.len() == 1 && answer[0].starts_with("c NO [NOPERM]"), "{command}: {answer:?}");
    }
    for pattern in [
        "\"\" *",
        "\"\" %",
        "\"\" Secret",
        "Secret *",
        "\"\" \"Sec*\"",
        "\"Archive/../\" *",
        "\"\" \"*/Deep\"",
        "\"\" INBOX",
    ] {
        for word in ["LIST", "LSUB"] {
            let answer = imap.command_ok("d", &format!("{word} {pattern}"));
            let shown = answer.iter().filter(|line| line.starts_with("* ")).collect::<Vec<_>>();
            assert!(shown.iter().all(|line| line.contains("Archive")), "{word} {pattern}: {answer:?}");
        }
    }
    let everything = imap.command_ok("e", "LIST \"\" *");
    assert_eq!(everything.len(), 3, "Archive, Archive/2025 and the answer: {everything:?}");
    for right in ["SELECT archive/2025", "STATUS Archive/2025 (MESSAGES)", "SELECT \"Archive\""] {
        let is_right_case = !right.contains("archive");
        let answer = imap.command("f", right);
        assert_eq!(answer.last().expect("an answer").starts_with("f OK"), is_right_case, "{right}: {answer:?}");
    }
    assert!(maildir::snapshot(&stage.maildir()) == before, "the mailbox changed");
}

#[test]
fn im_08_no_folder_is_moved_into_the_bounds_with_its_parent() {
    let stage = Stage::reading(|dovecot| {
        let root = dovecot.maildir(ADDRESS);
        for name in [".Team", ".Team.Payroll", ".Mine", ".Mine.Old", ".Mine.Old.Deep", ".Lone"] {
            for part in ["cur", "new", "tmp"] {
                std::fs::create_dir_all(root.join(name).join(part)).expect("make a folder");
            }
        }
        crate::support::give_to_mail_user(&root);
    });
    let before = maildir::snapshot(&stage.maildir());
    let folders = ["Team", "Mine/*", "Lone", "Nest/In/Deep"];
    let tool = stage.gateway.add_bounded_tool("bounded", ADDRESS, "full", &folders);
    let mut imap = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&tool, ADDRESS));
    for (from, to) in
        [("Team", "Mine/T"), ("Mine/Old", "Team"), ("Lone", "Mine/Lone"), ("Mine/Old", "Lone"), ("Team", "Lone")]
    {
        let answer = imap.command("a", &format!("RENAME {from} {to}"));
        assert!(answer.len() == 1 && answer[0].starts_with("a NO [NOPERM]"), "{from} {to}: {answer:?}");
    }
    for outside in ["Mine/T/Payroll", "Lone/Deep", "Team/Deep"] {
        let answer = imap.command("b", &format!("SELECT {outside}"));
        assert!(answer[0].starts_with("b NO"), "{outside}: {answer:?}");
    }
    assert!(maildir::snapshot(&stage.maildir()) == before, "the mailbox changed");
    imap.command_ok("c", "RENAME Mine/Old Mine/New");
    imap.command_ok("d", "SELECT Mine/New/Deep");
    imap.command_ok("e", "UNSELECT");
    // What goes with a folder that is removed is that folder alone; what comes with one that is made are parents that it names.
    imap.command_ok("f", "DELETE Team");
    assert!(stage.maildir().join(".Team.Payroll").is_dir(), "what lies below went too");
    imap.command_ok("g", "CREATE Nest/In/Deep");
    imap.command_ok("h", "CREATE Mine/A/B");
    for outside in ["CREATE Nest/In/Other", "CREATE Nest/In", "CREATE Team/New", "DELETE Nest", "SELECT Nest/In"] {
        let answer = imap.command("i", outside);
        assert!(answer.len() == 1 && answer[0].starts_with("i NO [NOPERM]"), "{outside}: {answer:?}");
    }
}

#[test]
fn im_08_names_are_judged_by_the_upstreams_own_delimiter() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_bounded_tool("bounded", ADDRESS, "backup", &["Archive/*", "Odd \"name\""]);
    let token = stage.gateway.token(&tool, ADDRESS);
    stage.upstream.plays(Script::answering(|peer, command| {
        let tag = &command.tag;
        if command.is("LIST \"\" \"\"") {
            return peer.say(&["* LIST (\\Noselect) \".\" \"\"", &format!("{tag} OK done")]);
        }
        command.is("LIST")
            && peer.say(&[
                "* LIST (\\HasChildren) \".\" Archive",
                "* LIST () \".\" Archive.2025",
                "* LIST () \".\" \"Archive.2026\"",
                "* LIST () \".\" {12}",
                "Archive.2027",
                "* LIST () NIL \"Odd \\\"name\\\"\"",
                "* LIST () \"/\" \"Archive.2028\"",
                "* LIST () \"/\" \"Archive/2029\"",
                "* LIST () \".\" \"Archive/2030\"",
                "* LIST () \".\" Secret",
                "* LIST () \".\" {6}",
                "Secret",
                "* LIST () \".\" \"#shared.Secret\"",
                "* LIST () \".\" \"Other Users.boss\"",
                "* LIST () \".\" \"&AFM-ecret\"",
                "* STATUS Secret (MESSAGES 3)",
                "* STATUS Archive.2025 (MESSAGES 3)",
                &format!("{tag} OK done"),
            ])
    }));
    let mut imap = stage.gateway.imap_session(ADDRESS, &token);
    let shown = imap.command_ok("a", "LIST \"\" *");
    assert_eq!(
        shown,
        [
            "* LIST (\\Noselect) \".\" Archive",
            "* LIST () \".\" Archive.2025",
            "* LIST () \".\" \"Archive.2026\"",
            "* LIST () \".\" {12}",
            "Archive.2027",
            "* LIST () NIL \"Odd \\\"name\\\"\"",
            "* LIST () \"/\" \"Archive/2029\"",
            "* STATUS Archive.2025 (MESSAGES 3)",
            "a OK done",
        ]
    );
    for (name, good) in [("Archive.2025", true), ("Archive/2025", false), ("Archive", false), ("Archive.", false)] {
        let answer = imap.command("b", &format!("EXAMINE \"{name}\""));
        assert_eq!(answer.last().expect("an answer").starts_with("b OK"), good, "{name}: {answer:?}");
    }
}

#[test]
fn im_09_a_pattern_costs_no_more_than_its_length() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_bounded_tool("bounded", ADDRESS, "backup", &["Archive/*"]);
    let token = stage.gateway.token(&tool, ADDRESS);
    stage.upstream.plays(Script::answering(|peer, command| {
        let names = (0..1000).map(|n| format!("* LIST () \"/\" Archive/{n}\r\n")).collect::<String>();
        command.is("LIST \"\" *") && peer.send(names) && peer.say(&[&format!("{} OK done", command.tag)])
    }));
    let mut imap = stage.gateway.imap_session(ADDRESS, &token);
    for (asked, said) in
        [("%*".repeat(200), Some("*")), ("%%%".to_owned(), Some("%")), ("a%*b*%c".to_owned(), Some("a*b*c"))]
    {
        let before = stage.upstream.heard().len();
        let answer = imap.command_ok("a", &format!("LIST \"\" {asked}"));
        assert!(said != Some("*") || answer.len() == 1001, "{asked}: {} names", answer.len());
        let heard = stage.upstream.heard()[before..].iter().map(Command::as_text).collect::<Vec<_>>();
        assert_eq!(heard, [format!("LIST \"\" {}", said.expect("a pattern"))], "{asked}");
    }
    let before = stage.upstream.heard().len();
    for pattern in ["a*".repeat(200), "%a".repeat(9)] {
        let answer = imap.command("b", &format!("LIST \"\" {pattern}"));
        assert!(answer.len() == 1 && answer[0].starts_with("b NO [NOPERM]"), "{answer:?}");
    }
    assert_eq!(stage.upstream.heard().len(), before, "a costly pattern went upstream");
}

#[test]
fn im_10_who_may_only_append_cannot_read() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_bounded_tool("bounded", ADDRESS, "restore", &["Restored"]);
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut imap = stage.gateway.imap_session(ADDRESS, &token);
    let before = stage.upstream.heard().len();
    for command in [
        "SELECT Restored",
        "EXAMINE Restored",
        "FETCH 1 BODY[]",
        "UID FETCH 1:* FLAGS",
        "SEARCH ALL",
        "UID SEARCH TEXT x",
        "COPY 1 Restored",
        "UID COPY 1 Restored",
        "MOVE 1 Restored",
        "STORE 1 +FLAGS (\\Seen)",
        "STATUS Restored (MESSAGES)",
        "IDLE",
        "URLFETCH \"imap://x/\"",
        "GETMETADATA Restored /shared/comment",
        "APPEND Other {1+}\r\nx",
        "APPEND INBOX {1+}\r\nx",
        "APPEND Restored CATENATE (URL \"/INBOX;UID=1\")",
        "EXPUNGE",
    ] {
        let answer = imap.command("a", command);
        assert!(answer.len() == 1 && !answer[0].starts_with("a OK"), "{command}: {answer:?}");
    }
    assert_eq!(stage.upstream.heard().len(), before, "something of it went upstream");
    imap.command_ok("b", "APPEND Restored (\\Seen \\Deleted) {3+}\r\nabc");
    let heard = stage.upstream.heard()[before..].iter().map(Command::as_text).collect::<Vec<_>>();
    assert_eq!(heard, ["APPEND Restored (\\Seen) {3+}\r\nabc"]);
    imap.send("c APPEND Restored {1+}\r\nx {1+}\r\ny\r\n");
    let heard = imap.rest().expect("an end");
    assert!(heard.iter().all(|line| !line.starts_with("c OK")), "two messages at once: {heard:?}");
}

#[test]
fn im_11_costly_commands_are_bounded() {
    let stage = ScriptedStage::set();
    let mut imap = stage.session(&stage.token("full"));
    let before = stage.upstream.heard().len();
    for command in [
        "SORT (SUBJECT) UTF-8 ALL".to_owned(),
        "UID SORT (REVERSE DATE) US-ASCII ALL".to_owned(),
        "THREAD REFERENCES UTF-8 ALL".to_owned(),
        "UID THREAD ORDEREDSUBJECT UTF-8 ALL".to_owned(),
        format!("SEARCH {}SEEN", "NOT ".repeat(21)),
        format!("SEARCH {}SEEN", "NOT ".repeat(10_000)),
        format!("SEARCH {}SEEN{}", "(".repeat(21), ")".repeat(21)),
        format!("SEARCH {}SEEN{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("SEARCH {}SEEN{}", "OR SEEN ".repeat(2000), " SEEN"),
    ] {
        let answer = imap.command("a", &command);
        assert!(answer.len() == 1 && !answer[0].starts_with("a OK"), "{command:.40}: {answer:?}");
    }
    assert_eq!(stage.upstream.heard().len(), before, "something of it went upstream");
    imap.command_ok("b", "SEARCH NOT NOT NOT SEEN OR (SEEN) (OR SEEN UNSEEN)");
}

#[test]
fn im_14_sets_are_not_expanded() {
    let stage = ScriptedStage::set();
    let mut imap = stage.session(&stage.token("full"));
    let before = stage.gateway.peak_memory_kib();
    let long = (1..2000).map(|n| format!("{n}:4294967295")).take(560).collect::<Vec<_>>().join(",");
    assert!(long.len() > 8000, "about 8 KiB: {}", long.len());
    for set in ["1:4294967295", "4294967295:1", "*:1", &long] {
        for command in ["FETCH # FLAGS", "UID FETCH # (UID)", "STORE # +FLAGS (\\Seen)", "COPY # INBOX", "SEARCH UID #"]
        {
            let asked = command.replace('#', set);
            imap.command_ok("a", &asked);
            let heard = stage.upstream.heard().last().expect("a command").as_text();
            assert!(heard.contains(set), "{command} came with another set: {heard}");
        }
    }
    let after = stage.gateway.peak_memory_kib();
    assert!(after - before < 8 * 1024, "memory rose from {before} to {after} KiB");
}
