//! Signing keys change while tokens are issued and verified, on two nodes.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::domain::client::TokenAlg;
use crate::domain::clock::Timestamp;
use crate::domain::event::Actor;
use crate::domain::grant::Grant;
use crate::domain::signing_key::{JWKS_MAX_AGE_SECS, KeyState};
use crate::oauth::TokenRejected;
use crate::oauth::jose::jws;
use crate::oauth::tests::service::{House, Node, body};
use crate::registry::{GrantTerms, Rotation};

/// Two nodes, and the form of a client whose tokens live as long as any.
async fn two_nodes() -> (House, Node, String) {
    let house = House::new(TokenAlg::EdDsa).await;
    let second = Node::start(house.store.clone(), &house.clock, false).await;
    let registry = &house.node.registry;
    let (client, secret) = registry.add_client(&Actor::System, "long", TokenAlg::EdDsa, None).await.unwrap();
    let terms =
        GrantTerms { token_ttl_secs: Grant::MAX_TOKEN_TTL_SECS, ..GrantTerms::of("mail.read".parse().unwrap()) };
    registry.add_grant(&Actor::System, client.id.clone(), house.mailbox.clone(), terms).await.unwrap();
    let form = body(client.id.as_str(), &secret.expose_text(str::to_owned).unwrap());
    (house, second, form)
}

async fn token(node: &Node, form: &str) -> String {
    node.ask("192.0.2.1", form, None).await.unwrap().token.expose_text(str::to_owned).unwrap()
}

fn kid(token: &str) -> String {
    jws::split(token).unwrap().header.text("kid").unwrap().to_owned()
}

/// The names of the keys that a node shows.
fn shown(node: &Node) -> BTreeSet<String> {
    let jwks = node.tokens.jwks();
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn jwt_09_a_rotation_every_minute_on_two_nodes_fails_no_verification() {
    let (house, second, form) = two_nodes().await;
    let nodes = [&house.node, &second];
    let started = house.clock.now();
    let mut shown_since: HashMap<String, Timestamp> = HashMap::new();
    let mut signed: BTreeSet<String> = BTreeSet::new();
    let mut waiting: VecDeque<(Timestamp, String)> = VecDeque::new();
    let (mut verified, mut failed) = (0, 0);
    let mut check = |token: &str| {
        for node in nodes {
            verified += 1;
            failed += usize::from(node.tokens.verify(token).is_err());
        }
    };
    for minute in 0..140 {
        let (here, there) = (nodes[minute % 2], nodes[(minute + 1) % 2]);
        here.registry.rotate_signing_key(&Actor::System, TokenAlg::EdDsa, Rotation::Planned).await.unwrap();
        here.tokens.refresh_keys().await.unwrap();
        // The other node has not looked yet.
        for node in nodes {
            let token = token(node, &form).await;
            check(&token);
            signed.insert(kid(&token));
            let since = shown_since.get(&kid(&token)).copied();
            let ahead = since.map_or(0, |since| house.clock.now().as_secs() - since.as_secs());
            let is_first = since.is_none_or(|since| since == started);
            assert!(
                is_first || ahead >= 2 * JWKS_MAX_AGE_SECS,
                "minute {minute}: shown for {ahead} s before it signed"
            );
            waiting.push_back((house.clock.now().plus_secs(3600 + 5), token));
        }
        there.tokens.refresh_keys().await.unwrap();
        // A key is shown from when both nodes show it, and never taken off while one of its tokens may be valid.
        for kid in shown(here).intersection(&shown(there)) {
            shown_since.entry(kid.clone()).or_insert(house.clock.now());
        }
        for (_, token) in &waiting {
            assert!(nodes.iter().all(|node| shown(node).contains(&kid(token))), "minute {minute}");
        }
        // Each token once more at the last moment at which it is good.
        house.clock.advance(5_000);
        while waiting.front().is_some_and(|(end, _)| *end <= house.clock.now()) {
            let (end, token) = waiting.pop_front().unwrap();
            assert_eq!(end, house.clock.now());
            check(&token);
        }
        house.clock.advance(55_000);
    }
    assert_eq!((failed, verified), (0, 2 * (280 + 2 * 80)));
    assert_eq!(signed.len(), 1 + 130, "the first key signed for ten minutes, then each for one");
    let keys = second.registry.list_signing_keys().await.unwrap();
    let of = |state| {
        let now = house.clock.now();
        keys.iter().filter(|key| key.alg == TokenAlg::EdDsa && key.state(now) == Some(state)).count()
    };
    assert_eq!((of(KeyState::Active), of(KeyState::Published)), (1, 9));
    assert!(of(KeyState::Retired) < 65, "retired keys leave: {}", of(KeyState::Retired));
}

#[tokio::test]
async fn jwt_09_a_key_that_takes_over_at_once_leaves_the_old_tokens_valid() {
    let (house, second, form) = two_nodes().await;
    let (old, registry) = (token(&second, &form).await, &house.node.registry);
    let waits = registry.rotate_signing_key(&Actor::System, TokenAlg::EdDsa, Rotation::Planned).await.unwrap();
    let new = registry.rotate_signing_key(&Actor::System, TokenAlg::EdDsa, Rotation::Now).await.unwrap();
    for node in [&house.node, &second] {
        node.tokens.refresh_keys().await.unwrap();
        assert_eq!(kid(&token(node, &form).await), new.kid);
        assert!(node.tokens.verify(&old).is_ok());
        assert!(!shown(node).contains(&waits.kid), "a key that waited is dropped");
    }
}

#[tokio::test]
async fn jwt_10_a_revoked_key_verifies_nothing_at_either_node() {
    for emergency in [false, true] {
        let (house, second, form) = two_nodes().await;
        let (token_here, token_there) = (token(&house.node, &form).await, token(&second, &form).await);
        let stolen = kid(&token_here);
        if emergency {
            let how = Rotation::Emergency;
            house.node.registry.rotate_signing_key(&Actor::System, TokenAlg::EdDsa, how).await.unwrap();
        } else {
            house.node.registry.revoke_signing_key(&Actor::System, &stolen).await.unwrap();
        }
        for node in [&house.node, &second] {
            assert!(node.tokens.verify(&token_there).is_ok(), "it has not looked yet");
            node.tokens.refresh_keys().await.unwrap();
            for token in [&token_here, &token_there] {
                assert_eq!(node.tokens.verify(token), Err(TokenRejected::Signature), "emergency: {emergency}");
            }
            assert!(!shown(node).contains(&stolen));
        }
        let again = token(&second, &form).await;
        assert!(kid(&again) != stolen && house.node.tokens.verify(&again).is_ok());
        // A node that starts later does not know it either.
        let third = Node::start(house.store.clone(), &house.clock, false).await;
        assert!(third.tokens.verify(&token_here).is_err() && third.tokens.verify(&again).is_ok());
    }
}
