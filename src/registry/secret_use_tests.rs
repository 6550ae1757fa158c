//! The last uses of client secrets, on two nodes.

use std::net::IpAddr;

use crate::domain::client::TokenAlg;
use crate::domain::event::Actor;
use crate::registry::tests::House;
use crate::registry::{Registry, SecretUse};

/// Another node on the same database.
fn node(of: &Registry) -> Registry {
    let mut other = of.clone();
    other.secret_uses = super::secret_uses::SecretUses::default();
    other
}

#[tokio::test]
async fn ca_17_the_last_use_is_seen_at_once_here_and_merged_over_nodes() {
    let house = House::new().await;
    let (here, there) = (&house.registry, node(&house.registry));
    let (client, secret) = here.add_client(&Actor::System, "tool", TokenAlg::EdDsa, None).await.unwrap();
    let secret = secret.expose_text(str::to_owned).unwrap();
    let id = here.list_client_secrets(&client.id).await.unwrap().remove(0).id;
    let last = async |registry: &Registry| registry.secret_uses(&client.id).await.unwrap().get(&id).copied();
    let [first, second] = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse::<IpAddr>().unwrap());
    assert!(here.check_client_secret(&client.id, "wrong", first).await.is_err());
    assert_eq!(last(here).await, None, "a wrong secret is no use of one");
    here.check_client_secret(&client.id, &secret, first).await.unwrap();
    let seen = SecretUse { at: house.clock.now(), source: first };
    assert_eq!((last(here).await, last(&there).await), (Some(seen), None));

    house.clock.advance(1000);
    there.check_client_secret(&client.id, &secret, second).await.unwrap();
    let later = SecretUse { at: house.clock.now(), source: second };
    // The later one stays, whoever writes first.
    there.write_secret_uses().await.unwrap();
    here.write_secret_uses().await.unwrap();
    assert_eq!((last(here).await, last(&there).await), (Some(later), Some(later)));
    assert!(here.secret_uses.is_empty() && there.secret_uses.is_empty(), "what is written is not written again");

    // A note of a secret that is gone meanwhile holds up nothing.
    here.check_client_secret(&client.id, &secret, first).await.unwrap();
    there.remove_client(&Actor::System, &client.id).await.unwrap();
    here.write_secret_uses().await.unwrap();
    assert_eq!((last(here).await, here.secret_uses.is_empty()), (None, true));
}
