//! A database that does not answer: nothing is done by what was read long before, sessions end, and all goes on when it is back.

use std::time::{Duration, Instant};

use crate::support::ca::Ca;
use crate::support::gateway::{Gateway, Upstream};
use crate::support::postgres::Postgres;
use crate::support::stage::{ADDRESS, PASSWORD};
use crate::support::upstream::imap::ScriptedImap;
use crate::support::{folder, wait_for};

#[test]
fn rl_03_a_node_without_its_database_refuses_then_ends_its_sessions_and_recovers() {
    let dir = folder();
    let ca = Ca::create(&dir.path().join("ca"));
    let upstream = ScriptedImap::start(&ca);
    let mut gateway = Gateway::prepare_on(&ca, Some(Postgres::start()));
    gateway.serve();
    let ports = Upstream { imap: upstream.port, smtp: None, starttls: false };
    gateway.add_mailbox(ADDRESS, PASSWORD, ports, &ca).expect_ok("mailbox add");
    let tool = gateway.add_tool("backup", ADDRESS, "backup");
    let token = gateway.token(&tool, ADDRESS);
    let mut idle = gateway.imap_session(ADDRESS, &token);
    idle.command_ok("s", "SELECT INBOX");
    idle.send("i IDLE\r\n");
    assert_eq!(idle.line(), "+ idling");
    let mut busy = gateway.imap_session(ADDRESS, &token);
    let log_in = || {
        let answer = gateway.imap().command("l", &format!("LOGIN {ADDRESS} {token}"));
        answer.last().expect("an answer").clone()
    };

    let paused = gateway.postgres().expect("it runs on PostgreSQL").pause();
    let since = Instant::now();
    busy.command_ok("a", "NOOP");
    let refused = wait_for("a refusal", Duration::from_secs(20), || {
        let answer = busy.command("n", "NOOP");
        answer.last().filter(|last| !last.starts_with("n OK")).cloned()
    });
    let took = since.elapsed();
    assert_eq!(refused, "n NO [UNAVAILABLE] access cannot be checked at the moment");
    assert!(took > Duration::from_secs(8) && took < Duration::from_secs(15), "{took:?}");
    let asked = Instant::now();
    let answer = log_in();
    assert!(answer.starts_with("l NO [UNAVAILABLE]"), "{answer}");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    for session in [&mut idle, &mut busy] {
        session.patience(Duration::from_secs(60));
        let heard = session.rest().expect("an end");
        assert_eq!(heard, ["* BYE [UNAVAILABLE] access cannot be checked at the moment, reconnect later"]);
    }
    let took = since.elapsed();
    assert!(took > Duration::from_secs(28) && took < Duration::from_secs(36), "{took:?}");

    drop(paused);
    wait_for("a login", Duration::from_secs(5), || log_in().starts_with("l OK").then_some(()));
    gateway.manage_ok(&["audit", "verify"], b"");
}
