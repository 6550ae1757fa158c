//! POP3 under a freeze: nothing is removed, not even what was marked before, and a cut ends the session. And under budgets.

use std::time::Duration;

use serde_json::Value;

use crate::support::gateway::plain;
use crate::support::maildir::{messages, seed};
use crate::support::pop3::Pop3;
use crate::support::stage::{ADDRESS, Stage};
use crate::support::{PATIENCE, wait_for};

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

#[test]
fn what_is_read_by_pop3_counts_on_the_grants_budgets() {
    let stage = Stage::reading(|dovecot| drop(seed(&dovecot.maildir(ADDRESS), 4, 0)));
    let tool = stage.gateway.add_client("counted");
    let grant = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "backup"];
    let budgets = ["--budget", "messages_read=2/day", "--budget", "folders=1/day", "--budget", "bytes=100000/day"];
    stage.gateway.manage_ok(&[&grant[..], &budgets].concat(), b"");
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &token);
    let (message, header) = (pop3.fetch("TOP 1 1000000").len(), pop3.fetch("TOP 2 0").len());
    assert!(message > 0 && header > 0, "lines of a body are a message, and a header is none");
    pop3.say("QUIT", "+OK");
    // What was taken ahead goes back at the end; beside the octets the lines around them count.
    let (least, most) = (message + header, message + header + 100);
    wait_for("the octets to be counted", PATIENCE, || {
        let used = stage.gateway.number("SELECT CAST(SUM(used) AS BIGINT) FROM budget_uses WHERE what = 'bytes'");
        (least..most).contains(&usize::try_from(used).expect("a number")).then_some(())
    });
    // A session later, and INBOX is the same folder still.
    let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &token);
    assert!(!pop3.fetch("RETR 2").is_empty());
    let refused = pop3.say("RETR 3", "-ERR [SYS/TEMP]");
    assert!(refused.contains("messages_read=2/day") && refused.contains("(verdict vrd_"), "{refused}");
    let refused = pop3.say("TOP 3 1", "-ERR [SYS/TEMP]");
    assert!(refused.contains("messages_read=2/day"), "{refused}");
    assert!(!pop3.fetch("TOP 3 0").is_empty(), "a header is no message");
    pop3.say("UIDL 3", "+OK");
    // The other protocol counts on the same.
    let mut imap = stage.gateway.imap_session(ADDRESS, &token);
    imap.command_ok("a", "SELECT INBOX");
    let answer = imap.command("b", "FETCH 3 BODY[]");
    assert!(answer.last().is_some_and(|line| line.starts_with("b NO [LIMIT]")), "{answer:?}");
}
