//! The line of signing keys: at every moment exactly one of an algorithm signs, and nobody puts one in or back by hand.

use crate::domain::client::TokenAlg;
use crate::domain::event::{Actor, EventCode};
use crate::domain::signing_key::{KeyState, PUBLISH_AHEAD_SECS, RETIRED_SECS, SigningKey};
use crate::registry::tests::House;
use crate::registry::{Registry, RegistryError, Rotation};

const ALG: TokenAlg = TokenAlg::EdDsa;

async fn house() -> House {
    let house = House::new().await;
    house.registry.ensure_signing_keys().await.unwrap();
    house
}

async fn rotate(registry: &Registry, how: Rotation) -> String {
    registry.rotate_signing_key(&Actor::System, ALG, how).await.unwrap().kid
}

async fn in_state(house: &House, state: KeyState) -> Vec<String> {
    let keys = house.registry.list_signing_keys().await.unwrap();
    let wanted = |key: &&SigningKey| key.alg == ALG && key.state(house.clock.now()) == Some(state);
    keys.iter().filter(wanted).map(|key| key.kid.clone()).collect()
}

/// Checks from now on, for a while, that one key signs at every moment: the one that signed before until the next one's time.
async fn one_signs_always(house: &House) {
    for _ in 0..4 {
        assert_eq!(in_state(house, KeyState::Active).await.len(), 1);
        house.clock.advance((PUBLISH_AHEAD_SECS / 2) * 1000);
    }
}

#[tokio::test]
async fn the_first_start_makes_one_key_of_each_algorithm_and_no_later_one_does() {
    let house = house().await;
    let first: Vec<_> = house.registry.list_signing_keys().await.unwrap().into_iter().map(|key| key.kid).collect();
    house.registry.ensure_signing_keys().await.unwrap();
    let again: Vec<_> = house.registry.list_signing_keys().await.unwrap().into_iter().map(|key| key.kid).collect();
    assert_eq!((first.len(), &first), (2, &again));
    assert_eq!(house.recorded(EventCode::KeyPublished).await, 2);
}

#[tokio::test]
async fn whichever_key_is_revoked_one_signs_on() {
    for revoked in 0..4 {
        let house = house().await;
        let mut line = in_state(&house, KeyState::Active).await;
        for _ in 0..3 {
            line.push(rotate(&house.registry, Rotation::Planned).await);
            house.clock.advance(60_000);
        }
        // One is retired, one signs, two wait.
        house.clock.advance((PUBLISH_AHEAD_SECS - 180) * 1000);
        assert_eq!(in_state(&house, KeyState::Active).await, std::slice::from_ref(&line[1]));
        house.registry.revoke_signing_key(&Actor::System, &line[revoked]).await.unwrap();
        let signs = in_state(&house, KeyState::Active).await;
        let expected = if revoked == 1 { &line[2] } else { &line[1] };
        assert_eq!(signs, std::slice::from_ref(expected), "after the revocation of {revoked}");
        assert_eq!(in_state(&house, KeyState::Revoked).await, std::slice::from_ref(&line[revoked]));
        one_signs_always(&house).await;
        house.registry.revoke_signing_key(&Actor::System, &line[revoked]).await.unwrap();
        assert_eq!(house.recorded(EventCode::KeyRevoked).await, 1, "the second time there is nothing to do");
    }
}

#[tokio::test]
async fn the_last_key_that_is_revoked_has_a_new_one_in_its_place() {
    let house = house().await;
    let only = in_state(&house, KeyState::Active).await.remove(0);
    house.registry.revoke_signing_key(&Actor::System, &only).await.unwrap();
    assert_ne!(in_state(&house, KeyState::Active).await, std::slice::from_ref(&only));
    one_signs_always(&house).await;
    let row = house.registry.list_signing_keys().await.unwrap().into_iter().find(|key| key.kid == only).unwrap();
    assert!(row.sealed.is_empty() && row.wrapped_dek.is_empty(), "its private half is shredded");
    let unknown = house.registry.revoke_signing_key(&Actor::System, "nobody").await;
    assert!(matches!(unknown, Err(RegistryError::NotFound(_))));
}

#[tokio::test]
async fn rotations_that_meet_leave_one_key_that_signs() {
    for how in [Rotation::Planned, Rotation::Now, Rotation::Emergency] {
        let house = house().await;
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let registry = house.registry.clone();
                tokio::spawn(async move { registry.rotate_signing_key(&Actor::System, ALG, how).await })
            })
            .collect();
        for task in tasks {
            let done = task.await.unwrap();
            assert!(matches!(done, Ok(_) | Err(RegistryError::Conflict(_))), "{done:?}");
        }
        one_signs_always(&house).await;
    }
}

#[tokio::test]
async fn keys_whose_time_is_over_are_deleted_and_the_set_is_bounded() {
    let house = house().await;
    let mut refused = 0;
    for _ in 0..150 {
        let rotated = house.registry.rotate_signing_key(&Actor::System, ALG, Rotation::Now).await;
        refused += usize::from(matches!(rotated, Err(RegistryError::Conflict(_))));
    }
    assert_eq!(refused, 51, "100 keys at most");
    rotate(&house.registry, Rotation::Emergency).await;
    house.clock.advance(RETIRED_SECS * 1000);
    rotate(&house.registry, Rotation::Now).await;
    let rows = house.number("SELECT COUNT(*) FROM signing_keys WHERE alg = 'EdDSA'").await;
    assert_eq!(rows, 2);
}

#[tokio::test]
async fn vl_12_a_signing_key_is_neither_put_in_nor_brought_back_by_hand() {
    for edit in [
        "UPDATE signing_keys SET revoked_at = NULL WHERE revoked_at IS NOT NULL",
        "UPDATE signing_keys SET retires_at = NULL WHERE retires_at IS NOT NULL AND revoked_at IS NULL",
        "UPDATE signing_keys SET active_from = 0 WHERE active_from > created_at",
        "INSERT INTO signing_keys SELECT 'theirs', alg, kek_id, wrapped_dek, sealed, created_at, active_from, retires_at, \
         revoked_at, mac FROM signing_keys WHERE revoked_at IS NULL AND retires_at IS NOT NULL",
    ] {
        let house = house().await;
        let first = in_state(&house, KeyState::Active).await.remove(0);
        rotate(&house.registry, Rotation::Emergency).await;
        rotate(&house.registry, Rotation::Planned).await;
        let keys = || async { house.registry.list_signing_keys().await.unwrap().len() };
        assert_eq!((keys().await, house.alarms().await), (4, 0));
        house.edit("DROP INDEX signing_keys_last").await;
        assert_eq!(house.edit(edit).await, 1, "{edit}");
        let left = keys().await;
        assert_eq!((left, house.alarms().await), (if edit.starts_with("INSERT") { 4 } else { 3 }, 1), "{edit}");
        assert!(!in_state(&house, KeyState::Active).await.contains(&first), "{edit}");
        // A rotation takes the row away and things are as they should be.
        rotate(&house.registry, Rotation::Now).await;
        let alarms = house.alarms().await;
        one_signs_always(&house).await;
        assert_eq!(house.alarms().await, alarms, "{edit}: the row is gone");
    }
}
