//! The lockout guard, seen from outside: how often an upstream is shown a password that it refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::gateway::{plain, xoauth2};
use crate::support::smtp_upstream::Act;
use crate::support::stage::{ADDRESS, PASSWORD};
use crate::support::submission::{Both, Submission, say};
use crate::support::wire::Wire;
use crate::support::{PATIENCE, wait_for};

/// An upstream that refuses every password but the one that `good` holds now.
fn choosy(good: &Arc<std::sync::Mutex<String>>) -> impl Fn(&str) -> Act + Send + Sync + 'static {
    let good = Arc::clone(good);
    move |line| {
        let is_good = line == format!("AUTH PLAIN {}", plain(ADDRESS, &good.lock().expect("no panic")));
        if line.starts_with("AUTH") && !is_good { Act::say("535 5.7.8 no") } else { Act::Well }
    }
}

#[test]
fn up_08_two_hundred_tool_logins_show_a_refused_password_three_times() {
    let good = Arc::new(std::sync::Mutex::new(PASSWORD.to_owned()));
    let scene = Submission::set(choosy(&good));
    let proven = scene.upstream.logins();
    *good.lock().expect("no panic") = "changed-upstream".to_owned();
    let sessions = (0..200).map(|_| scene.session()).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        for mut smtp in sessions {
            scope.spawn(move || say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "451"));
        }
    });
    assert_eq!(scene.upstream.logins() - proven, 3);
    let quarantined = scene.gateway.audit().iter().filter(|event| event["code"] == "mailbox.quarantined").count();
    assert_eq!(quarantined, 1);
    // An operator may try; that is no way around the breaker for tools.
    let test = scene.gateway.manage(&["mailbox", "test", ADDRESS], b"");
    assert!(test.stdout.contains("refused"), "{test:?}");
    assert_eq!(scene.upstream.logins() - proven, 4);
    say(&mut scene.session(), &format!("MAIL FROM:<{ADDRESS}>"), "451");
    assert_eq!(scene.upstream.logins() - proven, 4);
    scene.gateway.manage_ok(&["mailbox", "set-credential", ADDRESS, "--password-stdin"], b"changed-upstream\n");
    say(&mut scene.session(), &format!("MAIL FROM:<{ADDRESS}>"), "250");
}

#[test]
fn up_08_imap_and_smtp_have_one_budget() {
    let refuses = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&refuses);
    let Both { gateway, smtp, dovecot, token, .. } = &Both::set(move |line| {
        if line.starts_with("AUTH") && seen.load(Ordering::SeqCst) { Act::say("535 no") } else { Act::Well }
    });
    refuses.store(true, Ordering::SeqCst);
    dovecot.set_password(ADDRESS, "changed-upstream");
    // Dovecot looks at the file again in its own time.
    wait_for("Dovecot to know the new password", PATIENCE, || {
        let mut direct = Wire::connect(dovecot.imaps, gateway.ca_file());
        direct.line();
        direct.send(format!("a AUTHENTICATE PLAIN {}\r\n", plain(ADDRESS, PASSWORD)));
        direct.answer("a").last().is_some_and(|last| last.starts_with("a NO")).then_some(())
    });
    let proven = smtp.logins();
    let mut imap = gateway.imap();
    let login = format!("AUTHENTICATE XOAUTH2 {}", xoauth2(ADDRESS, token));
    imap.send(format!("a {login}\r\n"));
    assert!(imap.line().starts_with("+ "));
    imap.send("\r\n");
    assert!(imap.line().starts_with("a NO"));
    for expected in [1, 2, 2] {
        let mut session = Wire::connect(gateway.port("smtps"), gateway.ca_file());
        session.reply();
        say(&mut session, &format!("AUTH XOAUTH2 {}", xoauth2(ADDRESS, token)), "235");
        say(&mut session, &format!("MAIL FROM:<{ADDRESS}>"), "451");
        assert_eq!(smtp.logins() - proven, expected);
    }
}
