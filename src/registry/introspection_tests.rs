//! What introspection may and may not go by, with two nodes on one database and a clock moved by hand.

use crate::domain::client::{Client, Status};
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::grant::Grant;
use crate::domain::id::ClientId;
use crate::domain::mailbox::Mailbox;
use crate::domain::token::{Claims, LATE_SECS};
use crate::registry::revocations::MAX_SEEN;
use crate::registry::tests::House;
use crate::registry::{Registry, RegistryError, TokenRef};
use crate::store::sql;

/// The view's greatest age.
const MILLIS: i64 = 250;

/// A token of the client that has not been revoked.
fn claims(house: &House, (client, _, _): &(Client, Mailbox, Grant), token_id: &str) -> Claims {
    let mut claims = house.claims(&client.id);
    claims.issued_at = claims.issued_at.plus_secs(1);
    Claims { token_id: token_id.to_owned(), ..claims }
}

async fn stands(node: &Registry, claims: &Claims) -> bool {
    match node.standing_scopes(claims).await {
        Ok(scopes) => scopes.to_string() == "mail.read",
        Err(RegistryError::Denied) => false,
        Err(error) => panic!("{error:?}"),
    }
}

async fn revoke(node: &Registry, claims: &Claims) {
    let event = AuditEvent::new(EventCode::TokenRevoked, Actor::System, Outcome::Success);
    let (token_id, client_id) = (claims.token_id.clone(), claims.client_id.clone());
    node.revoke_token(event, &TokenRef { token_id, client_id, expires_at: claims.expires_at }).await.unwrap();
}

#[tokio::test]
async fn int_02_a_revoked_token_is_none_at_once_here_and_within_a_quarter_of_a_second_elsewhere() {
    let house = House::new().await;
    let granted = house.granted().await;
    let (here, there) = (&house.registry, house.other_node());
    let (ended, other) = (claims(&house, &granted, "ended"), claims(&house, &granted, "other"));
    for node in [here, &there] {
        assert!(stands(node, &ended).await && stands(node, &other).await);
    }
    house.clock.advance(MILLIS - 1);
    revoke(here, &ended).await;
    assert!(!stands(here, &ended).await);
    assert!(stands(&there, &ended).await, "nothing was kept, so nothing is tested");
    house.clock.advance(1);
    for node in [here, &there] {
        assert!(!stands(node, &ended).await);
        assert!(stands(node, &other).await);
    }
}

#[tokio::test]
async fn int_03_a_revocation_that_another_node_was_asked_before_counts_from_its_answer_on() {
    let house = House::new().await;
    let (here, there) = (&house.registry, house.other_node());
    let ended = claims(&house, &house.granted().await, "ended");
    assert!(stands(&there, &ended).await);
    revoke(here, &ended).await;
    assert!(stands(&there, &ended).await, "nothing was kept, so nothing is tested");
    revoke(&there, &ended).await;
    assert!(!stands(&there, &ended).await);
}

#[tokio::test]
async fn int_02_a_withdrawal_makes_a_token_none_at_once_here_and_within_a_quarter_of_a_second_elsewhere() {
    for which in ["client", "mailbox", "grant"] {
        let house = House::new().await;
        let granted = house.granted().await;
        let (here, there) = (&house.registry, house.other_node());
        let claims = claims(&house, &granted, "t");
        assert!(stands(here, &claims).await && stands(&there, &claims).await);
        here.set_status(which, (&granted.0.id, &granted.1.id), Status::Disabled).await;
        assert!(!stands(here, &claims).await, "{which}");
        assert!(stands(&there, &claims).await, "{which}: nothing was kept, so nothing is tested");
        house.clock.advance(MILLIS);
        assert!(!stands(&there, &claims).await, "{which}");
    }
}

#[tokio::test]
async fn a_token_that_ends_is_none_from_then_on_although_it_was_just_seen() {
    let house = House::new().await;
    let mut claims = claims(&house, &house.granted().await, "t");
    claims.expires_at = house.clock.now().plus_secs(1);
    house.clock.advance(1000 + LATE_SECS * 1000);
    assert!(stands(&house.registry, &claims).await);
    // Revoked in its last second, which is over for the database and not yet for the token.
    house.clock.advance(999);
    assert!(stands(&house.registry, &claims).await);
    revoke(&house.registry, &claims).await;
    assert!(!stands(&house.registry, &claims).await, "it is among those that are alive");
    house.clock.advance(1);
    assert!(!stands(&house.registry, &claims).await);
}

#[tokio::test]
async fn where_too_many_are_revoked_each_is_asked_of_the_database() {
    let house = House::new().await;
    let granted = house.granted().await;
    let (here, there) = (&house.registry, house.other_node());
    let ended = claims(&house, &granted, "ended");
    fill(here, &granted.0.id, house.clock.now().plus_secs(300).0).await;
    assert!(stands(&there, &ended).await);
    revoke(here, &ended).await;
    assert!(!stands(&there, &ended).await, "what was not kept was gone by");
    assert!(stands(&there, &claims(&house, &granted, "other")).await);
}

/// As many revoked tokens as are read at once, and one more.
async fn fill(node: &Registry, client: &ClientId, expires_at: i64) {
    let mut tx = node.store.begin().await.unwrap();
    for number in 0..=MAX_SEEN {
        let id = format!("t{number}");
        let row = [id.as_str().into(), client.as_str().into(), expires_at.into(), 0.into(), b"".as_slice().into()];
        tx.execute(sql::REVOKED_TOKEN_ADD, &row).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn without_a_database_introspection_goes_on_no_longer_than_the_view() {
    let house = House::new().await;
    let claims = claims(&house, &house.granted().await, "t");
    assert!(stands(&house.registry, &claims).await);
    house.registry.store.close().await;
    assert!(stands(&house.registry, &claims).await, "nothing was kept, so nothing is tested");
    house.clock.advance(MILLIS);
    let failed = house.registry.standing_scopes(&claims).await;
    assert!(matches!(failed, Err(RegistryError::Store(_))), "{failed:?}");
}
