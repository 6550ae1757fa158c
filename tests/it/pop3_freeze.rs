//! POP3 under a freeze: nothing is removed, not even what was marked before, and a cut ends the session.

use std::time::Duration;

use serde_json::Value;

use crate::support::gateway::plain;
use crate::support::maildir::{messages, seed};
use crate::support::pop3::Pop3;
use crate::support::stage::{ADDRESS, Stage};

/// Freezes the tool; gives the freeze's id.
fn freeze(stage: &Stage, client: &str, level: &str) -> String {
    let args = ["freeze", "--client", client, "--level", level, "--reason", "a drill", "--format", "json"];
    let printed: Value = serde_json::from_str(&stage.gateway.manage_ok(&args, b"")).expect("JSON");
    printed["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_freeze_to_reading_removes_nothing_and_a_cut_ends_the_session() {
    let stage = Stage::reading(|dovecot| drop(seed(&dovecot.maildir(ADDRESS), 3, 0)));
    let tool = stage.gateway.add_tool("keeper", ADDRESS, "full");
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut marked = Pop3::session(&stage.gateway, ADDRESS, &token);
    marked.say("DELE 1", "+OK");
    let mut reader = Pop3::session(&stage.gateway, ADDRESS, &token);
    let id = freeze(&stage, &tool.id, "read-only");
    reader.say("RSET", "+OK");
    let refused = reader.say("DELE 2", "-ERR [SYS/TEMP]");
    assert!(refused.contains(&id) && refused.contains("(verdict vrd_"), "{refused}");
    assert!(!reader.fetch("RETR 2").is_empty(), "reading goes on");
    let quit = marked.say("QUIT", "-ERR [SYS/TEMP]");
    assert!(quit.contains(&id), "{quit}");
    assert_eq!(messages(&stage.maildir()).len(), 3, "what was marked before the freeze stays");
    freeze(&stage, &tool.id, "cut");
    reader.wire.patience(Duration::from_secs(3));
    assert_eq!(reader.wire.rest().expect("the session went on"), ["-ERR [SYS/TEMP] access is frozen for now"]);
    Pop3::open(&stage.gateway).say(&format!("AUTH PLAIN {}", plain(ADDRESS, &token)), "-ERR [SYS/TEMP]");
}
