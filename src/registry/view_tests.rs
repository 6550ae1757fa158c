//! What the view may and may not do, with two nodes on one database and a clock moved by hand.

use crate::crypto::random;
use crate::domain::client::{Client, Status, TokenAlg};
use crate::domain::event::Actor;
use crate::domain::grant::Grant;
use crate::domain::mailbox::Mailbox;
use crate::domain::secret::Secret;
use crate::domain::session::{EndReason, Protocol};
use crate::registry::tests::{HERE, House};
use crate::registry::view::View;
use crate::registry::{GrantTerms, Registry, RegistryError, Sessions};

/// The view's greatest age.
const MILLIS: i64 = 250;

impl House {
    /// Another node on the same database.
    pub(super) fn other_node(&self) -> Registry {
        let mut other = self.registry.clone();
        other.sessions = Sessions::default();
        other.view = View::new(&self.clock);
        (other.berths, other.closed_for) = Default::default();
        other.node = crate::domain::id::NodeId::new(&self.clock, &random::system());
        other
    }
}

fn terms(scopes: &str) -> GrantTerms {
    GrantTerms::of(scopes.parse().unwrap())
}

/// Whether a node lets the tool in and would give it a token, with the mailbox named and unnamed.
async fn lets_in(node: &Registry, house: &House, (client, mailbox, _): &(Client, Mailbox, Grant)) -> [bool; 3] {
    let mut claims = house.claims(&client.id);
    claims.issued_at = claims.issued_at.plus_secs(1);
    [
        node.admit(&claims, Protocol::Imap, HERE).await.is_ok(),
        node.grant_seen(&client.id, &mailbox.address).await.is_ok(),
        match node.meant_mailbox(client).await {
            Ok(address) => node.grant_seen(&client.id, &address).await.is_ok(),
            Err(_) => false,
        },
    ]
}

#[tokio::test]
async fn tok_17_a_withdrawal_is_heeded_at_once_here_and_within_a_quarter_of_a_second_elsewhere() {
    for which in ["client", "mailbox", "grant"] {
        let house = House::new().await;
        let granted = house.granted().await;
        let (here, there) = (&house.registry, house.other_node());
        for node in [here, &there] {
            assert_eq!(lets_in(node, &house, &granted).await, [true; 3], "{which}");
        }
        house.clock.advance(MILLIS - 1);
        here.set_status(which, (&granted.0.id, &granted.1.id), Status::Disabled).await;
        assert_eq!(lets_in(here, &house, &granted).await, [false; 3], "{which}");
        assert_eq!(
            lets_in(&there, &house, &granted).await,
            [true; 3],
            "{which}: nothing was kept, so nothing is tested"
        );
        house.clock.advance(1);
        assert_eq!(lets_in(&there, &house, &granted).await, [false; 3], "{which}");
    }
}

#[tokio::test]
async fn a_last_look_and_running_sessions_do_not_go_by_the_view() {
    let house = House::new().await;
    let granted = house.granted().await;
    let there = house.other_node();
    let claims = house.claims(&granted.0.id);
    there.admit(&claims, Protocol::Imap, HERE).await.unwrap();
    let session = there.sessions().open(house.session(&granted), house.standing(&granted));
    let (mut seen, mut ends) = (None, std::collections::HashMap::new());
    there.check_sessions(&mut seen, &mut ends).await.unwrap();
    house.registry.remove_grant(&Actor::System, &granted.2.id).await.unwrap();
    assert!(there.admit(&claims, Protocol::Imap, HERE).await.is_ok(), "nothing was kept, so nothing is tested");
    let refused = there.admit_now(&claims, Protocol::Imap, HERE).await;
    assert!(matches!(refused, Err(RegistryError::Denied)), "{refused:?}");
    there.check_sessions(&mut seen, &mut ends).await.unwrap();
    assert_eq!(*session.ended().borrow(), Some(EndReason::Revoked));
}

#[tokio::test]
async fn a_secret_is_refused_at_once_here_and_within_a_quarter_of_a_second_elsewhere() {
    let house = House::new().await;
    let (here, there) = (&house.registry, house.other_node());
    let (client, first) = here.add_client(&Actor::System, "tool", TokenAlg::EdDsa, None).await.unwrap();
    let text = |secret: &Secret<_>| secret.expose_text(str::to_owned).unwrap();
    let (id, first) = (client.id, text(&first));
    for node in [here, &there] {
        node.check_client_secret(&id, &first, HERE).await.unwrap();
    }
    // The new one is good on the other node although it is not in what that node has seen; the old one until it forgets.
    let second = text(&here.rotate_client_secret(&Actor::System, &id, 0).await.unwrap());
    there.check_client_secret(&id, &first, HERE).await.unwrap();
    assert!(here.check_client_secret(&id, &first, HERE).await.is_err());
    there.check_client_secret(&id, &second, HERE).await.unwrap();
    assert!(there.check_client_secret(&id, &first, HERE).await.is_err(), "it has read the rows since");
    here.remove_client(&Actor::System, &id).await.unwrap();
    house.clock.advance(MILLIS);
    for node in [here, &there] {
        let refused = node.check_client_secret(&id, &second, HERE).await;
        assert!(matches!(refused, Err(RegistryError::Unauthenticated)), "{refused:?}");
    }
}

#[tokio::test]
async fn ends_are_judged_at_every_use() {
    let house = House::new().await;
    let (client, mailbox, grant) = house.granted().await;
    let registry = &house.registry;
    registry.remove_grant(&Actor::System, &grant.id).await.unwrap();
    let end = house.clock.now().plus_millis(MILLIS / 2);
    let terms = GrantTerms { expires_at: Some(end), ..terms("mail.read") };
    let grant = registry.add_grant(&Actor::System, client.id.clone(), mailbox.id.clone(), terms).await.unwrap();
    let granted = (client, mailbox, grant);
    assert_eq!(lets_in(registry, &house, &granted).await, [true; 3]);
    house.clock.advance(MILLIS / 2);
    assert_eq!(lets_in(registry, &house, &granted).await, [false; 3]);
}

#[tokio::test]
async fn what_another_node_just_allowed_is_not_refused() {
    let house = House::new().await;
    let (client, mailbox, grant) = house.granted().await;
    let (here, there) = (&house.registry, house.other_node());
    let mut claims = house.claims(&client.id);
    claims.scopes = "mail.send".parse().unwrap();
    there.grant_seen(&client.id, &mailbox.address).await.unwrap();
    assert!(there.admit(&claims, Protocol::Smtp, HERE).await.is_err());
    here.remove_grant(&Actor::System, &grant.id).await.unwrap();
    here.add_grant(&Actor::System, client.id.clone(), mailbox.id, terms("mail.read mail.send")).await.unwrap();
    let admitted = there.admit(&claims, Protocol::Smtp, HERE).await.unwrap();
    assert_eq!(admitted.scopes.to_string(), "mail.send");
}

#[tokio::test]
async fn two_tools_that_take_turns_never_get_each_others_rows() {
    let house = House::new().await;
    let (client, mailbox, _) = house.granted().await;
    let registry = &house.registry;
    let (other, secret) = registry.add_client(&Actor::System, "other", TokenAlg::Es256, None).await.unwrap();
    let other_mailbox = registry.add_unproven_mailbox("b@example.com").await;
    for (client, mailbox, scopes) in [(&other, &other_mailbox, "mail.send"), (&other, &mailbox, "mail.flag")] {
        registry.add_grant(&Actor::System, client.id.clone(), mailbox.id.clone(), terms(scopes)).await.unwrap();
    }
    let secret = secret.expose_text(str::to_owned).unwrap();
    registry.check_client_secret(&other.id, &secret, HERE).await.unwrap();
    let cells = [
        (&client, &mailbox, Some("mail.read")),
        (&other, &other_mailbox, Some("mail.send")),
        (&client, &other_mailbox, None),
        (&other, &mailbox, Some("mail.flag")),
    ];
    for turn in 0..2000 {
        let (client, mailbox, scopes) = cells[turn % cells.len()];
        let found = registry.grant_seen(&client.id, &mailbox.address).await;
        let told = found.ok().map(|it| (it.0.id.clone(), it.1.id.clone(), it.2.scopes.to_string()));
        assert_eq!(
            told,
            scopes.map(|scopes| (client.id.clone(), mailbox.id.clone(), scopes.to_owned())),
            "turn {turn}"
        );
        let proven = registry.check_client_secret(&client.id, &secret, HERE).await;
        assert_eq!(proven.ok().map(|found| found.id), Some(other.id.clone()).filter(|id| *id == client.id));
    }
}

#[tokio::test]
async fn without_a_database_the_view_lasts_no_longer() {
    let house = House::new().await;
    let granted = house.granted().await;
    let registry = &house.registry;
    assert_eq!(lets_in(registry, &house, &granted).await, [true; 3]);
    registry.store.close().await;
    // Whether the very token was revoked is asked each time.
    assert_eq!(
        lets_in(registry, &house, &granted).await,
        [false, true, true],
        "nothing was kept, so nothing is tested"
    );
    house.clock.advance(MILLIS);
    assert_eq!(lets_in(registry, &house, &granted).await, [false; 3]);
    let failed = registry.grant_seen(&granted.0.id, &granted.1.address).await;
    assert!(matches!(failed, Err(RegistryError::Store(_))), "{failed:?}");
}
