//! The ceiling of our own stack: an axum handler that knows all claims beforehand, signs them with a parsed ring key and answers.

use axum::Router;
use axum::body::Bytes;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use mailwarden::crypto::encoding::base64url;
use mailwarden::domain::client::TokenAlg;
use mailwarden::domain::clock::Clock;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use serde_json::json;
use tokio::net::TcpListener;

use crate::ALGS;
use crate::house::{ISSUER, MAILBOX};
use crate::load::Load;

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
}

fn answer(key: &Key, alg: TokenAlg, now: i64) -> Option<Response> {
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).ok()?;
    let client = "cli_0123456789ab";
    let scope = "mail.read";
    let claims = json!({
        "iss": ISSUER, "sub": client, "client_id": client, "aud": format!("mailto:{MAILBOX}"),
        "scope": scope, "iat": now, "exp": now + 300, "jti": base64url(&id),
    });
    let header = json!({ "alg": alg.as_str(), "typ": "at+jwt", "kid": "AAAAAA" });
    let signed = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
    let signature = key.sign(signed.as_bytes())?;
    let token = format!("{signed}.{}", base64url(signature.as_ref()));
    let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": scope });
    Some(Json(body).into_response())
}

pub(crate) fn serve() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut router = Router::new();
        for alg in ALGS {
            let (key, clock) = (std::sync::Arc::new(Key::new(alg)?), Clock::system());
            let handler = async move |body: Bytes| {
                if body.is_empty() { None } else { answer(&key, alg, clock.now().as_secs()) }
                    .ok_or(axum::http::StatusCode::BAD_REQUEST)
            };
            let path = format!("/{}", alg.as_str());
            println!(
                "{}",
                Load::to_line(listener.local_addr()?, &path, "Basic Y2xpOnNlY3JldA==", "grant_type=client_credentials")
            );
            router = router.route(&path, post(handler));
        }
        axum::serve(listener, router).await?;
        Ok(())
    })
}
