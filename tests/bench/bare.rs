//! The ceiling of our own stack: an axum handler that knows all claims beforehand, signs them with a parsed ring key and answers; and one
//! that verifies the signature of each token that it is shown, reads the claims and says them.

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use mailwarden::crypto::encoding::{base64url, from_base64url};
use mailwarden::domain::client::TokenAlg;
use mailwarden::domain::clock::Clock;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519};
use ring::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::house::{ISSUER, MAILBOX};
use crate::load::Load;
use crate::{ALGS, TOKENS};

const AUTHORIZATION: &str = "Basic Y2xpOnNlY3JldA==";
const SCOPE: &str = "mail.read";

/// ring's own keys, with nothing of ours around them.
pub(crate) enum Key {
    EdDsa(Ed25519KeyPair),
    Es256(EcdsaKeyPair, SystemRandom),
}

impl Key {
    pub(crate) fn new(alg: TokenAlg) -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let bad = |_| anyhow::anyhow!("no key");
        let rejected = |_| anyhow::anyhow!("the key was not taken");
        Ok(match alg {
            TokenAlg::EdDsa => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).map_err(bad)?;
                Self::EdDsa(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(rejected)?)
            }
            TokenAlg::Es256 => {
                let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).map_err(bad)?;
                Self::Es256(EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).map_err(rejected)?, random)
            }
        })
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Option<ring::signature::Signature> {
        match self {
            Self::EdDsa(pair) => Some(pair.sign(message)),
            Self::Es256(pair, random) => pair.sign(random, message).ok(),
        }
    }

    /// ring has no parsed form of a public key.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::EdDsa(pair) => UnparsedPublicKey::new(&ED25519, pair.public_key()).verify(message, signature),
            Self::Es256(pair, _) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key()).verify(message, signature)
            }
        }
        .is_ok()
    }
}

fn token(key: &Key, alg: TokenAlg, now: i64) -> Option<String> {
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).ok()?;
    let client = "cli_0123456789ab";
    let claims = json!({
        "iss": ISSUER, "sub": client, "client_id": client, "aud": format!("mailto:{MAILBOX}"),
        "scope": SCOPE, "iat": now, "exp": now + 300, "jti": base64url(&id),
    });
    let header = json!({ "alg": alg.as_str(), "typ": "at+jwt", "kid": "AAAAAA" });
    let signed = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
    let signature = key.sign(signed.as_bytes())?;
    Some(format!("{signed}.{}", base64url(signature.as_ref())))
}

fn issue(key: &Key, alg: TokenAlg, now: i64) -> Option<Response> {
    let token = token(key, alg, now)?;
    let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": SCOPE });
    Some(Json(body).into_response())
}

fn introspect(key: &Key, body: &[u8]) -> Option<Response> {
    let (_, token) = form_urlencoded::parse(body).find(|(name, _)| name == "token")?;
    let (signed, signature) = token.rsplit_once('.')?;
    if !key.verify(signed.as_bytes(), &from_base64url(signature)?) {
        return None;
    }
    let (_, payload) = signed.split_once('.')?;
    let mut answer: Value = serde_json::from_slice(&from_base64url(payload)?).ok()?;
    answer.as_object_mut()?.insert("active".to_owned(), true.into());
    Some(Json(answer).into_response())
}

pub(crate) fn serve() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut router = Router::new();
        let address = listener.local_addr()?;
        let mut introspections = Vec::new();
        for alg in ALGS {
            let (key, clock) = (std::sync::Arc::new(Key::new(alg)?), Clock::system());
            let now = clock.now().as_secs();
            let tokens: Option<Vec<_>> =
                (0..TOKENS).map(|_| Some(format!("token={}", token(&key, alg, now)?))).collect();
            let verifies = std::sync::Arc::clone(&key);
            let (signing, verifying) = (format!("/{}", alg.as_str()), format!("/introspect/{}", alg.as_str()));
            println!(
                "{}",
                Load::to_line(address, &signing, AUTHORIZATION, &["grant_type=client_credentials".to_owned()])
            );
            introspections.push(Load::to_line(address, &verifying, AUTHORIZATION, &tokens.context("no token")?));
            let issue = async move |body: Bytes| {
                if body.is_empty() { None } else { issue(&key, alg, clock.now().as_secs()) }
                    .ok_or(StatusCode::BAD_REQUEST)
            };
            let introspect = async move |body: Bytes| introspect(&verifies, &body).ok_or(StatusCode::BAD_REQUEST);
            router = router.route(&signing, post(issue)).route(&verifying, post(introspect));
        }
        for line in introspections {
            println!("{line}");
        }
        axum::serve(listener, router).await?;
        Ok(())
    })
}
