//! Who is let in while another node changes its mind, and what strangers cost who fail to come in.

use std::time::Duration;

use tempfile::TempDir;

use crate::audit::{Audit, Filter};
use crate::crypto::random;
use crate::domain::client::TokenAlg;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::event::{Actor, EventCode};
use crate::domain::fault::Fault;
use crate::domain::freeze::{Level, Target};
use crate::domain::grant::Grant;
use crate::domain::id::RequestId;
use crate::domain::secret::Secret;
use crate::domain::session::Protocol;
use crate::gateway::gatekeeper::{Endurance, Gatekeeper, Parts, Refusal, Session};
use crate::gateway::stream::Peer;
use crate::gateway::tls::Identity;
use crate::oauth::keyset::Keyset;
use crate::oauth::request::TokenRequest;
use crate::oauth::{Origin, TokenService};
use crate::protocol::sasl;
use crate::registry::{GrantTerms, NewFreeze, Registry};
use crate::store::Store;
use crate::upstream::{DialPolicy, Dialer};
use crate::vault::Vault;

const ADDRESS: &str = "support@example.test";
const HERE: &str = "127.0.0.1:50000";
const ELSEWHERE: &str = "127.0.0.2:50000";

/// A house of two nodes with one tool, which has a token. Its clock stands still: what a node has seen does not grow old.
struct House {
    _folder: TempDir,
    here: Registry,
    there: Registry,
    gatekeeper: Gatekeeper,
    audit: Audit,
    clock: Clock,
    grant: Grant,
    token: String,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("m.db").display())).await.unwrap();
        store.migrate().await.unwrap();
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
        let identity =
            Identity::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
        let secret = secret.expose_text(str::to_owned).unwrap();
        let form = format!("grant_type=client_credentials&client_id={}&client_secret={secret}", client.id);
        let request_id = RequestId::new(&clock, &entropy);
        let origin = Origin { source: "127.0.0.1".parse().unwrap(), request_id, certificates: Vec::new() };
        let issued = tokens.token(TokenRequest::parse(form.as_bytes(), None), &origin).await.unwrap();
        let token = issued.token.expose_text(str::to_owned).unwrap();
        let gatekeeper = Gatekeeper::new(Parts {
            registry: here.clone(),
            tokens,
            vault,
            audit: audit.clone(),
            dialer,
            clock: clock.clone(),
            entropy,
            hostname: "localhost".to_owned(),
            identity,
            max_message_bytes: 1 << 20,
            costly_search: false,
            endurance: Endurance::default(),
        });
        Self { _folder: folder, here, there, gatekeeper, audit, clock, grant, token }
    }

    async fn log_in(&self, token: &str, from: &str) -> Result<Session, Refusal> {
        let attempt = sasl::login(ADDRESS.as_bytes(), token.as_bytes()).unwrap();
        self.gatekeeper.admit(&attempt, Protocol::Imap, &Peer::at(from.parse().unwrap())).await
    }

    /// The rule and count of each login that was refused, as they are on record.
    async fn refused(&self) -> Vec<(String, Option<String>)> {
        let filter = Filter { code: Some(EventCode::LoginRefused), ..Filter::default() };
        let records = self.audit.list(filter).await.unwrap();
        let told = records
            .into_iter()
            .map(|mut record| (record.detail.remove("rule").unwrap_or_default(), record.detail.remove("count")));
        told.collect()
    }

    /// Waits until one record tells of `count` logins.
    async fn told_of(&self, count: &str) {
        let told = async {
            while !self.refused().await.contains(&("slowed".to_owned(), Some(count.to_owned()))) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), told).await.expect("it is on record");
    }
}

#[tokio::test]
async fn a_login_after_a_withdrawal_at_another_node_is_refused_whatever_was_seen_before() {
    let house = House::new().await;
    drop(house.log_in(&house.token, HERE).await.unwrap());
    house.there.remove_grant(&Actor::System, &house.grant.id).await.unwrap();
    let claims = house.gatekeeper.0.tokens.verify(&house.token).unwrap();
    assert!(
        house.here.admit(&claims, Protocol::Imap, "127.0.0.1".parse().unwrap()).await.is_ok(),
        "nothing was kept, so nothing is tested"
    );
    let refused = house.log_in(&house.token, HERE).await.unwrap_err();
    assert_eq!(refused.fault, Fault::Unauthenticated);
    assert!(house.here.sessions().list().is_empty());
}

#[tokio::test]
async fn au_01_a_network_that_fails_to_log_in_costs_twenty_records_and_one_for_each_wait() {
    let house = House::new().await;
    for _ in 0..20 {
        let refused = house.log_in("no token", HERE).await.unwrap_err();
        assert!(refused.fault == Fault::Unauthenticated && !refused.is_last, "{refused:?}");
    }
    // A good token waits with the bad ones, and hears the same.
    for token in ["no token", &house.token, "no token", &house.token] {
        let refused = house.log_in(token, HERE).await.unwrap_err();
        assert!(refused.fault == Fault::Throttled && refused.is_last, "{refused:?}");
        assert!(!refused.text.contains("vrd_"), "{refused:?}");
    }
    let peer = Peer::at(HERE.parse().unwrap());
    assert!(house.gatekeeper.unread(None, Protocol::Pop3, &peer).await.is_last);
    drop(house.log_in(&house.token, ELSEWHERE).await.expect("nobody waits for another network's failures"));
    let alone = house.refused().await.iter().filter(|(rule, _)| rule == "token").count();
    assert_eq!(alone, 20);
    house.told_of("5").await;
    assert_eq!(house.refused().await.len(), 21);
    house.clock.advance(1_000);
    drop(house.log_in(&house.token, HERE).await.expect("it has waited"));
}

#[tokio::test]
async fn au_01_what_cannot_be_read_slows_nobody_and_costs_twenty_records() {
    let house = House::new().await;
    let peer = Peer::at(HERE.parse().unwrap());
    for number in 0..30 {
        let refused = house.gatekeeper.unread(None, Protocol::Imap, &peer).await;
        assert!(refused.fault == Fault::Unauthenticated && !refused.is_last, "{refused:?}");
        assert_eq!(refused.text.contains("vrd_"), number < 20, "{number}: {refused:?}");
    }
    drop(house.log_in(&house.token, HERE).await.expect("it was no guess"));
    house.told_of("10").await;
    assert_eq!(house.refused().await.len(), 21);
}

#[tokio::test]
async fn a_network_whose_tools_come_in_is_not_slowed_by_those_that_come_late() {
    let house = House::new().await;
    for _ in 0..40 {
        assert_eq!(house.log_in("no token", HERE).await.unwrap_err().fault, Fault::Unauthenticated);
        drop(house.log_in(&house.token, HERE).await.unwrap());
    }
}

#[tokio::test]
async fn au_01_tools_that_a_freeze_keeps_out_hear_of_it_and_cost_no_record_each() {
    let house = House::new().await;
    let new = NewFreeze {
        level: Level::Drain,
        target: Target::default(),
        reason: "a drill".to_owned(),
        thaw_after_secs: None,
    };
    let freeze = house.here.add_freeze(&Actor::System, new).await.unwrap();
    for number in 0..30 {
        let refused = house.log_in(&house.token, HERE).await.unwrap_err();
        assert!(!refused.is_last && refused.text.contains("frozen"), "{refused:?}");
        assert_eq!(refused.text.contains("vrd_"), number < 20, "{number}: {refused:?}");
    }
    house.told_of("10").await;
    assert_eq!(house.refused().await.len(), 21);
    house.here.end_freeze(&Actor::System, &freeze.id).await.unwrap();
    drop(house.log_in(&house.token, HERE).await.expect("it slows nobody"));
}
