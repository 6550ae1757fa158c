//! Tokens that are bound to a certificate, or pinned to an address and to one session.

use std::net::IpAddr;

use crate::domain::bounds::{Bounds, Pin};
use crate::domain::client::TokenAlg;
use crate::domain::client_auth::{ClientAuth, RequiredBinding};
use crate::domain::event::Actor;
use crate::domain::session::Protocol;
use crate::domain::token::Binding;
use crate::oauth::tests::mtls::{Scene, dn, form, san_dns, self_made, text};
use crate::oauth::{TokenRejected, check_binding, thumbprint};
use crate::registry::NewClient;

const HERE: &str = "192.0.2.1";

#[tokio::test]
async fn jwt_12_a_token_bound_to_a_certificate_is_good_with_that_certificate_only() {
    let scene = Scene::new().await;
    let (own, other) = (self_made(|_| ()), self_made(|_| ()));
    let auth = ClientAuth::SelfSignedTlsClientAuth { thumbprints: vec![thumbprint(&own[0])] };
    let client = scene.client("held", auth, RequiredBinding::None).await;
    scene.grant(&client, &scene.house.mailbox, Bounds::default()).await;
    let token = scene.token(&client, &own).await;
    assert_eq!(scene.tokens.verify_bound(&token, &own).unwrap().client_id, client.id);
    // That a chain holds it is not enough: the key that was proven is the leaf's.
    let behind = vec![other[0].clone(), own[0].clone()];
    for wrong in [&Vec::new(), &other, &behind] {
        assert_eq!(scene.tokens.verify_bound(&token, wrong).unwrap_err(), TokenRejected::Certificate);
    }
    let mut claims = scene.tokens.verify(&token).unwrap();
    claims.binding = Some(Binding::Dpop(thumbprint(&own[0])));
    assert_eq!(check_binding(&claims, &own), Err(TokenRejected::Proof), "a thumbprint of another kind");
    claims.binding = None;
    assert_eq!(check_binding(&claims, &[]), Ok(()));
    // A token of ours that is bound to a DPoP key opens nothing where there are no proofs, whatever certificate is shown.
    let parts = &scene.tokens.0;
    let now = scene.house.clock.now().as_secs();
    let bound = serde_json::json!({
        "iss": parts.issuer, "sub": client.id, "client_id": client.id, "aud": "mailto:support@contoso.com",
        "scope": "mail.read", "iat": now, "exp": now + 60, "jti": "j", "cnf": { "jkt": thumbprint(&own[0]) },
    });
    let token = parts.keyset.sign(TokenAlg::EdDsa, &bound.to_string()).unwrap();
    for shown in [&Vec::new(), &own] {
        assert_eq!(scene.tokens.verify_bound(&token, shown).unwrap_err(), TokenRejected::Proof);
    }
}

#[tokio::test]
async fn jwt_13_a_client_whose_tokens_must_be_bound_shows_its_certificate() {
    let scene = Scene::new().await;
    let new = |name: &str, required_binding| NewClient {
        name: name.to_owned(),
        token_alg: TokenAlg::EdDsa,
        default_mailbox: None,
        auth: ClientAuth::ClientSecret {},
        required_binding,
    };
    let chain = self_made(|_| ());
    for (name, required) in [("must", RequiredBinding::Mtls), ("may", RequiredBinding::None)] {
        let registry = &scene.house.node.registry;
        let (client, secret) = registry.register_client(&Actor::System, new(name, required)).await.unwrap();
        scene.grant(&client, &scene.house.mailbox, Bounds::default()).await;
        let body = format!("{}&client_secret={}", form(&client), secret.unwrap().expose_text(str::to_owned).unwrap());
        let without = scene.ask(&body, &[]).await.map(|issued| text(&issued));
        let with = text(&scene.ask(&body, &chain).await.unwrap());
        let binding = scene.tokens.verify(&with).unwrap().binding;
        if required == RequiredBinding::Mtls {
            assert_eq!(without.unwrap_err().code(), "invalid_request");
            assert_eq!(binding, Some(Binding::Mtls(thumbprint(&chain[0]))));
        } else {
            // A certificate that is shown by the way binds nothing.
            assert_eq!(scene.tokens.verify(&without.unwrap()).unwrap().binding, None);
            assert_eq!(binding, None);
        }
    }
}

/// How often; the whole measure where the run may take long.
fn rounds() -> usize {
    let is_long = crate::config::environment().iter().any(|(name, _)| name == "MAILWARDEN_TEST_LONG");
    if is_long { 10_000 } else { 500 }
}

#[tokio::test]
async fn jwt_14_two_users_who_alternate_never_get_each_others_result() {
    let scene = Scene::new().await;
    let registry = &scene.house.node.registry;
    let mailboxes = [scene.house.mailbox.clone(), registry.add_unproven_mailbox("sales@contoso.com").await.id];
    let mut users = Vec::new();
    for (name, mailbox) in ["one", "two"].into_iter().zip(mailboxes) {
        let chain = self_made(|_| ());
        let auth = ClientAuth::SelfSignedTlsClientAuth { thumbprints: vec![thumbprint(&chain[0])] };
        let client = scene.client(name, auth, RequiredBinding::Mtls).await;
        let bounds = Bounds { protocols: Some(vec![Protocol::Imap]), ..Bounds::default() };
        scene.grant(&client, &mailbox, bounds).await;
        let address = registry.find_mailbox(mailbox.as_str()).await.unwrap().address;
        let body = format!("{}&resource={}", form(&client), address.to_resource());
        let token = text(&scene.ask(&body, &chain).await.unwrap());
        users.push((client, mailbox, token, chain));
    }
    let here: IpAddr = HERE.parse().unwrap();
    for round in 0..rounds() {
        let (own, other) = (&users[round % 2], &users[(round + 1) % 2]);
        let (client, mailbox, token, chain) = own;
        let claims = scene.tokens.verify_bound(token, chain).unwrap();
        let admitted = registry.admit(&claims, Protocol::Imap, here).await.unwrap();
        assert_eq!((&admitted.client.id, &admitted.mailbox.id), (&client.id, mailbox), "round {round}");
        assert!(registry.admit(&claims, Protocol::Smtp, here).await.is_err(), "round {round}");
        assert!(scene.tokens.verify_bound(token, &other.3).is_err(), "round {round}");
    }
}

#[tokio::test]
async fn a_pinned_token_says_where_it_was_asked_for_and_opens_nothing_elsewhere_nor_twice() {
    let scene = Scene::new().await;
    let registry = &scene.house.node.registry;
    let chain = scene.authority.sign(|_| ());
    let auth = ClientAuth::TlsClientAuth { subject: san_dns("tool.example.com") };
    let client = scene.client("pinned", auth, RequiredBinding::None).await;
    let pin = Some(Pin { source: true, single_connection: true });
    let grant = scene.grant(&client, &scene.house.mailbox, Bounds { pin, ..Bounds::default() }).await;
    let token = scene.token(&client, &chain).await;
    let claims = scene.tokens.verify_bound(&token, &chain).unwrap();
    let [here, there] = [HERE, "192.0.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
    assert_eq!(claims.source, Some(here));
    assert!(registry.admit(&claims, Protocol::Imap, here).await.is_ok());
    assert!(registry.admit(&claims, Protocol::Imap, there).await.is_err());
    assert!(registry.may_open(&claims, &grant).await.unwrap());
    assert!(!registry.may_open(&claims, &grant).await.unwrap(), "used up");
    let next = scene.tokens.verify(&scene.token(&client, &chain).await).unwrap();
    assert!(registry.may_open(&next, &grant).await.unwrap());
    // Nothing of it in other tokens.
    let free = scene.named(dn("CN=tool,O=Acme")).await;
    let claims = scene.tokens.verify(&scene.token(&free, &chain).await).unwrap();
    assert_eq!(claims.source, None);
    let grant = registry.grants_of_client(&free.id).await.unwrap().remove(0);
    for _ in 0..2 {
        assert!(registry.may_open(&claims, &grant).await.unwrap());
    }
    assert!(registry.admit(&claims, Protocol::Imap, there).await.is_ok());
}
