//! Who has changed or removed which message: the audit log names folder and UIDs, whatever numbers the tool used, and says what it does
//! not know.

use serde_json::Value;

use crate::support::api::Api;
use crate::support::gateway::Gateway;
use crate::support::stage::{ADDRESS, ScriptedStage};
use crate::support::upstream::imap::{CAPABILITIES, Command, Peer, Script};
use crate::who_read::stage;

/// Each record of a change: its details but UIDVALIDITY, and its outcome.
fn changes(gateway: &Gateway) -> Vec<String> {
    let log = gateway.audit();
    let changes = log
        .iter()
        .filter(|event| ["messages.changed", "folder.changed"].contains(&event["code"].as_str().expect("a code")));
    changes
        .map(|event| {
            let details = event["detail"].as_object().expect("details").iter();
            let told = details.filter(|(name, _)| *name != "uidvalidity" && *name != "message_ids");
            let told = told.map(|(name, value)| format!("{name}={}", value.as_str().expect("a text")));
            let outcome = event["outcome"].as_str().expect("an outcome").to_owned();
            told.chain([outcome]).collect::<Vec<_>>().join(" ")
        })
        .collect()
}

#[test]
fn changes_are_recorded_with_folder_and_uids_before_the_tool_hears_ok() {
    let stage = stage(9);
    let tool = stage.gateway.add_tool("all", ADDRESS, "full");
    let mut imap = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&tool, ADDRESS));
    let message = "Message-ID: <added@x.test>\r\n\r\nx";
    for (command, expected) in [
        ("CREATE Archive", "command=CREATE folder=Archive success"),
        ("SELECT INBOX", ""),
        (
            r"UID STORE 1:2 +FLAGS (\Seen work)",
            r"command=UID STORE flags=\Seen work folder=INBOX kind=+FLAGS uids=1:2 success",
        ),
        ("COPY 1 Archive", "command=COPY folder=INBOX target=Archive uids=1 success"),
        ("MOVE 2 Archive", "command=MOVE folder=INBOX target=Archive uids=2 success"),
        // From here on the numbers are not the UIDs.
        (
            r"STORE 2,* FLAGS.SILENT (\Deleted)",
            r"command=STORE flags=\Deleted folder=INBOX kind=FLAGS uids=3,9 success",
        ),
        ("UID EXPUNGE 1:5", "command=UID EXPUNGE folder=INBOX uids=3 success"),
        (r"STORE 2 +FLAGS (\Deleted)", r"command=STORE flags=\Deleted folder=INBOX kind=+FLAGS uids=4 success"),
        ("EXPUNGE", "command=EXPUNGE folder=INBOX uids=4,9 success"),
        ("EXPUNGE", "command=EXPUNGE folder=INBOX uids= success"),
        (r"STORE 1:2 +FLAGS (\Deleted)", r"command=STORE flags=\Deleted folder=INBOX kind=+FLAGS uids=1,5 success"),
        ("CLOSE", "command=CLOSE folder=INBOX uids=1,5 success"),
        ("EXAMINE INBOX", ""),
        ("CLOSE", ""),
        ("SELECT INBOX", ""),
        (r"STORE 9 +FLAGS (\Seen)", ""),
    ] {
        let before = changes(&stage.gateway);
        let answer = imap.command("a", command);
        let is_wrong = command.starts_with("STORE 9");
        assert_eq!(answer.last().is_some_and(|line| line.starts_with("a OK")), !is_wrong, "{command}: {answer:?}");
        let mut now = changes(&stage.gateway).split_off(before.len());
        if !is_wrong {
            assert_eq!(now.pop().unwrap_or_default(), expected, "{command}");
            assert!(now.is_empty(), "{command}: {now:?}");
        }
    }
    imap.command_ok("f", &format!("APPEND Archive {{{}+}}\r\n{message}", message.len()));
    assert!(imap.command("g", "COPY 1 Nowhere").last().is_some_and(|line| line.starts_with("g NO")));
    imap.command_ok("h", "NOOP");
    let changes = changes(&stage.gateway);
    assert_eq!(
        changes[changes.len() - 3..],
        [
            format!("bytes={} command=APPEND folder=Archive success", message.len()),
            "command=COPY folder=INBOX target=Nowhere uids=6 success".to_owned(),
            "command=COPY folder=INBOX target=Nowhere uids=6 failure".to_owned(),
        ]
    );
    let operator = &stage.gateway.operator_token;
    let added: Value = Api::of(&stage.gateway).get("/api/v1/audit/who-read?message_id=added@x.test", operator).json();
    assert_eq!(added["readings"][0]["what"], "added");
    stage.gateway.manage_ok(&["audit", "verify"], b"");
}

/// A session with an upstream that says this to what the gateway asks of its own accord.
fn recorded(
    capabilities: &str,
    command: &str,
    says: impl Fn(&mut Peer, &Command) -> bool + Send + Sync + 'static,
) -> Vec<String> {
    let stage = ScriptedStage::set();
    let capabilities = format!("{CAPABILITIES} {capabilities}").trim_end().to_owned();
    stage.upstream.plays(Script { capabilities, ..Script::answering(says) });
    let mut imap = stage.session(&stage.token("full"));
    imap.command_ok("a", command);
    changes(&stage.gateway)
}

#[test]
fn what_goes_is_asked_for_in_the_words_that_the_upstream_knows() {
    let many: Vec<String> = (1..=15_000).map(|number| (2 * number).to_string()).collect();
    let all = many.join(" ");
    let found = all.clone();
    let told = recorded("", "EXPUNGE", move |peer, command| {
        command.text == b"UID SEARCH DELETED"
            && peer.say(&[&format!("* SEARCH {found}"), &format!("{} OK found", command.tag)])
    });
    // A line of any length, in as many records as it takes.
    let uids =
        |line: &String| line.split("uids=").nth(1).and_then(|rest| rest.split(' ').next()).expect("UIDs").to_owned();
    assert!(told.len() > 4 && told.iter().all(|line| line.len() < 17_000 && !line.contains("cut=")), "{}", told.len());
    assert_eq!(
        told.iter().map(uids).collect::<Vec<_>>().join(",").split(',').collect::<Vec<_>>(),
        all.split(' ').collect::<Vec<_>>()
    );
    let told = recorded("ESEARCH", "CLOSE", |peer, command| {
        let found = format!("* ESEARCH (TAG \"{}\") UID ALL 7,9:11", command.tag);
        command.text == b"UID SEARCH RETURN (ALL) DELETED" && peer.say(&[&found, &format!("{} OK found", command.tag)])
    });
    assert_eq!(told, ["command=CLOSE folder=INBOX uids=7,9:11 success"]);
}

#[test]
fn what_nobody_can_say_is_recorded_as_not_known() {
    for refused in ["NO", "OK", "BAD"] {
        let says = move |peer: &mut Peer, command: &Command| {
            (command.is("UID SEARCH") || command.is("FETCH")) && peer.say(&[&format!("{} {refused} so", command.tag)])
        };
        let expunged = recorded("", "EXPUNGE", says);
        assert_eq!(expunged, ["command=EXPUNGE folder=INBOX uids=unknown success"], "{refused}");
        let stored = recorded("", r"STORE 1 -FLAGS (\Seen)", says);
        let expected = r"command=STORE flags=\Seen folder=INBOX kind=-FLAGS sequence=1 uids=unknown success";
        assert_eq!(stored, [expected], "{refused}");
        let expunged = recorded("", "UID EXPUNGE 4:*", says);
        assert_eq!(expunged, ["command=UID EXPUNGE folder=INBOX uids=4:* success"], "as it was asked for");
    }
    // More than is kept.
    let many: String = (1..=25_000).map(|number| format!(" {}", 2 * number)).collect();
    let told = recorded("", "EXPUNGE", move |peer, command| {
        command.is("UID SEARCH") && peer.say(&[&format!("* SEARCH{many}"), &format!("{} OK found", command.tag)])
    });
    assert_eq!(told, ["command=EXPUNGE folder=INBOX uids=unknown success"]);
}

#[test]
fn an_upstream_that_moves_the_numbers_while_it_is_asked_for_uids_gets_no_command_for_another_message() {
    let stage = ScriptedStage::set();
    stage.upstream.plays(Script::answering(|peer, command| {
        command.is("FETCH") && peer.say(&["* 1 EXPUNGE", "* 1 FETCH (UID 7)", &format!("{} OK so", command.tag)])
    }));
    let mut imap = stage.session(&stage.token("full"));
    imap.send("a STORE 1 +FLAGS (\\Deleted)\r\n");
    let heard = imap.rest().expect("an end");
    assert!(!heard.iter().any(|line| line.starts_with("a OK")), "{heard:?}");
    assert!(!stage.upstream.heard().iter().any(|command| command.is("STORE")), "it went to another message");
}
