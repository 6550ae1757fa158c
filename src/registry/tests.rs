//! The registry's promises, on SQLite.

use std::net::{IpAddr, Ipv4Addr};

use tempfile::TempDir;

use crate::audit::{Audit, Filter};
use crate::crypto::random;
use crate::domain::client::{Client, Status, TokenAlg};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::event::{Actor, EventCode};
use crate::domain::grant::Grant;
use crate::domain::id::{ClientId, MailboxId, SessionId};
use crate::domain::mailbox::{Connector, Health, Mailbox, Upstream};
use crate::domain::operator::Role;
use crate::domain::secret::Secret;
use crate::domain::session::{EndReason, Protocol, SessionInfo};
use crate::domain::token::Claims;
use crate::registry::sessions::Standing;
use crate::registry::{GrantTerms, Registry, RegistryError};
use crate::store::{Store, sql};
use crate::upstream::{DialPolicy, Dialer};
use crate::vault::Vault;

pub(super) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(super) struct House {
    _folder: TempDir,
    pub(super) registry: Registry,
    pub(super) clock: Clock,
    raw: sqlx::SqlitePool,
}

impl House {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("m.db").display());
        let store = Store::open(&url).await.unwrap();
        store.migrate().await.unwrap();
        let clock = Clock::manual(Timestamp(1_800_000_000_000));
        let kek = Secret::from_bytes(vec![1; 32]);
        let vault = Vault::create(store.clone(), kek, clock.clone(), random::system()).await.unwrap();
        let audit = Audit::start(store.clone(), clock.clone(), vault.audit_key()).await.unwrap();
        let dialer = Dialer::new(DialPolicy { allow_networks: Vec::new() });
        let registry = Registry::new(store, vault, audit, dialer, clock.clone(), random::system());
        Self { _folder: folder, registry, clock, raw: sqlx::SqlitePool::connect(&url).await.unwrap() }
    }

    /// A client with a reading grant on a mailbox whose login nobody proved.
    pub(super) async fn granted(&self) -> (Client, Mailbox, Grant) {
        let registry = &self.registry;
        let mailbox = registry.add_unproven_mailbox("a@example.com").await;
        let (client, _) = registry.add_client(&Actor::System, "tool", TokenAlg::EdDsa, None).await.unwrap();
        let terms = GrantTerms::of("mail.read".parse().unwrap());
        let grant = registry.add_grant(&Actor::System, client.id.clone(), mailbox.id.clone(), terms).await.unwrap();
        (client, mailbox, grant)
    }

    /// How often tampering was recorded.
    pub(super) async fn alarms(&self) -> usize {
        self.recorded(EventCode::TamperingDetected).await
    }

    /// How often something was recorded.
    pub(super) async fn recorded(&self, code: EventCode) -> usize {
        let filter = Filter { code: Some(code), limit: 1000, ..Filter::default() };
        self.registry.audit.list(filter).await.unwrap().len()
    }

    /// Changes the database behind the registry's back; says how many rows.
    pub(super) async fn edit(&self, text: &'static str) -> u64 {
        sqlx::raw_sql(text).execute(&self.raw).await.unwrap().rows_affected()
    }

    /// A number in the database.
    pub(super) async fn number(&self, text: &'static str) -> i64 {
        sqlx::query_scalar(text).fetch_one(&self.raw).await.unwrap()
    }

    pub(super) fn claims(&self, client: &ClientId) -> Claims {
        Claims {
            client_id: client.clone(),
            mailbox: "a@example.com".parse().unwrap(),
            scopes: "mail.read mail.send".parse().unwrap(),
            issued_at: self.clock.now(),
            expires_at: self.clock.now().plus_secs(300),
            token_id: "t".into(),
            binding: None,
            source: None,
            details: None,
        }
    }

    pub(super) fn standing(&self, (_, _, grant): &(Client, Mailbox, Grant)) -> Standing {
        let (scopes, bounds) = (grant.scopes, grant.bounds.clone());
        Standing { scopes, bounds, token_end: self.clock.now().plus_secs(300), token_id: "t".into() }
    }

    pub(super) fn session(&self, (client, mailbox, grant): &(Client, Mailbox, Grant)) -> SessionInfo {
        SessionInfo {
            id: SessionId::new(&self.clock, &random::system()),
            client_id: client.id.clone(),
            mailbox_id: mailbox.id.clone(),
            mailbox: mailbox.address.clone(),
            grant_id: grant.id.clone(),
            protocol: Protocol::Imap,
            source: HERE,
            started_at: self.clock.now(),
            ends_at: self.clock.now().plus_secs(60),
        }
    }
}

impl Registry {
    /// A mailbox whose login nobody proved.
    pub(crate) async fn add_unproven_mailbox(&self, address: &str) -> Mailbox {
        let upstream = Upstream { connector: Connector::Imap, username: "u".into(), imap: None, smtp: None };
        let mailbox = Mailbox {
            id: MailboxId::new(&self.clock, &self.entropy),
            address: address.parse().unwrap(),
            status: Status::Active,
            health: Health::Good,
            upstream,
            tokens_valid_after: Timestamp(0),
            created_at: self.clock.now(),
        };
        let mut tx = self.store.begin().await.unwrap();
        self.add(&mut tx, &mailbox).await.unwrap();
        self.commit(tx).await.unwrap();
        mailbox
    }

    /// Sets the state of a client, its mailbox or its grant, as a node that can switch them off does.
    pub(crate) async fn set_status(&self, which: &str, (client, mailbox): (&ClientId, &MailboxId), status: Status) {
        let mut tx = self.store.begin().await.unwrap();
        if which == "client" {
            let (mut client, mac) = self.client_row(client).await.unwrap();
            client.status = status;
            self.replace(&mut tx, &client, &mac).await.unwrap();
        } else if which == "mailbox" {
            let (mut mailbox, mac) = self.mailbox_row(mailbox).await.unwrap();
            mailbox.status = status;
            self.replace(&mut tx, &mailbox, &mac).await.unwrap();
        } else {
            let args = [client.as_str().into(), mailbox.as_str().into()];
            let (mut grant, mac) = self.one::<Grant>(sql::GRANT_FOR, &args).await.unwrap().unwrap();
            grant.status = status;
            self.replace(&mut tx, &grant, &mac).await.unwrap();
        }
        self.commit(tx).await.unwrap();
    }
}

#[tokio::test]
async fn vl_12_a_policy_row_edited_by_hand_is_refused_and_recorded() {
    for edit in [
        "UPDATE grants SET scopes = 'mail.read mail.send'",
        "UPDATE grants SET scopes = '*'",
        "UPDATE grants SET bounds = '{\"folders\":[\"*\"]}'",
        "UPDATE grants SET expires_at = 4000000000000",
        "UPDATE clients SET tokens_valid_after = -1",
        "UPDATE mailboxes SET upstream = replace(upstream, 'u', 'v')",
        "UPDATE mailboxes SET tokens_valid_after = -1",
        // A true MAC, of another row.
        "UPDATE grants SET mac = (SELECT mac FROM clients LIMIT 1)",
    ] {
        let house = House::new().await;
        let (client, ..) = house.granted().await;
        let claims = house.claims(&client.id);
        let admitted = house.registry.admit(&claims, Protocol::Imap, HERE).await.unwrap();
        assert_eq!(admitted.scopes.to_string(), "mail.read");
        sqlx::raw_sql(edit).execute(&house.raw).await.unwrap();
        house.clock.advance(250);
        let refused = house.registry.admit(&claims, Protocol::Imap, HERE).await;
        assert!(matches!(refused, Err(RegistryError::Denied)), "{edit}: {refused:?}");
        assert_eq!(house.alarms().await, 1, "{edit}");
    }
}

#[tokio::test]
async fn vl_12_a_removed_client_or_grant_does_not_come_back_by_hand() {
    for (table, edit) in
        [("clients", "UPDATE clients SET status = 'active'"), ("grants", "UPDATE grants SET status = 'active'")]
    {
        let house = House::new().await;
        let (client, _, grant) = house.granted().await;
        let claims = house.claims(&client.id);
        match table {
            "clients" => house.registry.remove_client(&Actor::System, &client.id).await.unwrap(),
            _ => house.registry.remove_grant(&Actor::System, &grant.id).await.unwrap(),
        }
        house.clock.advance(1000);
        assert!(house.registry.admit(&claims, Protocol::Imap, HERE).await.is_err());
        assert_eq!(house.alarms().await, 0);
        sqlx::raw_sql(edit).execute(&house.raw).await.unwrap();
        let refused = house.registry.admit(&claims, Protocol::Imap, HERE).await;
        assert!(matches!(refused, Err(RegistryError::Denied)), "{edit}: {refused:?}");
        assert!(house.alarms().await > 0, "{edit}");
    }
}

#[tokio::test]
async fn tok_10_a_token_without_scope_opens_nothing() {
    let house = House::new().await;
    let (client, ..) = house.granted().await;
    let mut claims = house.claims(&client.id);
    for (scopes, admitted) in [("mail.read", true), ("", false), ("mail.send", false)] {
        claims.scopes = scopes.parse().unwrap();
        assert_eq!(house.registry.admit(&claims, Protocol::Imap, HERE).await.is_ok(), admitted, "{scopes}");
    }
}

#[tokio::test]
async fn vl_12_a_grant_copied_to_another_mailbox_is_refused_and_recorded() {
    let house = House::new().await;
    let (client, mailbox, _) = house.granted().await;
    let other = Mailbox {
        id: crate::domain::id::MailboxId::new(&house.clock, &random::system()),
        address: "b@example.com".parse().unwrap(),
        ..mailbox
    };
    let mut tx = house.registry.store.begin().await.unwrap();
    house.registry.add(&mut tx, &other).await.unwrap();
    house.registry.commit(tx).await.unwrap();
    let claims = Claims { mailbox: other.address.clone(), ..house.claims(&client.id) };
    assert!(house.registry.admit(&claims, Protocol::Imap, HERE).await.is_err());
    assert_eq!(house.alarms().await, 0);
    sqlx::query(
        "INSERT INTO grants SELECT 'gra_000000000000', client_id, $1, scopes, bounds, status, token_ttl_secs, \
         session_ttl_secs, expires_at, created_at, mac FROM grants",
    )
    .bind(other.id.as_str().to_owned())
    .execute(&house.raw)
    .await
    .unwrap();
    let refused = house.registry.admit(&claims, Protocol::Imap, HERE).await;
    assert!(matches!(refused, Err(RegistryError::Denied)), "{refused:?}");
    assert_eq!(house.alarms().await, 1);
}

#[tokio::test]
async fn jwt_04_a_token_opens_its_own_mailbox_by_the_protocols_of_its_grant() {
    let house = House::new().await;
    let (client, ..) = house.granted().await;
    let other = house.registry.add_unproven_mailbox("b@example.com").await;
    let mut claims = house.claims(&client.id);
    claims.mailbox = other.address;
    assert!(house.registry.admit(&claims, Protocol::Imap, HERE).await.is_err(), "no grant there");
    let terms = GrantTerms {
        bounds: serde_json::from_str(r#"{"protocols":["imap"]}"#).unwrap(),
        ..GrantTerms::of("mail.read mail.send".parse().unwrap())
    };
    house.registry.add_grant(&Actor::System, client.id.clone(), other.id, terms).await.unwrap();
    for (protocol, admitted) in [(Protocol::Imap, true), (Protocol::Smtp, false)] {
        assert_eq!(house.registry.admit(&claims, protocol, HERE).await.is_ok(), admitted, "{protocol:?}");
    }
}

#[tokio::test]
async fn jwt_08_an_expired_token_is_let_in_for_five_seconds_and_no_more() {
    let house = House::new().await;
    let (client, ..) = house.granted().await;
    let claims = house.claims(&client.id);
    for (after, admitted) in [(299, true), (1, true), (5, true), (1, false)] {
        house.clock.advance(after * 1000);
        assert_eq!(house.registry.admit(&claims, Protocol::Imap, HERE).await.is_ok(), admitted, "{after}");
    }
}

#[tokio::test]
async fn ca_17_two_secrets_live_at_most_and_the_older_ends_with_its_overlap() {
    let house = House::new().await;
    let registry = &house.registry;
    let (client, first) = registry.add_client(&Actor::System, "tool", TokenAlg::EdDsa, None).await.unwrap();
    let text = |secret: &Secret<_>| secret.expose_text(str::to_owned).unwrap();
    let (id, first) = (client.id, text(&first));
    house.clock.advance(1000);
    let second = text(&registry.rotate_client_secret(&Actor::System, &id, 60).await.unwrap());
    let third = registry.rotate_client_secret(&Actor::System, &id, 60).await;
    assert!(matches!(third, Err(RegistryError::Conflict(_))));
    for good in [&first, &second] {
        assert!(registry.check_client_secret(&id, good, HERE).await.is_ok());
    }
    house.clock.advance(60_000);
    assert!(matches!(registry.check_client_secret(&id, &first, HERE).await, Err(RegistryError::Unauthenticated)));
    assert!(registry.check_client_secret(&id, &second, HERE).await.is_ok());
    let third = text(&registry.rotate_client_secret(&Actor::System, &id, 60).await.unwrap());
    registry.retire_client_secrets(&Actor::System, &id).await.unwrap();
    assert!(registry.check_client_secret(&id, &second, HERE).await.is_err());
    assert!(registry.check_client_secret(&id, &third, HERE).await.is_ok());
    let unknown = ClientId::new(&house.clock, &random::system());
    assert!(matches!(registry.check_client_secret(&unknown, &third, HERE).await, Err(RegistryError::Unauthenticated)));
}

#[tokio::test]
async fn revocation_ends_sessions_and_refuses_older_tokens() {
    let house = House::new().await;
    let granted = house.granted().await;
    let handle = house.registry.sessions().open(house.session(&granted), house.standing(&granted));
    let claims = house.claims(&granted.0.id);
    house.registry.revoke_client(&Actor::System, &granted.0.id).await.unwrap();
    assert_eq!(*handle.ended().borrow(), Some(EndReason::Revoked));
    assert!(house.registry.admit(&claims, Protocol::Imap, HERE).await.is_err());
    house.clock.advance(1000);
    assert!(house.registry.admit(&house.claims(&granted.0.id), Protocol::Imap, HERE).await.is_ok());
    drop(handle);
    assert!(house.registry.sessions().list().is_empty());
}

#[tokio::test]
async fn a_change_on_another_node_and_the_end_of_time_reach_running_sessions() {
    let house = House::new().await;
    let granted = house.granted().await;
    let (mut seen, mut ends) = (None, std::collections::HashMap::new());
    let mut other = house.registry.clone();
    other.sessions = super::Sessions::default();
    let handle = house.registry.sessions().open(house.session(&granted), house.standing(&granted));
    house.registry.check_sessions(&mut seen, &mut ends).await.unwrap();
    assert_eq!(*handle.ended().borrow(), None);
    other.remove_grant(&Actor::System, &granted.2.id).await.unwrap();
    house.registry.check_sessions(&mut seen, &mut ends).await.unwrap();
    assert_eq!(*handle.ended().borrow(), Some(EndReason::Revoked));
    let late = house.registry.sessions().open(house.session(&granted), house.standing(&granted));
    house.clock.advance(60_000);
    house.registry.check_sessions(&mut seen, &mut ends).await.unwrap();
    assert_eq!(*late.ended().borrow(), Some(EndReason::Expired));
}

#[tokio::test]
async fn operators_are_known_by_their_token_and_the_last_admin_stays() {
    let house = House::new().await;
    let registry = &house.registry;
    let (admin, token) = registry.add_operator(&Actor::System, "root", Role::Admin, None).await.unwrap();
    let token = token.expose_text(str::to_owned).unwrap();
    assert_eq!(registry.authenticate_operator(&token).await.unwrap().id, admin.id);
    assert!(registry.remove_operator(&Actor::System, &admin.id).await.is_err());
    sqlx::raw_sql("UPDATE operators SET role = 'admin', name = 'x'").execute(&house.raw).await.unwrap();
    assert!(matches!(registry.authenticate_operator(&token).await, Err(RegistryError::Unauthenticated)));
}
