//! What a change of a grant or client does, and what it does to those who stand on it.

use std::collections::HashMap;
use std::pin::pin;
use std::task::{Context, Waker};

use tokio::io::{AsyncReadExt, DuplexStream};

use crate::domain::bounds::Bounds;
use crate::domain::client::{Client, TokenAlg};
use crate::domain::event::{Actor, EventCode};
use crate::domain::grant::{Grant, SessionTtl};
use crate::domain::mailbox::Mailbox;
use crate::domain::session::EndReason;
use crate::registry::tests::House;
use crate::registry::{ClientTerms, GrantTerms, Registry, RegistryError, Rotation, SessionHandle, Version};
use crate::upstream::berths::tests::{berths, rested};

fn terms(scopes: &str, bounds: &str) -> GrantTerms {
    GrantTerms {
        scopes: scopes.parse().unwrap(),
        bounds: serde_json::from_str(bounds).unwrap(),
        token_ttl_secs: 300,
        session_ttl: SessionTtl::DEFAULT,
        expires_at: None,
    }
}

async fn change(house: &House, grant: &Grant, terms: GrantTerms) -> Result<Grant, RegistryError> {
    house.registry.change_grant(&Actor::System, &grant.id, terms, |_| true).await
}

/// A session on a grant of these terms.
async fn running(scopes: &str, bounds: &str) -> (House, (Client, Mailbox, Grant), SessionHandle) {
    let house = House::new().await;
    let (client, mailbox, grant) = house.granted().await;
    let grant = change(&house, &grant, terms(scopes, bounds)).await.unwrap();
    let granted = (client, mailbox, grant);
    let handle = house.registry.sessions().open(house.session(&granted), house.standing(&granted));
    (house, granted, handle)
}

#[tokio::test]
async fn a_session_ends_when_its_grant_no_longer_gives_all_that_it_has() {
    let folders = r#"{"folders":["A/*","B"]}"#;
    for (scopes, bounds, then_scopes, then_bounds, goes_on) in [
        ("mail.read", "{}", "mail.read mail.flag", "{}", true),
        ("mail.read mail.flag", "{}", "mail.read", "{}", false),
        ("mail.read", "{}", "mail.metadata", "{}", false),
        ("mail.metadata", "{}", "mail.read", "{}", true),
        ("mail.read", "{}", "mail.read", folders, false),
        ("mail.read", folders, "mail.read", "{}", true),
        ("mail.read", folders, "mail.read", r#"{"folders":["A/*"]}"#, false),
        ("mail.read", folders, "mail.read", r#"{"folders":["*"]}"#, true),
        ("mail.read", "{}", "mail.read", r#"{"networks":["127.0.0.0/8"]}"#, true),
        ("mail.read", "{}", "mail.read", r#"{"networks":["192.0.2.0/24"]}"#, false),
        ("mail.read", "{}", "mail.read", r#"{"protocols":["imap"]}"#, true),
        ("mail.read", "{}", "mail.read", r#"{"protocols":["smtp"]}"#, false),
        ("mail.read mail.send", "{}", "mail.read mail.send", r#"{"recipients":["@a.example"]}"#, false),
        ("mail.read mail.send", "{}", "mail.read mail.send", r#"{"senders":["a@example.com","b@example.com"]}"#, true),
    ] {
        let (house, (_, _, grant), handle) = running(scopes, bounds).await;
        let (mut seen, mut ends) = (None, HashMap::new());
        house.registry.check_sessions(&mut seen, &mut ends).await.unwrap();
        assert_eq!(*handle.ended().borrow(), None);
        change(&house, &grant, terms(then_scopes, then_bounds)).await.unwrap();
        house.registry.check_sessions(&mut seen, &mut ends).await.unwrap();
        let told = *handle.ended().borrow();
        let expected = if goes_on { None } else { Some(EndReason::Revoked) };
        assert_eq!(told, expected, "{scopes} {bounds} to {then_scopes} {then_bounds}");
    }
}

#[tokio::test]
async fn a_session_that_outlived_a_wider_grant_keeps_what_it_had() {
    let (house, (_, _, grant), handle) = running("mail.read", "{}").await;
    let (mut seen, mut ends) = (None, HashMap::new());
    for (scopes, expected) in
        [("mail.read mail.send", None), ("mail.read", None), ("mail.send", Some(EndReason::Revoked))]
    {
        change(&house, &grant, terms(scopes, "{}")).await.unwrap();
        house.registry.check_sessions(&mut seen, &mut ends).await.unwrap();
        assert_eq!(*handle.ended().borrow(), expected, "{scopes}");
    }
}

#[tokio::test]
async fn a_shorter_session_ttl_or_an_end_counts_for_running_sessions() {
    let end = |secs| GrantTerms { session_ttl: SessionTtl::Secs(secs), ..terms("mail.read", "{}") };
    let (house, (_, _, grant), handle) = running("mail.read", "{}").await;
    let (mut seen, mut ends) = (None, HashMap::new());
    house.registry.check_sessions(&mut seen, &mut ends).await.unwrap();
    house.clock.advance(20_000);
    for (secs, expected) in [(30, None), (86_400, None), (20, Some(EndReason::Expired))] {
        change(&house, &grant, end(secs)).await.unwrap();
        house.registry.check_sessions(&mut seen, &mut ends).await.unwrap();
        assert_eq!(*handle.ended().borrow(), expected, "{secs}");
    }
    let (house, (_, _, grant), handle) = running("mail.read", "{}").await;
    let soon = GrantTerms { expires_at: Some(house.clock.now().plus_secs(5)), ..terms("mail.read", "{}") };
    change(&house, &grant, soon).await.unwrap();
    let (mut seen, mut ends) = (None, HashMap::new());
    house.registry.check_sessions(&mut seen, &mut ends).await.unwrap();
    assert_eq!(*handle.ended().borrow(), None);
    house.clock.advance(5_000);
    house.registry.check_sessions(&mut seen, &mut ends).await.unwrap();
    assert_eq!(*handle.ended().borrow(), Some(EndReason::Expired));
}

#[tokio::test]
async fn a_change_is_recorded_before_and_after_and_one_that_changes_nothing_is_not() {
    let house = House::new().await;
    let (_, _, grant) = house.granted().await;
    let records = async || {
        let filter = crate::audit::Filter { code: Some(EventCode::GrantChanged), ..crate::audit::Filter::default() };
        house.registry.audit.list(filter).await.unwrap()
    };
    change(&house, &grant, terms("mail.read", "{}")).await.unwrap();
    assert!(records().await.is_empty(), "nothing changed");
    let new = GrantTerms { token_ttl_secs: 60, ..terms("mail.read mail.flag", r#"{"folders":["A"]}"#) };
    let changed = change(&house, &grant, new).await.unwrap();
    assert_eq!((&changed.id, changed.created_at), (&grant.id, grant.created_at));
    assert_eq!(house.registry.find_grant(&grant.id).await.unwrap(), changed, "the new row is intact");
    let records = records().await;
    let [record] = &records[..] else { panic!("{records:?}") };
    for (name, value) in [
        ("scopes_before", "mail.read"),
        ("scopes", "mail.read mail.flag"),
        ("bounds_before", "{}"),
        ("bounds", r#"{"folders":["A"]}"#),
        ("token_ttl_secs", "300 -> 60"),
    ] {
        assert_eq!(record.detail.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!record.detail.contains_key("session_ttl_secs"), "{record:?}");
}

#[tokio::test]
async fn terms_that_no_grant_may_have_are_refused() {
    let house = House::new().await;
    let (_, _, grant) = house.granted().await;
    let good = terms("mail.read", "{}");
    for wrong in [
        terms("", "{}"),
        GrantTerms { token_ttl_secs: 0, ..good.clone() },
        GrantTerms { token_ttl_secs: 3601, ..good.clone() },
        GrantTerms { session_ttl: SessionTtl::Secs(86_401), ..good.clone() },
        GrantTerms { expires_at: Some(house.clock.now()), ..good.clone() },
    ] {
        let refused = change(&house, &grant, wrong.clone()).await;
        assert!(matches!(refused, Err(RegistryError::Invalid(_))), "{wrong:?}: {refused:?}");
    }
    house.registry.remove_grant(&Actor::System, &grant.id).await.unwrap();
    let gone = change(&house, &grant, good).await;
    assert!(matches!(gone, Err(RegistryError::NotFound(_))), "{gone:?}");
}

#[tokio::test]
async fn a_change_of_another_version_is_refused() {
    let house = House::new().await;
    let (client, mailbox, grant) = house.granted().await;
    let seen = Version::of_grant(&grant);
    let narrow =
        GrantTerms { bounds: Bounds { folders: Some(Vec::new()), ..Bounds::default() }, ..terms("mail.read", "{}") };
    change(&house, &grant, narrow.clone()).await.unwrap();
    let again = house.registry.change_grant(&Actor::System, &grant.id, narrow, |version| *version == seen).await;
    assert!(matches!(again, Err(RegistryError::Stale)), "{again:?}");

    let settings = ClientTerms { name: "other".into(), token_alg: TokenAlg::Es256, default_mailbox: Some(mailbox.id) };
    let change = async |version: Version, settings: &ClientTerms| {
        house.registry.change_client(&Actor::System, &client.id, settings.clone(), |now| *now == version).await
    };
    let changed = change(Version::of_client(&client), &settings).await.unwrap();
    assert_eq!((&*changed.name, changed.token_alg), ("other", TokenAlg::Es256));
    assert_eq!(changed.default_mailbox, settings.default_mailbox);
    let refused = change(Version::of_client(&client), &settings).await;
    assert!(matches!(refused, Err(RegistryError::Stale)), "{refused:?}");
    let nameless = ClientTerms { name: String::new(), ..settings };
    let refused = change(Version::of_client(&changed), &nameless).await;
    assert!(matches!(refused, Err(RegistryError::Invalid(_))), "{refused:?}");
}

/// Whether a connection at rest is still there; `peer` is its other end. Does not wait.
fn is_open(peer: &mut DuplexStream) -> bool {
    pin!(peer.read_u8()).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[tokio::test]
async fn what_rests_is_closed_once_for_every_change_on_whichever_node_it_was_made() {
    let house = House::new().await;
    let (client, Mailbox { id: mailbox, .. }, _) = house.granted().await;
    let (mut here, there) = (house.registry.clone(), house.other_node());
    here.berths = berths(0);
    let (mut seen, mut ends) = (None, HashMap::new());
    let mut look = async || here.check_sessions(&mut seen, &mut ends).await.unwrap();
    let rested = async || rested(&here.berths, &mailbox).await;
    let change = async |node: &Registry| node.revoke_client(&Actor::System, &client.id).await.unwrap();
    look().await;

    let mut resting = rested().await;
    change(&here).await;
    assert!(!is_open(&mut resting), "at its own change a node does not wait for its watcher");
    let mut resting = rested().await;
    look().await;
    assert!(is_open(&mut resting), "what came after it is left alone");
    change(&there).await;
    assert!(is_open(&mut resting), "it knows nothing of that yet");
    look().await;
    assert!(!is_open(&mut resting), "another node's change");

    let mut resting = rested().await;
    change(&there).await;
    change(&here).await;
    assert!(!is_open(&mut resting));
    let mut resting = rested().await;
    look().await;
    assert!(is_open(&mut resting), "it came after both");
    change(&here).await;
    let mut resting = rested().await;
    change(&there).await;
    look().await;
    assert!(!is_open(&mut resting), "it came before the last one");

    let mut resting = rested().await;
    here.rotate_signing_key(&Actor::System, TokenAlg::EdDsa, Rotation::Now).await.unwrap();
    look().await;
    assert!(!is_open(&mut resting), "a change of its own at which it closed nothing");
    let mut resting = rested().await;
    look().await;
    assert!(is_open(&mut resting));
}
