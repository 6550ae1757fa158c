//! The token that nginx's helper and Dovecot check: of the shape of ours (ES256), signed with a key that both know.

use std::fs;
use std::path::Path;

use mailwarden::crypto::encoding::{base64, base64url};
use mailwarden::domain::clock::Clock;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde_json::json;

pub(crate) const KEY_ID: &str = "AAAAAA";
pub(crate) const SUBJECT: &str = "cli_0123456789ab";

/// What stands before the point of a P-256 key in a SubjectPublicKeyInfo (RFC 5480).
const SPKI_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Makes a token, and leaves the key's public half as `token.point` and as `keys/default/ES256/KEY_ID`.
pub(crate) fn mint(folder: &Path) -> anyhow::Result<String> {
    let random = SystemRandom::new();
    let bad = |_| anyhow::anyhow!("no key");
    let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).map_err(bad)?;
    let key = EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).map_err(|_| anyhow::anyhow!("no key"))?;
    let point = key.public_key().as_ref();
    fs::write(folder.join("token.point"), point)?;
    let keys = folder.join("keys/default/ES256");
    fs::create_dir_all(&keys)?;
    let text = base64(&[&SPKI_HEAD[..], point].concat());
    fs::write(keys.join(KEY_ID), format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"))?;
    let now = Clock::system().now().as_secs();
    let header = json!({ "alg": "ES256", "typ": "JWT", "kid": KEY_ID });
    let claims = json!({
        "iss": "https://mail.example.com/oauth", "sub": SUBJECT, "client_id": SUBJECT, "aud": "mailto:user@example.com",
        "scope": "mail.read mail.send", "iat": now, "exp": now + 3600, "jti": base64url(&[7; 16]),
    });
    let signed = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
    let signature = key.sign(&random, signed.as_bytes()).map_err(bad)?;
    Ok(format!("{signed}.{}", base64url(signature.as_ref())))
}

/// Whether a token is signed with the key whose point this is, and not over.
pub(crate) fn is_good(token: &str, point: &[u8], now: i64) -> bool {
    let decode = mailwarden::crypto::encoding::from_base64url;
    let Some((signed, signature)) = token.rsplit_once('.') else { return false };
    let Some(signature) = decode(signature) else { return false };
    let is_signed =
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &signature).is_ok();
    let claims = signed.split_once('.').and_then(|(_, claims)| decode(claims));
    let claims: Option<serde_json::Value> = claims.and_then(|claims| serde_json::from_slice(&claims).ok());
    is_signed
        && claims
            .is_some_and(|claims| claims.get("exp").and_then(serde_json::Value::as_i64).is_some_and(|end| end > now))
}
