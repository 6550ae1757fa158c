//! A tool's own key, and the assertions that it signs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::gateway::{Gateway, Tool};
use super::http::post;

/// An Ed25519 key.
pub(crate) struct Signer(Ed25519KeyPair);

impl Signer {
    pub(crate) fn new() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("make a key");
        Self(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key"))
    }

    /// Its public half as a set.
    pub(crate) fn jwks(&self) -> Value {
        let x = base64url(self.0.public_key().as_ref());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "one", "alg": "EdDSA" }] })
    }

    /// The same as a file.
    pub(crate) fn jwks_file(&self, dir: &Path) -> PathBuf {
        let file = dir.join("jwks.json");
        fs::write(&file, self.jwks().to_string()).expect("write the keys");
        file
    }

    /// Registers a client that signs with it, and a grant for it.
    pub(crate) fn register(&self, gateway: &Gateway, name: &str, mailbox: &str) -> Tool {
        let file = self.jwks_file(gateway.dir()).display().to_string();
        let id = add_client(gateway, &[name, "--auth", "private_key_jwt", "--jwks-file", &file]);
        gateway.manage_ok(&["grant", "add", "--client", &id, "--mailbox", mailbox, "--preset", "backup"], b"");
        Tool { id, secret: String::new() }
    }

    /// Signs claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "EdDSA", "kid": "one", "typ": "client-authentication+jwt" });
        let signed =
            format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
        format!("{signed}.{}", base64url(self.0.sign(signed.as_bytes()).as_ref()))
    }

    /// A good assertion of this tool, five minutes long.
    pub(crate) fn assertion(&self, gateway: &Gateway, tool: &Tool, name: &str) -> String {
        let now = now();
        self.sign(&json!({ "iss": tool.id, "sub": tool.id, "aud": issuer(gateway), "iat": now, "exp": now + 300, "jti": name }))
    }
}

/// A token request with an assertion.
pub(crate) fn asserted(assertion: &str) -> String {
    let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    post("", &format!("grant_type=client_credentials&client_assertion_type={kind}&client_assertion={assertion}"))
}

/// Registers a client without a secret; gives its id.
pub(crate) fn add_client(gateway: &Gateway, args: &[&str]) -> String {
    let printed = gateway.manage_ok(&[&["client", "add", "--format", "json"], args].concat(), b"");
    let value: Value = serde_json::from_str(&printed).expect("client add prints JSON");
    assert!(value.get("client_secret").is_none(), "{printed}");
    value["client_id"].as_str().expect("an id").to_owned()
}

/// What a gateway calls itself, on all its nodes.
pub(crate) fn issuer(gateway: &Gateway) -> String {
    let config = fs::read_to_string(gateway.config_file()).expect("read the configuration");
    let line = config.lines().find_map(|line| line.strip_prefix("issuer = ")).expect("an issuer");
    line.trim_matches('"').to_owned()
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a tool of its own, with the machine's clock")]
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("not that late")
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
