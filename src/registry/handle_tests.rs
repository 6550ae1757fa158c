//! What a kept handle opens, and until when.

use std::net::IpAddr;

use crate::crypto::encoding::{HANDLE, generate_short};
use crate::crypto::random;
use crate::domain::event::Actor;
use crate::domain::handle::Handle;
use crate::domain::secret::{AccessToken, Secret};
use crate::domain::session::Protocol;
use crate::registry::handles::HandleDigest;
use crate::registry::tests::House;
use crate::registry::{GrantTerms, RegistryError};

const HERE: [u8; 4] = [192, 0, 2, 7];

/// A house with a client that has a grant, and a handle of it for IMAP from 192.0.2.0/24.
async fn with_handle() -> (House, Handle, HandleDigest) {
    let house = House::new().await;
    let (client, mailbox, grant) = house.granted().await;
    let text: Secret<AccessToken> = generate_short(HANDLE, &random::system());
    let digest = text.expose_text(|text| house.registry.handle_digest(text)).flatten().unwrap();
    let handle = Handle {
        digest: digest.as_bytes(),
        client_id: client.id,
        mailbox_id: mailbox.id,
        grant_id: grant.id,
        protocol: Protocol::Imap,
        scopes: "mail.metadata".parse().unwrap(),
        networks: Some(vec!["192.0.2.0/24".parse().unwrap()]),
        issued_at: house.clock.now(),
        expires_at: house.clock.now().plus_secs(300),
    };
    house.registry.add_handle(&handle).await.unwrap();
    (house, handle, digest)
}

#[tokio::test]
async fn a_handle_says_what_it_was_given_out_for_and_only_there() {
    let (house, handle, digest) = with_handle().await;
    let open = async |protocol, source: &str| {
        house.registry.open_handle(&digest, protocol, source.parse::<IpAddr>().unwrap()).await
    };
    let claims = open(Protocol::Imap, "::ffff:192.0.2.7").await.unwrap();
    assert_eq!((&claims.client_id, claims.mailbox.as_str()), (&handle.client_id, "a@example.com"));
    assert_eq!((claims.scopes, claims.issued_at), (handle.scopes, handle.issued_at));
    assert_eq!((claims.token_id.len(), claims.token_id), (22, digest.token_id()));
    assert!(matches!(open(Protocol::Smtp, "192.0.2.7").await, Err(RegistryError::Denied)), "another protocol");
    assert!(matches!(open(Protocol::Imap, "198.51.100.1").await, Err(RegistryError::Denied)), "another network");
    assert!(house.registry.handle_digest("mwh_").is_none() && house.registry.handle_digest("a.b.c").is_none());
}

#[tokio::test]
async fn a_handle_ends_with_its_time_and_is_swept() {
    let (house, _, digest) = with_handle().await;
    let open = async || house.registry.open_handle(&digest, Protocol::Imap, HERE.into()).await;
    house.clock.advance(305_000);
    open().await.expect("clocks differ by a little");
    assert_eq!(house.registry.sweep_handles_once().await.unwrap(), 0, "nothing that may still be shown is removed");
    house.clock.advance(1_001);
    assert!(matches!(open().await, Err(RegistryError::Denied)));
    assert!(house.registry.handle_owner(&digest).await.is_err());
    assert_eq!(house.registry.sweep_handles_once().await.unwrap(), 1);
}

#[tokio::test]
async fn a_handle_goes_with_its_grant() {
    let (house, handle, digest) = with_handle().await;
    let registry = &house.registry;
    let open = async || registry.open_handle(&digest, Protocol::Imap, HERE.into()).await;
    open().await.unwrap();
    let grant = registry.find_grant(&handle.grant_id).await.unwrap();
    registry.remove_grant(&Actor::System, &grant.id).await.unwrap();
    assert!(matches!(open().await, Err(RegistryError::Denied)));
    let again = GrantTerms { bounds: grant.bounds, ..GrantTerms::of(grant.scopes) };
    registry.add_grant(&Actor::System, grant.client_id, grant.mailbox_id, again).await.unwrap();
    assert!(matches!(open().await, Err(RegistryError::Denied)), "a later grant does not wake it");
}
