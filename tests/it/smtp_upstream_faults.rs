//! An upstream that lies, babbles or dies: the tool hears the truth, nobody else is harmed, and nothing is sent twice.

use std::sync::mpsc;

use crate::support::smtp_upstream::Act;
use crate::support::stage::ADDRESS;
use crate::support::submission::{Submission, add_mailbox, begin, say};
use crate::support::{PATIENCE, wait_for};

const MAIL: &str = "From: support@example.test\r\n\r\nhello\r\n";

/// A step, and what is done wrong there.
type Step = (&'static str, fn() -> Act);

/// A script that does badly, once it has seen the mailbox being added.
fn then(step: &'static str, act: fn() -> Act) -> impl Fn(&str) -> Act + Send + Sync + 'static {
    let greeted = std::sync::atomic::AtomicUsize::new(0);
    move |line| {
        let connections = usize::from(line == "GREETING");
        let seen = greeted.fetch_add(connections, std::sync::atomic::Ordering::SeqCst) + connections;
        if seen > 1 && line.starts_with(step) { act() } else { Act::Well }
    }
}

#[test]
fn sm_09_a_babbling_upstream_is_cut_off() {
    let babble: [Step; 10] = [
        ("AUTH", || Act::SayForEver(b"535-no and\r\n".to_vec())),
        ("AUTH", || Act::SayForEver(b"x".repeat(1 << 16))),
        ("AUTH", || Act::Say([b"535 ".as_slice(), &b"x".repeat(1 << 20), b"\r\n"].concat())),
        ("AUTH", || Act::say("abc what")),
        ("AUTH", || Act::say("+35 what")),
        ("AUTH", || Act::say("53")),
        ("AUTH", || Act::Say(b"\xff\xff\xff\xff\r\n".to_vec())),
        ("GREETING", || Act::SayForEver(b"220-welcome\r\n".to_vec())),
        ("MAIL", || Act::SayForEver(b"250-fine\r\n".to_vec())),
        ("MAIL", || Act::say("250-fine\r\n550 or not")),
    ];
    for (step, act) in babble {
        let scene = Submission::set(then(step, act));
        let mut smtp = scene.session();
        // More often than the breaker bears refusals.
        for _ in 0..4 {
            say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "451");
        }
        say(&mut smtp, "NOOP", "250");
        let refused = scene.gateway.audit().iter().filter(|event| event["code"] == "mailbox.quarantined").count();
        assert_eq!(refused, 0, "nonsense is no verdict on the password");
        assert!(!scene.gateway.output().contains("panicked"));
    }
}

#[test]
fn sm_09_an_upstream_that_hangs_up_is_passing_trouble_and_the_session_goes_on() {
    for code in ["421 closing", "530 log in again"] {
        let told = std::sync::atomic::AtomicBool::new(false);
        let scene = Submission::set(move |line| {
            let is_first = line.starts_with("RCPT") && !told.swap(true, std::sync::atomic::Ordering::SeqCst);
            if is_first { Act::say(code) } else { Act::Well }
        });
        let mut smtp = scene.session();
        say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "250");
        say(&mut smtp, "RCPT TO:<customer@else.test>", "451");
        begin(&mut smtp);
        smtp.send(MAIL);
        say(&mut smtp, ".", "250");
    }
}

#[test]
fn sm_10_a_reply_lost_after_the_dot_is_told_and_not_retried() {
    for act in [(|| Act::Cut) as fn() -> Act, || Act::say("nonsense")] {
        let scene = Submission::set(then(".", act));
        let mut smtp = scene.at_data();
        smtp.send(MAIL);
        say(&mut smtp, ".", "451 4.4.2");
        let events = scene.gateway.audit();
        assert_eq!(events.iter().filter(|event| event["code"] == "message.indeterminate").count(), 1);
        // The session goes on; the message does not go again.
        say(&mut smtp, "NOOP", "250");
        say(&mut smtp, "QUIT", "221");
        assert_eq!(scene.upstream.messages().len(), 1);
    }
}

/// An upstream that answers the final dot when it is told to, and a tool that waits for that.
fn waiting_for_the_dot() -> (Submission, crate::support::wire::Wire, mpsc::Sender<()>) {
    let (go, told) = mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let scene = Submission::set(move |line| {
        if line == "." {
            let _ = told.lock().expect("one message at a time").recv();
        }
        Act::Well
    });
    let mut smtp = scene.at_data();
    smtp.send(format!("{MAIL}.\r\n"));
    wait_for("the message to be at the upstream", PATIENCE, || (scene.upstream.messages().len() == 1).then_some(()));
    (scene, smtp, go)
}

#[test]
fn sm_10_a_stopping_service_still_tells_what_became_of_the_last_message() {
    let (mut scene, mut smtp, go) = waiting_for_the_dot();
    let mut other = scene.session();
    std::thread::scope(|threads| {
        threads.spawn(|| scene.gateway.stop());
        let last = other.rest().expect("an end");
        assert!(last.iter().any(|line| line.starts_with("421 4.3.2")), "{last:?}");
        go.send(()).expect("the upstream waits");
        let heard = smtp.rest().expect("an end");
        assert!(heard[0].starts_with("250 ") && heard[1].starts_with("421 4.3.2"), "{heard:?}");
    });
    scene.gateway.serve();
    let events = scene.gateway.audit();
    assert_eq!(events.iter().filter(|event| event["code"] == "message.submitted").count(), 1);
    assert_eq!(events.iter().filter(|event| event["code"] == "message.indeterminate").count(), 0);
}

#[test]
fn sm_10_a_kill_that_cuts_off_the_answer_says_and_records_that_it_is_not_known() {
    let (scene, mut smtp, go) = waiting_for_the_dot();
    scene.gateway.manage_ok(&["session", "kill", "--all"], b"");
    let heard = smtp.rest().expect("an end");
    assert!(heard[0].starts_with("451 4.4.2") && heard[1].starts_with("421 4.7.0"), "{heard:?}");
    wait_for("the record", PATIENCE, || {
        let events = scene.gateway.audit();
        events.iter().any(|event| event["code"] == "message.indeterminate").then_some(())
    });
    drop(go);
}

#[test]
fn sm_11_250_means_that_the_upstream_said_250() {
    let scene = Submission::set(|line| if line == "." { Act::say("554 5.7.1 not this") } else { Act::Well });
    let mut smtp = scene.at_data();
    smtp.send(MAIL);
    say(&mut smtp, ".", "554");
    // Refused recipients: the message is not begun.
    let scene = Submission::set(|line| if line.starts_with("RCPT") { Act::say("550 no such user") } else { Act::Well });
    let mut smtp = scene.session();
    say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "250");
    say(&mut smtp, "RCPT TO:<customer@else.test>", "550");
    say(&mut smtp, "DATA", "554");
    assert!(scene.upstream.messages().is_empty());
}

#[test]
fn sm_11_a_killed_gateway_says_no_250() {
    let mut scene = Submission::set(|line| if line == "." { Act::Silence } else { Act::Well });
    let mut smtp = scene.at_data();
    smtp.send(format!("{MAIL}.\r\n"));
    wait_for("the message to be at the upstream", PATIENCE, || (scene.upstream.messages().len() == 1).then_some(()));
    scene.gateway.kill();
    let rest = smtp.rest().unwrap_or_default();
    assert!(rest.is_empty(), "the tool heard {rest:?}");
    scene.gateway.serve();
    let submitted = scene.gateway.audit().iter().filter(|event| event["code"] == "message.submitted").count();
    assert_eq!(submitted, 1, "it was recorded before the dot");
    assert_eq!(scene.upstream.messages().len(), 1, "nothing is kept and sent later");
}

#[test]
fn up_07_an_echoed_password_reaches_nobody() {
    let canary = crate::support::stage::PASSWORD;
    let (told, said) = mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let greeted = std::sync::atomic::AtomicUsize::new(0);
    let scene = Submission::set(move |line| {
        let seen = greeted.fetch_add(usize::from(line == "GREETING"), std::sync::atomic::Ordering::SeqCst);
        match line {
            _ if line.starts_with("AUTH") && seen > 1 => {
                told.lock().expect("no panic").send(()).expect("the test listens");
                Act::say(&format!("535 5.7.8 bad password {canary}"))
            }
            _ => Act::Well,
        }
    });
    let mut heard = say(&mut scene.session(), &format!("MAIL FROM:<{ADDRESS}>"), "451").join("\n");
    said.recv_timeout(PATIENCE).expect("the upstream said it");
    let test = scene.gateway.manage(&["mailbox", "test", ADDRESS], b"");
    said.recv_timeout(PATIENCE).expect("the upstream said it");
    heard.push_str(&format!("{test:?}"));
    let add = add_mailbox(&scene.gateway, &scene.ca, "second@example.test", scene.upstream.port, "implicit");
    said.recv_timeout(PATIENCE).expect("the upstream said it");
    assert_ne!(add.code, Some(0));
    heard.push_str(&format!("{add:?}"));
    for (place, text) in [
        ("the tool's answer", heard),
        ("the log", scene.gateway.output()),
        ("the audit log", scene.gateway.audit().iter().map(ToString::to_string).collect()),
    ] {
        assert!(!text.contains(canary) && !text.contains("bad password"), "{place} tells it");
    }
}

#[test]
fn up_07_what_an_upstream_says_about_a_message_is_not_passed_on() {
    let scene = Submission::set(|line| {
        let says = |code: &str| Act::say(&format!("{code} internal-host.example.test secret-detail"));
        match line.split(' ').next() {
            Some("RCPT") if line.contains("nobody") => says("550"),
            Some(".") => says("452"),
            _ => Act::Well,
        }
    });
    let mut smtp = scene.session();
    say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "250");
    let mut heard = say(&mut smtp, "RCPT TO:<nobody@else.test>", "550");
    say(&mut smtp, "RSET", "250");
    begin(&mut smtp);
    smtp.send(MAIL);
    heard.extend(say(&mut smtp, ".", "452"));
    assert!(!heard.concat().contains("secret-detail"), "{heard:?}");
    assert!(!scene.gateway.output().contains("secret-detail"));
}
