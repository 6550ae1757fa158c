//! Floods at the token endpoint: what is too much is refused early, and others do not notice.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::gateway::Tool;
use crate::support::http::{HERE, answer, ask, basic, connect, elsewhere, exchange, post};
use crate::support::stage::{ADDRESS, Stage};

const GRANT: &str = "grant_type=client_credentials";
/// Longest body that is read.
const LONGEST: usize = 64 * 1024;

#[test]
fn tok_18_bodies_are_bounded_before_they_are_read() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let header = basic(&gateway.add_tool("backup", ADDRESS, "backup"));
    let padded = |length: usize| format!("{GRANT}&x={}", "y".repeat(length - GRANT.len() - 3));
    assert_eq!(ask(gateway, HERE, post(&header, &padded(LONGEST))).status, 200);
    let chunked = {
        let body = padded(LONGEST + 1);
        let head = post(&format!("{header}Transfer-Encoding: chunked\r\n"), "").replace("Content-Length: 0\r\n", "");
        format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
    };
    for too_long in [post(&header, &padded(LONGEST + 1)), chunked] {
        let answer = ask(gateway, HERE, too_long);
        assert_eq!((answer.status, answer.json()["error"].as_str()), (413, Some("invalid_request")), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let nested = format!("{}{}", "[".repeat(33), "]".repeat(33));
    let answer = ask(gateway, HERE, post(&format!("{header}Content-Type: application/json\r\n"), &nested));
    assert_eq!(answer.status, 400, "{answer:?}");
}

#[test]
fn tok_18_a_thousand_longest_bodies_at_once_take_bounded_memory() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let request =
        post(&basic(&gateway.add_tool("backup", ADDRESS, "backup")), &format!("{GRANT}&x={}", "y".repeat(65_000)));
    let (first, last) = request.split_at(request.len() - 1);
    let mut wires = (0..1000).map(|_| connect(gateway, HERE)).collect::<Vec<_>>();
    for wire in &mut wires {
        wire.send(first);
    }
    // All but the last octet of each is under way or held; the first that get theirs are answered all the same.
    for wire in wires.iter_mut().take(10) {
        wire.send(last);
        assert_eq!(answer(wire).status, 200);
    }
    let held = gateway.resident_octets() / 1024 / 1024;
    assert!(held < 256, "{held} MiB");
    drop(wires);
    assert_eq!(ask(gateway, HERE, &request).status, 200);
}

#[test]
fn tok_19_a_flood_of_wrong_secrets_does_not_reach_another_source() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let tool = gateway.add_tool("backup", ADDRESS, "backup");
    let wrong = Tool { secret: "wrong".to_owned(), ..tool.clone() };
    let (right, wrong) = (post(&basic(&tool), GRANT), post(&basic(&wrong), GRANT));
    let (over, flooding) = (AtomicBool::new(false), AtomicBool::new(false));
    let (served, refused, slowed) = std::thread::scope(|scope| {
        let flood = (0..4).map(|_| {
            scope.spawn(|| {
                let mut wire = connect(gateway, HERE);
                let (mut refused, mut slowed) = (0, 0);
                while !over.load(Ordering::SeqCst) || slowed == 0 {
                    let answer = exchange(&mut wire, &wrong);
                    match answer.status {
                        401 => refused += 1,
                        429 => {
                            let wait = answer.header("retry-after").and_then(|secs| secs.parse::<u32>().ok());
                            assert!(wait.is_some_and(|wait| (1..=60).contains(&wait)), "{answer:?}");
                            slowed += 1;
                            flooding.store(true, Ordering::SeqCst);
                        }
                        other => panic!("{other}: {answer:?}"),
                    }
                }
                (refused, slowed)
            })
        });
        let flood = flood.collect::<Vec<_>>();
        crate::support::wait_for("the flood", crate::support::PATIENCE, || {
            flooding.load(Ordering::SeqCst).then_some(())
        });
        let mut wire = connect(gateway, elsewhere(0));
        let served = (0..100).filter(|_| exchange(&mut wire, &right).status == 200).count();
        // The tool's own secret does not help where the flood comes from.
        assert_eq!(ask(gateway, HERE, &right).status, 429);
        over.store(true, Ordering::SeqCst);
        let counts = flood.into_iter().map(|thread| thread.join().expect("the flood ends well"));
        let (refused, slowed) = counts.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        (served, refused, slowed)
    });
    assert_eq!(served, 100, "of the tool's own requests");
    assert!(refused <= 100 && slowed > refused, "{refused} were looked at, {slowed} were not");
    let records = gateway.audit().iter().filter(|event| event["code"] == "token.refused").count();
    assert_eq!(records, refused, "each that was looked at has its record, the others have none");
}
