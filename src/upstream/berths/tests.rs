//! Who gets a berth and when, and what rests.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use crate::crypto::random;
use crate::domain::clock::Clock;
use crate::domain::id::{ClientId, MailboxId};
use crate::domain::mailbox::{Endpoint, TlsMode};
use crate::upstream::berths::{Berth, Berths, Kind, Login, Settings, Taken};
use crate::upstream::wire::{Wire, clear};

const KEEP: Duration = Duration::from_secs(60);

/// So many for each kind, and two that rest.
pub(crate) fn berths(imap: usize) -> Berths {
    Berths::new(Settings { imap, smtp: imap, keep: KEEP, keep_most: 2 })
}

fn mailbox() -> MailboxId {
    MailboxId::new(&Clock::system(), &random::system())
}

fn client() -> ClientId {
    ClientId::new(&Clock::system(), &random::system())
}

/// Takes one that must be free.
async fn take(berths: &Berths, mailbox: &MailboxId, client: &ClientId) -> Taken {
    let taking = berths.take(mailbox, Kind::Imap, client);
    tokio::time::timeout(Duration::from_secs(5), taking).await.expect("a free berth")
}

fn poll<T>(future: std::pin::Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A connection in this berth, as after a login, and its other end.
fn connected(mut berth: Berth) -> (Wire, DuplexStream) {
    let endpoint = Endpoint { host: "localhost".to_owned(), port: 993, tls: TlsMode::Implicit, ca_pem: None };
    berth.logged_in(Login { endpoint, username: "u".to_owned(), version: 1, at: Instant::now() });
    let (ours, theirs) = duplex(1024);
    let mut wire = Wire::new(clear(ours));
    wire.take_berth(berth);
    (wire, theirs)
}

/// Takes one and lets a connection rest in it.
pub(crate) async fn rested(berths: &Berths, mailbox: &MailboxId) -> DuplexStream {
    let (wire, peer) = connected(take(berths, mailbox, &client()).await.0);
    assert!(berths.rest(wire, vec!["IDLE".to_owned()]).is_none(), "it may rest");
    peer
}

/// Waits for the end.
pub(crate) async fn is_closed(peer: &mut DuplexStream) -> bool {
    let mut said = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), peer.read_to_end(&mut said)).await.is_ok()
}

#[tokio::test]
async fn a_berth_that_gets_free_goes_to_the_client_with_fewest_and_then_to_the_first() {
    let (berths, mailbox) = (berths(3), mailbox());
    let (greedy, modest, new) = (client(), client(), client());
    let mut held = Vec::new();
    for who in [&greedy, &greedy, &modest] {
        held.push(take(&berths, &mailbox, who).await);
    }
    let newer = client();
    let mut all = [&greedy, &modest, &new, &newer].map(|who| Box::pin(berths.take(&mailbox, Kind::Imap, who)));
    assert!(all.iter_mut().all(|one| poll(one.as_mut()).is_pending()));
    drop(held.remove(0));
    let Poll::Ready(first) = poll(all[2].as_mut()) else { panic!("not the first of those that hold none") };
    assert!(all.iter_mut().enumerate().all(|(at, one)| at == 2 || poll(one.as_mut()).is_pending()));
    drop(held.remove(0));
    let Poll::Ready(second) = poll(all[0].as_mut()) else { panic!("it holds none any more, and came first") };
    drop((first, second));
    // Of those who hold some, too.
    let more = self::berths(5);
    let mut held = Vec::new();
    for who in [&greedy, &greedy, &modest, &new] {
        held.push(take(&more, &mailbox, who).await);
    }
    let [mut of_greedy, mut of_modest] = [&greedy, &modest].map(|who| Box::pin(more.take(&mailbox, Kind::Imap, who)));
    assert!(poll(of_greedy.as_mut()).is_pending() && poll(of_modest.as_mut()).is_pending());
    drop(held.pop());
    assert!(poll(of_greedy.as_mut()).is_pending() && poll(of_modest.as_mut()).is_ready());
}

#[tokio::test]
async fn one_client_leaves_the_last_berth_to_others() {
    let (berths, mailbox) = (berths(3), mailbox());
    let (greedy, other) = (client(), client());
    let held = (take(&berths, &mailbox, &greedy).await, take(&berths, &mailbox, &greedy).await);
    let mut third = pin!(berths.take(&mailbox, Kind::Imap, &greedy));
    assert!(poll(third.as_mut()).is_pending(), "it has two, and one is free");
    // Though the greedy one came first.
    let others = take(&berths, &mailbox, &other).await;
    drop(others);
    assert!(poll(third.as_mut()).is_pending());
    drop(held.0);
    assert!(poll(third.as_mut()).is_ready(), "it has one, and two are free");
    // Other mailboxes and protocols have berths of their own.
    let elsewhere = self::mailbox();
    drop((take(&berths, &elsewhere, &greedy).await, berths.take(&mailbox, Kind::Smtp, &greedy).await));
    let single = self::berths(1);
    drop(take(&single, &mailbox, &greedy).await);
    drop(take(&single, &mailbox, &greedy).await);
}

#[tokio::test]
async fn who_stops_waiting_takes_nothing_along() {
    let (berths, mailbox, who) = (berths(1), mailbox(), client());
    let held = take(&berths, &mailbox, &who).await;
    let mut gone = Box::pin(berths.take(&mailbox, Kind::Imap, &who));
    let mut told = Box::pin(berths.take(&mailbox, Kind::Imap, &who));
    let mut last = Box::pin(berths.take(&mailbox, Kind::Imap, &who));
    for one in [&mut gone, &mut told, &mut last] {
        assert!(poll(one.as_mut()).is_pending());
    }
    drop(gone);
    drop(held);
    // It has the berth now without having looked, and goes all the same.
    drop(told);
    assert!(poll(last.as_mut()).is_ready());
    drop(last);
    assert!(berths.lock().of.is_empty(), "nothing is kept of who has gone");
}

#[tokio::test]
async fn a_resting_connection_is_taken_with_its_berth_and_counts() {
    let (berths, mailbox) = (berths(2), mailbox());
    let mut first = rested(&berths, &mailbox).await;
    // Both are free for others, and no third connection comes about.
    let (held, found) = take(&berths, &mailbox, &client()).await;
    let mut found = found.expect("the one that rested");
    assert_eq!((found.abilities.as_slice(), found.login.version), (&["IDLE".to_owned()][..], 1));
    assert!(found.is_alive(Kind::Imap, "t").await);
    assert!(take(&berths, &mailbox, &client()).await.1.is_none());
    drop(found);
    assert!(is_closed(&mut first).await);
    drop(held);
    let (waits, peer) = connected(take(&berths, &mailbox, &client()).await.0);
    let _others = take(&berths, &mailbox, &client()).await;
    let stranger = client();
    let mut waiting = pin!(berths.take(&mailbox, Kind::Imap, &stranger));
    assert!(poll(waiting.as_mut()).is_pending());
    assert!(berths.rest(waits, Vec::new()).is_none());
    assert!(matches!(poll(waiting.as_mut()), Poll::Ready((_, Some(_)))), "who waits gets what comes to rest");
    drop(peer);
}

#[tokio::test]
async fn what_is_not_quiet_or_too_many_does_not_rest() {
    let (berths, mailbox) = (berths(0), mailbox());
    let (said, mut peer) = connected(take(&berths, &mailbox, &client()).await.0);
    peer.write_all(b"* BYE\r\n").await.expect("send");
    assert!(berths.rest(said, Vec::new()).is_some(), "it has said something");
    let (left, peer) = connected(take(&berths, &mailbox, &client()).await.0);
    drop(peer);
    assert!(berths.rest(left, Vec::new()).is_some(), "the upstream has left");
    let (mut begun, _peer) = connected(take(&berths, &mailbox, &client()).await.0);
    begun.gather(b"half a command");
    assert!(berths.rest(begun, Vec::new()).is_some(), "something waits to be sent");
    let taken = take(&berths, &mailbox, &client()).await;
    let mut nameless = Wire::new(clear(duplex(64).0));
    nameless.take_berth(taken.0);
    assert!(berths.rest(nameless, Vec::new()).is_some(), "nobody logged in");
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(connected(take(&berths, &mailbox, &client()).await.0));
    }
    let mut third = None;
    for (wire, peer) in connections {
        third = berths.rest(wire, Vec::new());
        std::mem::forget(peer);
    }
    assert!(third.is_some(), "two rest at most");
    drop(third);
    let nothing = Berths::new(Settings { keep: Duration::ZERO, keep_most: 2, ..Settings::default() });
    let (wire, _peer) = connected(take(&nothing, &mailbox, &client()).await.0);
    assert!(nothing.rest(wire, Vec::new()).is_some(), "it is switched off");
}

#[tokio::test]
async fn gw_11_what_rests_is_closed_at_once_and_what_is_in_use_then_never_rests() {
    let (berths, mailbox) = (berths(0), mailbox());
    for close in [
        |berths: &Berths, mailbox: &MailboxId| berths.close(mailbox),
        |berths: &Berths, _: &MailboxId| {
            berths.close_all();
        },
    ] {
        let mut resting = rested(&berths, &mailbox).await;
        // A session takes it, another comes to rest, and a third is under way.
        let (in_use, _peer) = connected(take(&berths, &mailbox, &client()).await.0);
        let mut other = rested(&berths, &mailbox).await;
        close(&berths, &mailbox);
        assert!(is_closed(&mut resting).await && is_closed(&mut other).await);
        let left = berths.rest(in_use, Vec::new());
        assert!(left.is_some(), "it was opened before");
        drop(left);
        assert!(berths.lock().of.is_empty() && berths.lock().resting == 0);
        drop(rested(&berths, &mailbox).await);
        berths.close_all();
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_rests_for_its_time_and_ends_with_a_goodbye() {
    let (berths, mailbox) = (berths(0), mailbox());
    let looking = tokio::spawn({
        let berths = berths.clone();
        async move { berths.look_after().await }
    });
    let mut peer = rested(&berths, &mailbox).await;
    let began = Instant::now();
    let mut said = Vec::new();
    peer.read_to_end(&mut said).await.expect("its end");
    assert_eq!(said, b"w9 LOGOUT\r\n");
    assert!(began.elapsed() >= KEEP && began.elapsed() < KEEP + Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(berths.lock().resting, 0);
    // One that its upstream leaves is not kept for long.
    drop(rested(&berths, &mailbox).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(berths.lock().resting, 0);
    looking.abort();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_logged_in_long_ago_rests_no_more() {
    let long = Duration::from_secs(600);
    let berths = Berths::new(Settings { keep: 2 * long, keep_most: 2, ..Settings::default() });
    let mailbox = mailbox();
    let looking = tokio::spawn({
        let berths = berths.clone();
        async move { berths.look_after().await }
    });
    let (in_use, _peer) = connected(take(&berths, &mailbox, &client()).await.0);
    let mut peer = rested(&berths, &mailbox).await;
    let began = Instant::now();
    peer.read_to_end(&mut Vec::new()).await.expect("its end");
    assert!(began.elapsed() >= long && began.elapsed() < long + Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(berths.rest(in_use, Vec::new()).is_some(), "the credential has to be proven anew");
    looking.abort();
}

#[tokio::test(start_paused = true)]
async fn after_a_while_the_upstream_is_asked_whether_it_is_there() {
    let (berths, mailbox) = (berths(0), mailbox());
    for (answer, is_good) in [
        ("t OK done\r\n", true),
        ("* OK still here\r\nt OK done\r\n", true),
        ("t OK done\r\n* BYE\r\n", false),
        ("* BYE\r\n", false),
        ("t NO\r\n", false),
        ("other OK done\r\n", false),
        ("* 1 FETCH {5}\r\n", false),
        ("", false),
    ] {
        let mut peer = rested(&berths, &mailbox).await;
        tokio::time::advance(Duration::from_secs(5)).await;
        let mut found = take(&berths, &mailbox, &client()).await.1.expect("the one that rested");
        let talk = async {
            let mut line = vec![0; "t NOOP\r\n".len()];
            peer.read_exact(&mut line).await.expect("a question");
            assert_eq!(line, b"t NOOP\r\n");
            peer.write_all(answer.as_bytes()).await.expect("send");
        };
        let both = async { tokio::join!(found.is_alive(Kind::Imap, "t"), talk) };
        let (alive, ()) = tokio::time::timeout(KEEP, both).await.expect("question and answer");
        assert_eq!(alive, is_good, "{answer:?}");
    }
    for (answer, is_good) in [("250 fine\r\n", true), ("421 bye\r\n", false), ("250-fine\r\n", false)] {
        let mut peer = rested(&berths, &mailbox).await;
        tokio::time::advance(Duration::from_secs(5)).await;
        let mut found = take(&berths, &mailbox, &client()).await.1.expect("the one that rested");
        let talk = async {
            let mut line = vec![0; "NOOP\r\n".len()];
            peer.read_exact(&mut line).await.expect("a question");
            peer.write_all(answer.as_bytes()).await.expect("send");
        };
        let both = async { tokio::join!(found.is_alive(Kind::Smtp, "t"), talk) };
        let (alive, ()) = tokio::time::timeout(KEEP, both).await.expect("question and answer");
        assert_eq!(alive, is_good, "{answer:?}");
    }
}
