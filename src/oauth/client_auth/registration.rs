//! What a client may be registered with, so that no client is registered that can never prove itself.

use std::net::IpAddr;

use crate::crypto::encoding::from_base64url;
use crate::crypto::verify::{ClientAlg, PublicKey};
use crate::domain::client_auth::{CertificateSubject, ClientAuth, KeySource};
use crate::domain::distinguished_name::DistinguishedName;
use crate::oauth::jose::json::Members;
use crate::oauth::jose::jwk::{Jwk, JwkSet};
use crate::upstream::jwks;

/// Longest name, in octets.
const MAX_NAME: usize = 1024;
/// Most certificates of one client: some to change over with.
const MAX_THUMBPRINTS: usize = 8;

/// Says what is wrong with a method that cannot work.
pub fn usable(auth: &ClientAuth) -> Result<(), &'static str> {
    match auth {
        ClientAuth::ClientSecret {} => Ok(()),
        ClientAuth::PrivateKeyJwt { keys, allow_rs256 } => usable_keys(keys, *allow_rs256),
        ClientAuth::TlsClientAuth { subject } => usable_subject(subject),
        ClientAuth::SelfSignedTlsClientAuth { thumbprints } => {
            let is_digest = |text: &String| from_base64url(text).is_some_and(|octets| octets.len() == 32);
            if (1..=MAX_THUMBPRINTS).contains(&thumbprints.len()) && thumbprints.iter().all(is_digest) {
                Ok(())
            } else {
                Err("thumbprints are 1 to 8 SHA-256 digests of a certificate's DER in base64url")
            }
        }
        ClientAuth::WorkloadIdentity { issuer, subject, audience, keys } => {
            if ![Some(issuer), Some(subject), audience.as_ref()].into_iter().flatten().all(|text| is_name(text)) {
                return Err("issuer, subject and audience are 1 to 1024 visible characters");
            }
            usable_keys(keys, true)
        }
    }
}

fn usable_keys(keys: &KeySource, allow_rs256: bool) -> Result<(), &'static str> {
    let set = match keys {
        KeySource::JwksUri(url) if jwks::is_address(url) => return Ok(()),
        KeySource::JwksUri(_) => return Err("jwks_uri is an https URL without user name and fragment"),
        KeySource::Jwks(set) => set,
    };
    let set = Members::of(set).and_then(|members| JwkSet::read(&members));
    let set = set.ok_or("jwks is a JSON object with up to 32 keys (RFC 7517), none of them private or symmetric")?;
    if !set.candidates(None).any(|key| can_sign(key, allow_rs256)) {
        return Err(
            "jwks holds no key that can be used: Ed25519, P-256, or RSA of 2048 to 8192 bits, not for RS256 alone \
                    unless that is allowed",
        );
    }
    Ok(())
}

fn can_sign(key: &Jwk, allow_rs256: bool) -> bool {
    let fits = match &key.key {
        PublicKey::Rsa { n, .. } => (256..=1024).contains(&n.len()),
        PublicKey::Ed25519(_) | PublicKey::P256(_) => true,
    };
    fits && (allow_rs256 || key.alg != Some(ClientAlg::Rs256))
}

fn usable_subject(subject: &CertificateSubject) -> Result<(), &'static str> {
    let (text, fits) = match subject {
        CertificateSubject::TlsClientAuthSubjectDn(text) => (text, text.parse::<DistinguishedName>().is_ok()),
        CertificateSubject::TlsClientAuthSanDns(text) => (text, !text.contains(['*', ' ', '/', '@'])),
        CertificateSubject::TlsClientAuthSanUri(text) => (text, url::Url::parse(text).is_ok()),
        CertificateSubject::TlsClientAuthSanIp(text) => (text, text.parse::<IpAddr>().is_ok()),
        CertificateSubject::TlsClientAuthSanEmail(text) => (text, text.contains('@')),
    };
    if fits && is_name(text) { Ok(()) } else { Err("subject is one whole name of the certificate, without wildcards") }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control) && text.trim() == text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::usable;
    use crate::domain::client_auth::ClientAuth;

    fn is_usable(auth: &serde_json::Value) -> bool {
        serde_json::from_value::<ClientAuth>(auth.clone()).is_ok_and(|auth| usable(&auth).is_ok())
    }

    #[test]
    fn a_client_is_registered_with_public_keys_that_can_sign() {
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        let with = |name: &str, value: &str| {
            let mut key = key.clone();
            key[name] = json!(value);
            key
        };
        let rsa = |octets: usize, alg: &str| {
            let n = crate::crypto::encoding::base64url(&vec![0xc1; octets]);
            json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": alg })
        };
        let good = |keys: serde_json::Value| {
            let platform = json!({ "method": "workload_identity", "issuer": "i", "subject": "s", "keys": keys });
            (is_usable(&json!({ "method": "private_key_jwt", "keys": keys })), is_usable(&platform))
        };
        for (keys, expected) in [
            (vec![key.clone()], (true, true)),
            (vec![json!({ "kty": "AKP" }), key.clone()], (true, true)),
            (vec![rsa(256, "PS256")], (true, true)),
            (vec![rsa(256, "RS256")], (false, true)),
            (vec![rsa(128, "PS256")], (false, false)),
            (vec![rsa(1025, "PS256")], (false, false)),
            (vec![], (false, false)),
            (vec![json!({ "kty": "AKP" })], (false, false)),
            (vec![key.clone(), with("d", "AAAA")], (false, false)),
            (vec![json!({ "kty": "oct", "k": "AAAA" })], (false, false)),
            (vec![with("use", "enc")], (false, false)),
            (vec![key.clone(); 33], (false, false)),
        ] {
            assert_eq!(good(json!({ "jwks": { "keys": keys } })), expected, "{keys:?}");
        }
        assert!(is_usable(&json!({ "method": "private_key_jwt", "allow_rs256": true,
            "keys": { "jwks": { "keys": [rsa(256, "RS256")] } } })));
        for (url, expected) in [
            ("https://tool.example.com/keys", true),
            ("https://tool.example.com:8443/keys?v=1", true),
            ("http://tool.example.com/keys", false),
            ("https://a:b@tool.example.com/keys", false),
            ("https://tool.example.com/keys#x", false),
            ("tool.example.com/keys", false),
            ("", false),
        ] {
            assert_eq!(good(json!({ "jwks_uri": url })), (expected, expected), "{url}");
        }
        assert_eq!(good(json!({ "jwks": "x" })), (false, false));
    }

    #[test]
    fn a_client_is_registered_with_one_whole_name_or_digest() {
        let subject = |name: &str, text: &str| json!({ "method": "tls_client_auth", "subject": { name: text } });
        let platform = |issuer: &str, audience: &str| {
            json!({ "method": "workload_identity", "issuer": issuer, "subject": "s", "audience": audience,
                "keys": { "jwks_uri": "https://a.test/" } })
        };
        let digests = |list: &[&str]| json!({ "method": "self_signed_tls_client_auth", "thumbprints": list });
        let digest = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        for good in [
            subject("tls_client_auth_subject_dn", "CN=backup,O=Example"),
            subject("tls_client_auth_san_dns", "backup.example.com"),
            subject("tls_client_auth_san_uri", "spiffe://example.com/backup"),
            subject("tls_client_auth_san_ip", "2001:db8::1"),
            subject("tls_client_auth_san_email", "backup@example.com"),
            platform("kubernetes/serviceaccount", "api://mail"),
            digests(&[digest]),
            json!({ "method": "client_secret" }),
        ] {
            assert!(is_usable(&good), "{good}");
        }
        for wrong in [
            subject("tls_client_auth_subject_dn", ""),
            subject("tls_client_auth_subject_dn", "backup"),
            subject("tls_client_auth_san_dns", "*.example.com"),
            subject("tls_client_auth_san_dns", " backup.example.com"),
            subject("tls_client_auth_san_uri", "backup"),
            subject("tls_client_auth_san_ip", "192.0.2.0/24"),
            subject("tls_client_auth_san_email", "backup"),
            subject("tls_client_auth_san_dns", &"x".repeat(1025)),
            platform("", "a"),
            platform("i", ""),
            platform("i\n", "a"),
            digests(&[]),
            digests(&["abc"]),
            digests(&[digest; 9]),
            digests(&[digest, &digest[1..]]),
        ] {
            assert!(!is_usable(&wrong), "{wrong}");
        }
    }
}
