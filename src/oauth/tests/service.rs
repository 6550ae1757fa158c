//! Whom the token service gives what, on SQLite.

use std::collections::HashSet;
use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};
use proptest::sample::select;
use tempfile::TempDir;

use crate::audit::{Audit, Filter};
use crate::crypto::encoding::from_base64url;
use crate::crypto::random;
use crate::domain::client::{Status, TokenAlg};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::event::{Actor, EventCode};
use crate::domain::id::{ClientId, MailboxId, RequestId};
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::secret::Secret;
use crate::oauth::issue::{narrowed, token_id};
use crate::oauth::keyset::Keyset;
use crate::oauth::request::TokenRequest;
use crate::oauth::{IssuedToken, OauthError, Origin, TokenService};
use crate::registry::{GrantTerms, Registry};
use crate::store::Store;
use crate::upstream::{DialPolicy, Dialer};
use crate::vault::Vault;

/// One node.
pub(super) struct Node {
    pub(super) tokens: TokenService,
    pub(super) registry: Registry,
    audit: Audit,
}

impl Node {
    pub(super) async fn start(store: Store, clock: &Clock, first: bool) -> Self {
        let (kek, entropy) = (Secret::from_bytes(vec![1; 32]), random::system());
        let vault = if first {
            store.migrate().await.unwrap();
            Vault::create(store.clone(), kek, clock.clone(), entropy.clone()).await.unwrap()
        } else {
            Vault::unlock(store.clone(), kek, clock.clone(), entropy.clone()).await.unwrap()
        };
        let audit = Audit::start(store.clone(), clock.clone(), vault.audit_key()).await.unwrap();
        let dialer = Dialer::new(DialPolicy { allow_networks: Vec::new() });
        let registry = Registry::new(store, vault, audit.clone(), dialer, clock.clone(), entropy.clone());
        let keyset = Keyset::load_or_create(&registry).await.unwrap();
        let issuer = "https://mail.example.com/oauth".to_owned();
        let tokens = TokenService::new(registry.clone(), audit.clone(), keyset, issuer, clock.clone(), entropy);
        Self { tokens, registry, audit }
    }

    pub(super) async fn ask(
        &self,
        source: &str,
        body: &str,
        authorization: Option<&str>,
    ) -> Result<IssuedToken, OauthError> {
        let source: IpAddr = source.parse().unwrap();
        let request_id = "req_0123456789ab".parse::<RequestId>().unwrap();
        let request = TokenRequest::parse(body.as_bytes(), authorization);
        self.tokens.token(request, &Origin { source, request_id, certificates: Vec::new() }).await
    }

    async fn refusals(&self) -> usize {
        let filter = Filter { code: Some(EventCode::TokenRefused), limit: 1000, ..Filter::default() };
        self.audit.list(filter).await.unwrap().len()
    }
}

/// A node, and a client with a reading grant on a mailbox.
pub(super) struct House {
    pub(super) node: Node,
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) client: ClientId,
    pub(super) mailbox: MailboxId,
    pub(super) secret: String,
    _folder: TempDir,
}

impl House {
    pub(super) async fn new(token_alg: TokenAlg) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("m.db").display());
        let clock = Clock::manual(Timestamp(1_800_000_000_000));
        let store = Store::open(&url).await.unwrap();
        let node = Node::start(store.clone(), &clock, true).await;
        let mailbox = node.registry.add_unproven_mailbox("support@contoso.com").await.id;
        let (client, secret) = node.registry.add_client(&Actor::System, "tool", token_alg, None).await.unwrap();
        let terms = GrantTerms::of("mail.read".parse().unwrap());
        node.registry.add_grant(&Actor::System, client.id.clone(), mailbox.clone(), terms).await.unwrap();
        let secret = secret.expose_text(str::to_owned).unwrap();
        Self { node, clock, store, client: client.id, mailbox, secret, _folder: folder }
    }

    pub(super) fn body(&self) -> String {
        body(self.client.as_str(), &self.secret)
    }
}

pub(super) fn body(client: &str, secret: &str) -> String {
    format!("grant_type=client_credentials&client_id={client}&client_secret={secret}")
}

pub(super) const GOOD: &str = "192.0.2.1";
const BAD: &str = "192.0.2.2";

#[tokio::test]
async fn tok_08_a_grant_of_others_is_refused_once_the_client_is_known() {
    let house = House::new(TokenAlg::EdDsa).await;
    let exchange = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";
    let body = house.body().replace("client_credentials", exchange);
    assert_eq!(house.node.ask(GOOD, &body, None).await.unwrap_err(), OauthError::UnauthorizedClient);
    let stranger = body.replace(&house.secret, "wrong");
    assert_eq!(house.node.ask(GOOD, &stranger, None).await.unwrap_err(), OauthError::InvalidClient);
}

fn scope_set() -> impl proptest::strategy::Strategy<Value = Vec<Scope>> {
    vec(select(Scope::ALL.to_vec()), 1..=7)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tok_09_a_token_gives_what_is_asked_for_within_the_grant_and_never_more(
        granted in scope_set(), asked in scope_set(), spaces in any::<bool>()
    ) {
        let granted: ScopeSet = granted.into_iter().collect();
        let words: Vec<_> = asked.iter().map(|scope| scope.as_str()).collect();
        let text = words.join(if spaces { "  " } else { " " });
        let asked: ScopeSet = asked.into_iter().collect();
        match narrowed(granted, Some(&text)) {
            Ok(given) => for scope in Scope::ALL {
                assert_eq!(given.allows(scope), asked.allows(scope), "{scope} of {text}");
                assert!(!given.allows(scope) || granted.allows(scope), "{scope} was widened");
            },
            Err(error) => {
                assert_eq!(error, OauthError::InvalidScope);
                assert!(Scope::ALL.into_iter().any(|scope| asked.allows(scope) && !granted.allows(scope)));
            }
        }
        let all = narrowed(granted, None).unwrap();
        assert!(Scope::ALL.into_iter().all(|scope| all.allows(scope) == granted.allows(scope)));
    }
}

#[test]
fn tok_10_no_scope_is_the_grants_and_an_empty_one_is_none() {
    let granted: ScopeSet = "mail.read mail.send".parse().unwrap();
    assert_eq!(narrowed(granted, None), Ok(granted));
    for wrong in [" ", "   ", "mail.root", "MAIL.READ", "mail.read\tmail.send", "mail.read,mail.send", "*", "all"] {
        assert_eq!(narrowed(granted, Some(wrong)), Err(OauthError::InvalidScope), "{wrong:?}");
    }
    assert_eq!(narrowed(ScopeSet::EMPTY, Some("mail.read")), Err(OauthError::InvalidScope));
}

#[test]
fn tok_15_token_ids_are_distinct_and_look_random() {
    const MANY: usize = 100_000;
    let entropy = random::system();
    let ids: HashSet<String> = (0..MANY).map(|_| token_id(&entropy)).collect();
    assert_eq!(ids.len(), MANY);
    let mut counts = [0_u32; 256];
    for id in &ids {
        assert_eq!(id.len(), 22, "{id}");
        let bytes = from_base64url(id).unwrap();
        assert_eq!(bytes.len(), 16);
        for byte in bytes {
            counts[usize::from(byte)] += 1;
        }
    }
    let expected = f64::from(u32::try_from(MANY * 16).unwrap()) / 256.0;
    let chi_square: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    // 255 degrees of freedom: mean 255, standard deviation 22.6; these bounds lie six and more deviations off.
    assert!((115.0..410.0).contains(&chi_square), "{chi_square}");
}

#[tokio::test]
async fn tok_17_what_is_switched_off_gives_no_token_on_any_node_from_then_on() {
    for which in ["client", "mailbox", "grant"] {
        let house = House::new(TokenAlg::EdDsa).await;
        let other = Node::start(house.store.clone(), &house.clock, false).await;
        let body = format!("{}&resource=mailto:support@contoso.com", house.body());
        for node in [&house.node, &other] {
            assert!(node.ask(GOOD, &body, None).await.is_ok(), "{which}");
        }
        house.node.registry.set_status(which, (&house.client, &house.mailbox), Status::Disabled).await;
        let unknown = if which == "client" {
            let id = ClientId::new(&house.clock, &random::system());
            body.replace(house.client.as_str(), id.as_str())
        } else {
            body.replace("support@", "nobody@")
        };
        let refused = house.node.ask(GOOD, &body, None).await.unwrap_err();
        assert_eq!(refused, house.node.ask(GOOD, &unknown, None).await.unwrap_err(), "{which}, on this node at once");
        // Another node may go by what it saw for this long, a quarter of what it is promised in.
        house.clock.advance(250);
        for node in [&house.node, &other] {
            let refused = node.ask(GOOD, &body, None).await.unwrap_err();
            assert_eq!(refused, node.ask(GOOD, &unknown, None).await.unwrap_err(), "{which}");
            let alone = node.ask(GOOD, &house.body(), None).await.unwrap_err();
            assert_eq!(refused, alone, "{which}, with no mailbox named");
        }
    }
}

#[tokio::test]
async fn ca_07_all_spellings_of_an_id_share_one_counter_and_so_do_both_methods() {
    let house = House::new(TokenAlg::EdDsa).await;
    let id = house.client.as_str();
    let spellings = [
        id.to_owned(),
        id.to_uppercase(),
        format!("%20{id}"),
        format!("{id}%20"),
        format!("{id}%00"),
        id.replace('c', "%63"),
        id.replace('_', "%EF%BC%BF"),
        format!("{id}%CC%81"),
        id.replace('i', "%C3%AD"),
    ];
    let mut answered = 0;
    for round in 0..40 {
        let spelling = &spellings[round % spellings.len()];
        let outcome = if round % 2 == 0 {
            house.node.ask(BAD, &body(spelling, "wrong"), None).await
        } else {
            let basic = crate::crypto::encoding::base64(format!("{spelling}:wrong").as_bytes());
            house.node.ask(BAD, "grant_type=client_credentials", Some(&format!("Basic {basic}"))).await
        };
        match outcome.unwrap_err() {
            OauthError::InvalidClient => answered += 1,
            OauthError::SlowDown { .. } => break,
            other => panic!("{spelling}: {other}"),
        }
    }
    assert!((spellings.len()..=spellings.len() * 4).contains(&answered), "blocked after {answered}");
    let basic = crate::crypto::encoding::base64(format!("{id}:{}", house.secret).as_bytes());
    for spelling in &spellings {
        let refused = house.node.ask(BAD, &body(spelling, &house.secret), None).await.unwrap_err();
        assert!(matches!(refused, OauthError::SlowDown { .. }), "{spelling}: {refused}");
    }
    let refused = house.node.ask(BAD, "grant_type=client_credentials", Some(&format!("Basic {basic}"))).await;
    assert!(matches!(refused, Err(OauthError::SlowDown { .. })));
    // No spelling but the canonical one is the client, from anywhere.
    for spelling in &spellings[1..5] {
        let refused = house.node.ask(GOOD, &body(spelling, &house.secret), None).await.unwrap_err();
        assert_eq!(refused, OauthError::InvalidClient, "{spelling}");
    }
}

#[tokio::test]
async fn ca_08_ten_thousand_failures_block_their_source_and_nobody_else() {
    let house = House::new(TokenAlg::EdDsa).await;
    let wrong = body(house.client.as_str(), "wrong");
    let mut answered = 0;
    for _ in 0..10_000 {
        match house.node.ask(BAD, &wrong, None).await.unwrap_err() {
            OauthError::InvalidClient => answered += 1,
            OauthError::SlowDown { retry_after } => assert!((1..=60).contains(&retry_after)),
            other => panic!("{other}"),
        }
    }
    assert!(answered <= 100, "{answered} tries in a row");
    assert!(matches!(house.node.ask(BAD, &house.body(), None).await, Err(OauthError::SlowDown { .. })));
    assert!(house.node.ask(GOOD, &house.body(), None).await.is_ok());
    house.clock.advance(60_000);
    assert!(house.node.ask(BAD, &house.body(), None).await.is_ok(), "the source may come back in a minute");
}

#[tokio::test]
async fn tok_19_malformed_and_unproven_requests_cost_a_bounded_number_of_records() {
    for (number, wrong) in ["", "grant_type=password", "grant_type=a&grant_type=a", "grant_type=client_credentials"]
        .into_iter()
        .enumerate()
    {
        let house = House::new(TokenAlg::EdDsa).await;
        let wrong = if number == 1 { format!("{wrong}&client_id=x&client_secret=y") } else { wrong.to_owned() };
        for _ in 0..500 {
            assert!(house.node.ask(BAD, &wrong, None).await.is_err());
        }
        let records = house.node.refusals().await;
        assert!((1..=100).contains(&records), "{wrong}: {records} records");
        assert!(house.node.ask(BAD, &house.body(), None).await.is_ok(), "{wrong}: no secret was guessed at");
        // All at once, so that none sees the others fail before it is let in.
        let many = (0..500).map(|_| house.node.ask("192.0.2.3", &wrong, None));
        assert!(futures_util::future::join_all(many).await.iter().all(Result::is_err));
        let more = house.node.refusals().await - records;
        assert!((1..=100).contains(&more), "{wrong}: {more} records at once");
    }
}

#[tokio::test]
async fn tok_13_tokens_live_as_long_as_the_grant_says_and_stay_short() {
    for alg in [TokenAlg::EdDsa, TokenAlg::Es256] {
        let house = House::new(alg).await;
        let issued = house.node.ask(GOOD, &house.body(), None).await.unwrap();
        assert_eq!(issued.expires_in, 300);
        let token = issued.token.expose_text(str::to_owned).unwrap();
        let claims = house.node.tokens.verify(&token).unwrap();
        assert_eq!(claims.expires_at.as_secs() - claims.issued_at.as_secs(), issued.expires_in);
        assert!(token.len() <= 436, "{}", token.len());
    }
}
