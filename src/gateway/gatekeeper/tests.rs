//! Who is let in while another node changes its mind.

use crate::audit::Audit;
use crate::crypto::random;
use crate::domain::client::TokenAlg;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::event::Actor;
use crate::domain::fault::Fault;
use crate::domain::id::RequestId;
use crate::domain::secret::Secret;
use crate::domain::session::Protocol;
use crate::gateway::gatekeeper::{Endurance, Gatekeeper, Parts};
use crate::gateway::stream::Peer;
use crate::gateway::tls::Identity;
use crate::oauth::keyset::Keyset;
use crate::oauth::request::TokenRequest;
use crate::oauth::{Origin, TokenService};
use crate::protocol::sasl;
use crate::registry::{GrantTerms, Registry};
use crate::store::Store;
use crate::upstream::{DialPolicy, Dialer};
use crate::vault::Vault;

const ADDRESS: &str = "support@example.test";

#[tokio::test]
async fn a_login_after_a_withdrawal_at_another_node_is_refused_whatever_was_seen_before() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}", folder.path().join("m.db").display())).await.unwrap();
    store.migrate().await.unwrap();
    // It stands still: what this node has seen does not grow old.
    let (clock, entropy) = (Clock::manual(Timestamp(1_800_000_000_000)), random::system());
    let kek = Secret::from_bytes(vec![1; 32]);
    let vault = Vault::create(store.clone(), kek, clock.clone(), entropy.clone()).await.unwrap();
    let audit = Audit::start(store.clone(), clock.clone(), vault.audit_key()).await.unwrap();
    let dialer = Dialer::new(DialPolicy { allow_networks: Vec::new() });
    let node = || {
        let (store, vault, audit) = (store.clone(), vault.clone(), audit.clone());
        Registry::new(store, vault, audit, dialer.clone(), clock.clone(), entropy.clone())
    };
    let (here, there) = (node(), node());
    let mailbox = there.add_unproven_mailbox(ADDRESS).await;
    let by = Actor::System;
    let (client, secret) = there.add_client(&by, "tool", TokenAlg::EdDsa, None).await.unwrap();
    let terms = GrantTerms::of("mail.read".parse().unwrap());
    let grant = there.add_grant(&by, client.id.clone(), mailbox.id, terms).await.unwrap();

    let keyset = Keyset::load_or_create(&here).await.unwrap();
    let issuer = "https://localhost/oauth".to_owned();
    let tokens = TokenService::new(here.clone(), audit.clone(), keyset, issuer, clock.clone(), entropy.clone());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let identity = Identity::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
    let secret = secret.expose_text(str::to_owned).unwrap();
    let form = format!("grant_type=client_credentials&client_id={}&client_secret={secret}", client.id);
    let request_id = RequestId::new(&clock, &entropy);
    let origin = Origin { source: "127.0.0.1".parse().unwrap(), request_id, certificates: Vec::new() };
    let issued = tokens.token(TokenRequest::parse(form.as_bytes(), None), &origin).await.unwrap();
    let token = issued.token.expose_text(str::to_owned).unwrap();
    let gatekeeper = Gatekeeper::new(Parts {
        registry: here.clone(),
        tokens,
        vault: vault.clone(),
        audit: audit.clone(),
        dialer: dialer.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        hostname: "localhost".to_owned(),
        identity,
        max_message_bytes: 1 << 20,
        costly_search: false,
        endurance: Endurance::default(),
    });
    let attempt = sasl::login(ADDRESS.as_bytes(), token.as_bytes()).unwrap();
    let peer = Peer::at("127.0.0.1:50000".parse().unwrap());
    drop(gatekeeper.admit(&attempt, Protocol::Imap, &peer).await.unwrap());
    there.remove_grant(&by, &grant.id).await.unwrap();
    let claims = gatekeeper.0.tokens.verify(&token).unwrap();
    assert!(
        here.admit(&claims, Protocol::Imap, peer.address.ip()).await.is_ok(),
        "nothing was kept, so nothing is tested"
    );
    let refused = gatekeeper.admit(&attempt, Protocol::Imap, &peer).await.unwrap_err();
    assert_eq!(refused.fault, Fault::Unauthenticated);
    assert!(here.sessions().list().is_empty());
}
