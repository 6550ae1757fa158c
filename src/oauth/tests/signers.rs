//! What the tests of assertions stand on: keys of tools and platforms, and a node that looks at what they sign.

use std::cell::Cell;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::audit::Audit;
use crate::crypto::encoding::base64url;
use crate::crypto::random;
use crate::crypto::sign::{Signer, generate};
use crate::domain::client::TokenAlg;
use crate::domain::client_auth::{ClientAuth, KeySource, RequiredBinding};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::event::Actor;
use crate::domain::id::{ClientId, RequestId};
use crate::domain::secret::Secret;
use crate::oauth::keyset::Keyset;
use crate::oauth::request::TokenRequest;
use crate::oauth::{OauthError, Origin, TokenService};
use crate::registry::{GrantTerms, NewClient, Registry};
use crate::store::Store;
use crate::upstream::{DialPolicy, Dialer};
use crate::vault::Vault;

pub(super) const ISSUER: &str = "https://mail.example.com/oauth";
pub(super) const NOW: i64 = 1_800_000_000;
pub(super) const PLATFORM: &str = "https://platform.example.com";
pub(super) const WORKLOAD: &str = "system:serviceaccount:mail:backup";

/// A key of a tool or platform.
pub(super) struct Key {
    pub(super) signer: Signer,
    pub(super) kid: &'static str,
}

impl Key {
    pub(super) fn new(alg: TokenAlg, kid: &'static str) -> Self {
        Self { signer: Signer::from_pkcs8(alg, &generate(alg).unwrap()).unwrap(), kid }
    }

    pub(super) fn public(&self) -> Value {
        let octets = self.signer.public_key();
        match self.signer.alg() {
            TokenAlg::EdDsa => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(octets), "kid": self.kid }),
            TokenAlg::Es256 => {
                let (x, y) = (base64url(&octets[1..33]), base64url(&octets[33..]));
                json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid })
            }
        }
    }

    pub(super) fn set(&self) -> Value {
        json!({ "keys": [self.public()] })
    }

    pub(super) fn header(&self) -> Value {
        json!({ "alg": self.signer.alg().as_str(), "kid": self.kid, "typ": "JWT" })
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = signed(header, claims);
        format!("{signed}.{}", base64url(&self.signer.sign(signed.as_bytes()).unwrap()))
    }
}

pub(super) fn signed(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()))
}

/// A node with a mailbox.
pub(super) struct House {
    pub(super) tokens: TokenService,
    pub(super) registry: Registry,
    pub(super) clock: Clock,
    asked: Cell<u32>,
    _folder: TempDir,
}

impl House {
    pub(super) async fn new(dialer: Dialer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("m.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        let (clock, entropy) = (Clock::manual(Timestamp::from_secs(NOW)), random::system());
        let kek = Secret::from_bytes(vec![1; 32]);
        let vault = Vault::create(store.clone(), kek, clock.clone(), entropy.clone()).await.unwrap();
        let audit = Audit::start(store.clone(), clock.clone(), vault.audit_key()).await.unwrap();
        let registry = Registry::new(store, vault, audit.clone(), dialer, clock.clone(), entropy.clone());
        let keyset = Keyset::load_or_create(&registry).await.unwrap();
        let tokens = TokenService::new(registry.clone(), audit, keyset, ISSUER.to_owned(), clock.clone(), entropy);
        registry.add_unproven_mailbox("support@contoso.com").await;
        Self { tokens, registry, clock, asked: Cell::new(0), _folder: folder }
    }

    pub(super) async fn alone() -> Self {
        Self::new(Dialer::new(DialPolicy::default())).await
    }

    /// A client with a grant.
    pub(super) async fn client(&self, name: &str, auth: ClientAuth) -> ClientId {
        let new = NewClient {
            name: name.to_owned(),
            token_alg: TokenAlg::EdDsa,
            default_mailbox: None,
            auth,
            required_binding: RequiredBinding::None,
        };
        let (client, _) = self.registry.register_client(&Actor::System, new).await.unwrap();
        let mailbox = self.registry.find_mailbox("support@contoso.com").await.unwrap().id;
        let terms = GrantTerms::of("mail.read".parse().unwrap());
        self.registry.add_grant(&Actor::System, client.id.clone(), mailbox, terms).await.unwrap();
        client.id
    }

    pub(super) async fn tool(&self, key: &Key) -> ClientId {
        self.client(key.kid, by_key(KeySource::Jwks(key.set()))).await
    }

    /// Asks with an assertion, each time from another address, so that no refusal slows the next one down.
    pub(super) async fn ask(&self, more: &str, assertion: &str) -> Result<String, OauthError> {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let body = format!("{more}&client_assertion_type={kind}&client_assertion={assertion}");
        self.ask_with(&body).await
    }

    pub(super) async fn ask_with(&self, body: &str) -> Result<String, OauthError> {
        self.asked.set(self.asked.get() + 1);
        let source = std::net::Ipv4Addr::from(0x0a00_0000 + self.asked.get()).into();
        let request_id = "req_0123456789ab".parse::<RequestId>().unwrap();
        let request = TokenRequest::parse(format!("grant_type=client_credentials&{body}").as_bytes(), None);
        let issued = self.tokens.token(request, &Origin { source, request_id, certificates: Vec::new() }).await?;
        Ok(issued.token.expose_text(str::to_owned).unwrap())
    }

    /// The claims of a good assertion of this client, with a `jti` of its own.
    pub(super) fn claims(&self, client: &ClientId) -> Value {
        let now = self.clock.now().as_secs();
        let id = format!("id-{}", self.asked.get());
        json!({ "iss": client, "sub": client, "aud": ISSUER, "exp": now + 60, "iat": now, "jti": id })
    }

    #[track_caller]
    pub(super) fn assert_refused(outcome: &Result<String, OauthError>, what: &impl std::fmt::Display) {
        assert_eq!(outcome.as_ref().err(), Some(&OauthError::InvalidClient), "{what}");
    }
}

pub(super) fn by_key(keys: KeySource) -> ClientAuth {
    ClientAuth::PrivateKeyJwt { keys, allow_rs256: false }
}

pub(super) fn by_platform(subject: &str, audience: Option<&str>, key: &Key) -> ClientAuth {
    ClientAuth::WorkloadIdentity {
        issuer: PLATFORM.to_owned(),
        subject: subject.to_owned(),
        audience: audience.map(str::to_owned),
        keys: KeySource::Jwks(key.set()),
    }
}

/// The object with one member changed, or left out.
pub(super) fn with(mut object: Value, name: &str, value: Option<Value>) -> Value {
    let members = object.as_object_mut().unwrap();
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
    object
}
