//! Proofs of possession where time and nodes matter, which cannot be had from outside.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::crypto::encoding::base64url;
use crate::crypto::hash::sha256;
use crate::crypto::sign::{self, Signer};
use crate::domain::client::TokenAlg;
use crate::domain::client_auth::{ClientAuth, RequiredBinding};
use crate::domain::event::Actor;
use crate::domain::id::RequestId;
use crate::oauth::request::TokenRequest;
use crate::oauth::tests::service::{House, Node, body};
use crate::oauth::{IssuedToken, NotAdmitted, OauthError, Origin, Presented, Scheme};
use crate::registry::{GrantTerms, NewClient};

const TOKEN: &str = "https://mail.example.com/oauth/token";
const ME: &str = "https://mail.example.com/oauth/me";

/// A tool with a key.
struct Tool {
    key: Signer,
    body: String,
}

impl Tool {
    /// A client of `house` whose tokens must be bound so.
    async fn new(house: &House, name: &str, required_binding: RequiredBinding) -> Self {
        let new = NewClient {
            name: name.to_owned(),
            token_alg: TokenAlg::EdDsa,
            default_mailbox: None,
            auth: ClientAuth::ClientSecret {},
            required_binding,
        };
        let (client, secret) = house.node.registry.register_client(&Actor::System, new).await.unwrap();
        let terms = GrantTerms { token_ttl_secs: 3600, ..GrantTerms::of("mail.read".parse().unwrap()) };
        house.node.registry.add_grant(&Actor::System, client.id.clone(), house.mailbox.clone(), terms).await.unwrap();
        let secret = secret.unwrap().expose_text(str::to_owned).unwrap();
        let key = Signer::from_pkcs8(TokenAlg::EdDsa, &sign::generate(TokenAlg::EdDsa).unwrap()).unwrap();
        Self { key, body: body(client.id.as_str(), &secret) }
    }

    fn proof(&self, claims: &Value) -> String {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(self.key.public_key()) });
        let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk }).to_string();
        let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.to_string().as_bytes()));
        format!("{signed}.{}", base64url(&self.key.sign(signed.as_bytes()).unwrap()))
    }

    /// A proof for the token endpoint.
    fn asking(&self, jti: &str, iat: i64, nonce: Option<&str>) -> String {
        let mut claims = json!({ "jti": jti, "htm": "POST", "htu": TOKEN, "iat": iat });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        self.proof(&claims)
    }

    async fn ask(&self, node: &Node, proof: &str) -> Result<IssuedToken, OauthError> {
        let request = TokenRequest::parse(self.body.as_bytes(), None).unwrap();
        let request = TokenRequest { dpop: Some(proof.to_owned()), ..request };
        node.tokens.token(Ok(request), &origin(Vec::new())).await
    }
}

fn origin(certificates: Vec<Vec<u8>>) -> Origin {
    let request_id = "req_0123456789ab".parse::<RequestId>().unwrap();
    Origin { source: "192.0.2.1".parse().unwrap(), request_id, certificates }
}

#[tokio::test]
async fn tok_21_a_nonce_is_good_for_five_minutes_at_every_node() {
    let house = House::new(TokenAlg::EdDsa).await;
    let other = Node::start(house.store.clone(), &house.clock, false).await;
    let tool = Tool::new(&house, "bound", RequiredBinding::Dpop).await;
    let start = house.clock.now().as_secs();
    assert_eq!(start % 150, 0, "the first second of a nonce");
    let nonce = house.node.tokens.dpop_nonce();
    assert_eq!(nonce, other.tokens.dpop_nonce());
    let mut asked = 0;
    for (secs, is_good) in [(0, true), (149, true), (150, true), (299, true), (300, false), (100_000, false)] {
        house.clock.advance((start + secs) * 1000 - house.clock.now().0);
        for node in [&house.node, &other] {
            asked += 1;
            let proof = tool.asking(&format!("jti {asked}"), start + secs, Some(&nonce));
            let outcome = tool.ask(node, &proof).await.map(drop);
            assert_eq!(outcome, if is_good { Ok(()) } else { Err(OauthError::UseDpopNonce) }, "after {secs} s");
        }
        assert_eq!(house.node.tokens.dpop_nonce() == nonce, secs < 150, "after {secs} s");
    }
    // A node whose clock is ten seconds ahead has given out the next one already, one that is further ahead has not.
    house.clock.advance((start + 140) * 1000 - house.clock.now().0);
    for (ahead, is_good) in [(10, true), (160, false)] {
        house.clock.advance(ahead * 1000);
        let next = house.node.tokens.dpop_nonce();
        house.clock.advance(-ahead * 1000);
        let proof = tool.asking(&format!("ahead {ahead}"), start + 140, Some(&next));
        assert_eq!(tool.ask(&house.node, &proof).await.is_ok(), is_good, "{ahead} s ahead");
    }
}

#[tokio::test]
async fn jwt_11_iat_may_be_a_minute_off_and_five_where_a_nonce_tells_the_age() {
    let house = House::new(TokenAlg::EdDsa).await;
    let tool = Tool::new(&house, "free", RequiredBinding::None).await;
    let (now, nonce) = (house.clock.now().as_secs(), house.node.tokens.dpop_nonce());
    for (nonce, leeway) in [(None, 60), (Some(&*nonce), 300)] {
        for off in [-3600, -leeway - 1, -leeway, -10, 0, 10, leeway, leeway + 1, 3600] {
            let proof = tool.asking(&format!("{off} {leeway}"), now + off, nonce);
            let outcome = tool.ask(&house.node, &proof).await;
            assert_eq!(outcome.is_ok(), off.abs() <= leeway, "{off} with {nonce:?}");
            assert!(matches!(outcome, Ok(_) | Err(OauthError::InvalidDpopProof(_))), "{off}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn jwt_11_of_fifty_uses_at_two_nodes_one_is_taken_and_none_later() {
    let house = House::new(TokenAlg::EdDsa).await;
    let other = Node::start(house.store.clone(), &house.clock, false).await;
    let (tool, second) = (
        Tool::new(&house, "free", RequiredBinding::None).await,
        Tool::new(&house, "second", RequiredBinding::None).await,
    );
    let now = house.clock.now().as_secs();
    // Made ahead as far as is taken: it has to be remembered twice as long.
    let proof = tool.asking("one", now + 60, None);
    let uses = (0..50).map(|turn| tool.ask(if turn % 2 == 0 { &house.node } else { &other }, &proof));
    let outcomes = join_all(uses).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let used = OauthError::InvalidDpopProof("jti of the DPoP proof was used before");
    assert!(outcomes.into_iter().filter_map(Result::err).all(|error| error == used));
    assert!(second.ask(&other, &second.asking("one", now, None)).await.is_ok(), "another key's jti is another");
    for _ in 0..121 {
        house.clock.advance(1000);
        house.node.registry.forget_used().await.unwrap();
        assert!(tool.ask(&other, &proof).await.is_err(), "at {}", house.clock.now().as_secs() - now);
    }
}

#[tokio::test]
async fn jwt_12_at_a_resource_a_token_is_good_with_what_it_is_bound_to() {
    let house = House::new(TokenAlg::EdDsa).await;
    let tool = Tool::new(&house, "bound", RequiredBinding::Dpop).await;
    let now = house.clock.now().as_secs();
    let client = tool.body.split("client_id=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let token = |cnf: Value| {
        let mut claims = json!({ "iss": "https://mail.example.com/oauth", "sub": client, "client_id": client, "jti": "x",
            "aud": "mailto:support@contoso.com", "scope": "mail.read", "iat": now, "exp": now + 300 });
        if !cnf.is_null() {
            claims["cnf"] = cnf;
        }
        house.node.tokens.0.keyset.sign(TokenAlg::EdDsa, &claims.to_string()).unwrap()
    };
    let (leaf, stranger) = (vec![1, 2, 3], vec![4]);
    let certified = token(json!({ "x5t#S256": base64url(&sha256(&leaf)) }));
    let plain = token(Value::Null);
    let proof = |token: &str| {
        let ath = base64url(&sha256(token.as_bytes()));
        let nonce = house.node.tokens.dpop_nonce();
        tool.proof(&json!({ "jti": token, "htm": "GET", "htu": ME, "iat": now, "ath": ath, "nonce": nonce }))
    };
    for (token, scheme, certificates, is_good) in [
        (&certified, Scheme::Bearer, vec![leaf.clone()], true),
        (&certified, Scheme::Bearer, vec![leaf.clone(), stranger.clone()], true),
        (&certified, Scheme::Bearer, vec![stranger.clone(), leaf.clone()], false),
        (&certified, Scheme::Bearer, vec![stranger], false),
        (&certified, Scheme::Bearer, vec![], false),
        (&certified, Scheme::Dpop, vec![leaf], false),
        // This client's tokens must be bound: one from before that was asked for opens nothing.
        (&plain, Scheme::Bearer, vec![], false),
        (&plain, Scheme::Dpop, vec![], false),
    ] {
        let proof = proof(token);
        let shown = Presented { scheme, token, proof: Some(&proof), method: "GET", path: "/oauth/me" };
        let outcome = house.node.tokens.admit(&shown, &origin(certificates.clone())).await;
        assert_eq!(outcome.is_ok(), is_good, "{scheme:?} {certificates:?}");
        assert!(matches!(outcome, Ok(_) | Err(NotAdmitted::InvalidToken(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_client_whose_tokens_must_be_bound_to_a_certificate_gets_none_without_it() {
    let house = House::new(TokenAlg::EdDsa).await;
    let tool = Tool::new(&house, "certified", RequiredBinding::Mtls).await;
    let proof = tool.asking("one", house.clock.now().as_secs(), None);
    assert!(matches!(tool.ask(&house.node, &proof).await, Err(OauthError::InvalidRequest(_))));
}
