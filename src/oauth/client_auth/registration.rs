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
