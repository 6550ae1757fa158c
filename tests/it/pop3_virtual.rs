//! DELE that removes for one tool alone (`pop3_delete = "virtual"`): what it removed is out of its sight for good, and nobody else's.

use std::fs;

use crate::support::gateway::{Gateway, Tool};
use crate::support::maildir::{seed, snapshot};
use crate::support::pop3::Pop3;
use crate::support::stage::{ADDRESS, ScriptedStage, Stage};
use crate::support::upstream::imap::Script;

/// A tool with this preset and the option; its token.
fn tool(gateway: &Gateway, name: &str, preset: &str) -> (Tool, String) {
    let tool = gateway.add_client(name);
    let args =
        ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", preset, "--pop3-delete", "virtual"];
    gateway.manage_ok(&args, b"");
    let token = gateway.token(&tool, ADDRESS);
    (tool, token)
}

#[test]
fn what_a_tool_removed_is_out_of_its_sight_and_of_nobody_elses() {
    let mut stage = Stage::reading(|dovecot| drop(seed(&dovecot.maildir(ADDRESS), 12, 0)));
    let before = snapshot(&stage.dovecot.mail_root());
    let (remover, token) = tool(&stage.gateway, "remover", "backup");
    // Whatever the scopes are: with this option nothing is removed for real.
    let (_, other) = tool(&stage.gateway, "other", "full");
    let session = |gateway: &Gateway, token: &str| Pop3::session(gateway, ADDRESS, token);
    let mut pop3 = session(&stage.gateway, &token);
    let ids = pop3.unique_ids();
    pop3.say("DELE 1", "+OK");
    pop3.say("DELE 5", "+OK");
    drop(pop3);
    let mut pop3 = session(&stage.gateway, &token);
    assert_eq!(pop3.unique_ids(), ids, "without QUIT nothing is kept");
    for number in [1, 2, 4, 12] {
        pop3.say(&format!("DELE {number}"), "+OK");
    }
    pop3.say("DELE 6", "+OK");
    pop3.say("RSET", "+OK");
    for number in [1, 2, 4, 12] {
        pop3.say(&format!("DELE {number}"), "+OK");
    }
    pop3.say("QUIT", "+OK");
    let left = |gone: &[usize]| -> Vec<String> {
        ids.iter().enumerate().filter(|(row, _)| !gone.contains(&(row + 1))).map(|(_, id)| id.clone()).collect()
    };
    let mut pop3 = session(&stage.gateway, &token);
    assert_eq!(pop3.unique_ids(), left(&[1, 2, 4, 12]));
    // Message 1 of this session is the third of the mailbox.
    let first = String::from_utf8_lossy(&pop3.fetch("TOP 1 0")).into_owned();
    assert!(first.contains("Message-ID: <2@seed.example.net>"), "{first}");
    pop3.say("DELE 1", "+OK");
    pop3.say("QUIT", "+OK");
    let mut all = session(&stage.gateway, &other);
    assert_eq!(all.unique_ids(), ids);
    all.say("DELE 3", "+OK");
    all.say("QUIT", "+OK");
    stage.gateway.stop();
    stage.gateway.serve();
    let mut pop3 = session(&stage.gateway, &token);
    assert_eq!(pop3.unique_ids(), left(&[1, 2, 3, 4, 12]), "a restart forgets nothing");
    assert_eq!(session(&stage.gateway, &other).unique_ids(), left(&[3]));
    assert_eq!(snapshot(&stage.dovecot.mail_root()), before, "octet for octet and flag for flag");
    // What belongs together takes one row: messages 1 to 4, and the last; of the other tool one.
    assert_eq!(stage.gateway.number("SELECT count(*) FROM pop3_hidden"), 3);
    // A message that is gone from the mailbox is forgotten at the next session.
    let files = fs::read_dir(stage.maildir().join("cur")).expect("read the Maildir");
    let twelfth =
        files.map(|entry| entry.expect("an entry").path()).find(|path| path.to_string_lossy().contains(".M11."));
    fs::remove_file(twelfth.expect("the last message")).expect("remove it");
    assert_eq!(session(&stage.gateway, &token).unique_ids(), left(&[1, 2, 3, 4, 12]));
    assert_eq!(stage.gateway.number("SELECT count(*) FROM pop3_hidden"), 2);
    let shown = stage.gateway.manage_ok(&["grant", "list", "--format", "json"], b"");
    let grants: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let grant = grants["grants"]
        .as_array()
        .expect("grants")
        .iter()
        .find(|grant| grant["client"]["id"] == remover.id || grant["client_id"] == remover.id);
    let grant = grant.unwrap_or_else(|| panic!("no grant in {shown}"));
    assert_eq!(grant["bounds"]["pop3_delete"], "virtual", "{grant}");
    stage.gateway.manage_ok(&["grant", "remove", grant["id"].as_str().expect("an id")], b"");
    assert_eq!(stage.gateway.number("SELECT count(*) FROM pop3_hidden"), 1, "it goes with its grant");
    let wrong =
        ["grant", "add", "--client", &remover.id, "--mailbox", ADDRESS, "--preset", "backup", "--pop3-delete", "maybe"];
    assert_eq!(stage.gateway.manage(&wrong, b"").code, Some(2));
}

#[test]
fn a_folder_made_anew_has_nothing_hidden_and_the_upstream_hears_of_nothing() {
    let stage = ScriptedStage::set();
    let (_, token) = tool(&stage.gateway, "remover", "backup");
    let inbox = |validity: u32, uids: &'static [u32]| {
        // Without UIDPLUS: it takes none.
        let script = Script::answering(move |peer, command| {
            let done = format!("{} OK done", command.tag);
            if command.is("EXAMINE") {
                let exists = format!("* {} EXISTS", uids.len());
                return peer.say(&[&exists, &format!("* OK [UIDVALIDITY {validity}] so"), &done]);
            }
            command.is("UID FETCH") && {
                let lines: Vec<String> =
                    (1..).zip(uids).map(|(row, uid)| format!("* {row} FETCH (UID {uid} RFC822.SIZE 9)")).collect();
                lines.iter().all(|line| peer.say(&[line])) && peer.say(&[&done])
            }
        });
        Script { capabilities: "IMAP4rev1 AUTH=PLAIN".to_owned(), ..script }
    };
    let now = |script: Script| {
        stage.upstream.plays(script);
        Pop3::session(&stage.gateway, ADDRESS, &token)
    };
    let mut pop3 = now(inbox(5, &[1, 2, 3, 8]));
    for number in [1, 2, 4] {
        pop3.say(&format!("DELE {number}"), "+OK");
    }
    pop3.say("QUIT", "+OK");
    assert_eq!(now(inbox(5, &[1, 2, 3, 8, 9])).unique_ids(), ["5.3", "5.9"]);
    assert_eq!(now(inbox(5, &[3, 9])).unique_ids(), ["5.3", "5.9"]);
    assert_eq!(stage.gateway.number("SELECT count(*) FROM pop3_hidden"), 0, "all of them are gone");
    let mut pop3 = now(inbox(5, &[3, 9]));
    pop3.say("DELE 1", "+OK");
    pop3.say("QUIT", "+OK");
    assert_eq!(
        now(inbox(6, &[1, 2, 3])).unique_ids(),
        ["6.1", "6.2", "6.3"],
        "under another UIDVALIDITY 3 is another message"
    );
    assert_eq!(now(inbox(5, &[3, 9])).unique_ids(), ["5.3", "5.9"], "and what was kept of the old one is forgotten");
    let heard = stage.upstream.heard();
    assert!(heard.iter().all(|command| command.is("EXAMINE") || command.is("UID FETCH")), "{heard:?}");
}
