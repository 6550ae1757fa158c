//! What is cut or killed is gone at the upstream's own sockets, whatever its tool does.

use std::time::Instant;

use crate::support::frozen_scene::Scene;
use crate::support::sockets::{established, left};
use crate::support::stage::ADDRESS;
use crate::support::submission::begin;
use crate::support::upstream::imap::Script;
use crate::support::wire::Wire;
use crate::support::{PATIENCE, wait_for};

fn idle(scene: &Scene) -> Wire {
    let mut imap = scene.imap_session();
    imap.send("b IDLE\r\n");
    assert!(imap.line().starts_with('+'));
    imap
}

#[test]
fn gw_11_a_kill_or_cut_closes_a_hundred_connections_at_the_upstream_within_a_second() {
    let scene = Scene::set();
    let other = scene.gateway.add_tool("bystander", ADDRESS, "backup");
    let mut bystander = scene.gateway.imap_session(ADDRESS, &scene.gateway.token(&other, ADDRESS));
    for (args, word) in [
        (&["session", "kill", "--client", &scene.tool.id][..], "[CONTACTADMIN] access revoked"),
        (&["freeze", "--client", &scene.tool.id, "--level", "cut", "--reason", "a drill"], "access is frozen"),
    ] {
        let mut sessions: Vec<Wire> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..25).map(|_| idle(&scene)).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("sessions")).collect()
        });
        assert_eq!(established(scene.imap.port), 101);
        scene.gateway.manage_ok(args, b"");
        left(scene.imap.port, 1, Instant::now());
        for session in &mut sessions {
            let lines = session.rest().expect("an orderly end");
            assert!(lines.iter().any(|line| line.starts_with("* BYE") && line.contains(word)), "{lines:?}");
        }
    }
    bystander.command_ok("a", "NOOP");
}

#[test]
fn gw_11_a_tool_that_does_not_read_keeps_no_connection_to_its_mailbox() {
    let scene = Scene::set();
    let length = 200 << 20;
    scene.imap.plays(Script::answering(move |peer, command| {
        let chunk = vec![b'x'; 64 << 10];
        command.is("FETCH")
            && peer.send(format!("* 1 FETCH (BODY[] {{{length}}}\r\n"))
            && (0..length / chunk.len()).all(|_| peer.send(&chunk))
    }));
    for args in [
        &["session", "kill", "--client", &scene.tool.id][..],
        &["freeze", "--client", &scene.tool.id, "--level", "cut", "--reason", "a drill"],
    ] {
        // In the middle of a response, and its tool reads no more of it.
        let mut stalled = scene.imap_session();
        stalled.send("a FETCH 1 BODY[]\r\n");
        assert!(stalled.line().starts_with("* 1 FETCH"));
        // In the middle of a literal.
        let mut adding = scene.imap_session();
        // What is missing has the length of a goodbye.
        adding.send("a APPEND INBOX {19}\r\n");
        assert!(adding.line().starts_with('+'));
        adding.send("half of it");
        // In the middle of a message.
        let mut sending = scene.smtp_session();
        begin(&mut sending);
        sending.send(format!("From: <{ADDRESS}>\r\n\r\nhalf of it\r\n"));
        assert_eq!(established(scene.imap.port), 2);
        assert_eq!(established(scene.smtp.port), 1);
        scene.gateway.manage_ok(args, b"");
        let since = Instant::now();
        left(scene.imap.port, 0, since);
        left(scene.smtp.port, 0, since);
        drop((stalled, adding, sending));
    }
    assert!(scene.smtp.messages().is_empty(), "half a message was sent");
    assert!(!scene.imap.heard().iter().any(|command| command.is("APPEND")), "half a message was added");
}

#[test]
fn gw_11_a_login_that_the_upstream_does_not_answer_is_given_up_by_a_cut() {
    let scene = Scene::set();
    // It says nothing after the password, and holds the connection.
    scene.imap.plays(Script { login: String::new(), greeting: String::new(), ..Script::default() });
    let mut imap = scene.gateway.imap();
    imap.send(format!("a LOGIN {ADDRESS} {}\r\n", scene.token));
    wait_for("the login to be under way", PATIENCE, || (established(scene.imap.port) == 1).then_some(()));
    scene.gateway.manage_ok(&["freeze", "--all", "--level", "cut", "--reason", "a drill"], b"");
    left(scene.imap.port, 0, Instant::now());
    let answer = imap.answer("a");
    assert!(answer.last().is_some_and(|line| line.starts_with("a NO [UNAVAILABLE]")), "{answer:?}");
}
