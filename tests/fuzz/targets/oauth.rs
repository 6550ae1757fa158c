//! OAuth: token requests, access tokens, keys, proofs of possession, authorization details.

use serde_json::{Value, json};

use mailwarden::crypto::encoding::{base64, base64url, from_base64url};
use mailwarden::domain::address::MailAddress;
use mailwarden::domain::bounds::Bounds;
use mailwarden::domain::details::MailboxDetails;
use mailwarden::domain::scope::ScopeSet;
use mailwarden::oauth::dpop::{self, Occasion};
use mailwarden::oauth::jose::json::{self, MAX_DEPTH, Members};
use mailwarden::oauth::jose::jwk::{Jwk, JwkSet};
use mailwarden::oauth::jose::jws;
use mailwarden::oauth::request::{ClientProof, TokenQuery, TokenRequest};
use mailwarden::oauth::verify::claims;

const ISSUER: &str = "https://mail.example.com/oauth";

/// A token request: the `Authorization` header, LF, the body.
pub(super) fn request(data: &[u8]) {
    let Some((header, body)) = super::halves(data) else { return };
    let encoded = header.split_once(' ').map(|(scheme, rest)| format!("{scheme} {}", base64(rest.as_bytes())));
    for header in [None, Some(header), encoded.as_deref()] {
        let proof = ClientProof::parse(body.as_bytes(), header);
        if let (Ok(ClientProof::Secret { .. } | ClientProof::Assertion { .. }), Some(_)) = (&proof, header) {
            assert!(!matches!(proof, Ok(ClientProof::Assertion { .. })), "a header and an assertion");
        }
        let request = TokenRequest::parse(body.as_bytes(), header);
        if let Ok(request) = &request {
            assert!(proof.is_ok(), "a request without proof");
            assert!(
                [&request.scope, &request.resource, &request.details]
                    .into_iter()
                    .flatten()
                    .all(|text| !text.is_empty())
            );
        }
        let _ = TokenQuery::parse(body.as_bytes(), header);
    }
}

/// An access token as presented, and one with this header and this payload: one JSON text a line.
pub(super) fn token(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    if let Some(unverified) = jws::split(text) {
        // One spelling: put together from its parts it is the same token.
        let (_, payload) = unverified.signed.split_once('.').expect("two parts are signed");
        assert_eq!(base64url(&unverified.payload), payload);
        assert_eq!(format!("{}.{}", unverified.signed, base64url(&unverified.signature)), text);
    }
    let (header, payload) = text.split_once('\n').unwrap_or((text, ""));
    let token = format!("{}.{}.{}", base64url(header.as_bytes()), base64url(payload.as_bytes()), base64url(b"none"));
    if let Some(unverified) = jws::split(&token) {
        assert_eq!(unverified.payload, payload.as_bytes());
    }
    strict(payload.as_bytes());
    let Some(members) = json::object(payload.as_bytes()) else { return };
    let Some(claims) = claims(&members, ISSUER) else { return };
    // What was understood says, written anew, the same: nothing was dropped.
    let mut again = json!({
        "iss": ISSUER, "sub": claims.client_id, "client_id": claims.client_id, "aud": claims.mailbox.to_resource(),
        "scope": claims.scopes, "iat": claims.issued_at.as_secs(), "exp": claims.expires_at.as_secs(), "jti": claims.token_id,
    });
    if let Some(binding) = &claims.binding {
        again["cnf"] = serde_json::to_value(binding).expect("JSON");
    }
    if let Some(source) = claims.source {
        again["src"] = json!(source);
    }
    if let Some(details) = &claims.details {
        again["authorization_details"] = details.to_array();
    }
    let written = json::object(again.to_string().as_bytes()).expect("an object");
    let read = mailwarden::oauth::verify::claims(&written, ISSUER).expect("what we write is read");
    assert_eq!(read, claims);
    assert!(members.names().all(|name| name == "nbf" || name == "scope" || written.has(name)), "a claim was dropped");
    assert!(mailwarden::oauth::verify::claims(&members, "https://other.example/oauth").is_none());
}

/// A key, or a set of keys.
pub(super) fn key(data: &[u8]) {
    strict(data);
    let Some(members) = json::object(data) else { return };
    if let Some(key) = Jwk::read(&members) {
        assert!(["d", "p", "q", "k"].iter().all(|name| !members.has(name)), "a private or symmetric key");
        let thumbprint = key.thumbprint();
        assert_eq!(from_base64url(&thumbprint).map(|octets| octets.len()), Some(32));
        for alg in mailwarden::crypto::verify::ClientAlg::ALL {
            assert!(!key.verify(alg, b"message", &[0; 64]), "a signature of nobody");
        }
    }
    if let Some(set) = JwkSet::read(&members) {
        assert!(set.candidates(None).count() <= 32);
        assert_eq!(set.is_empty(), set.candidates(None).count() == 0);
        for key in set.candidates(None) {
            assert!(key.kid.is_none() || set.candidates(key.kid.as_deref()).any(|found| found == key));
        }
    }
}

/// A proof of possession as presented, and one with this header and these claims: one JSON text a line.
pub(super) fn proof(data: &[u8]) {
    let Some((header, payload)) = super::halves(data) else { return };
    let made = format!("{}.{}.{}", base64url(header.as_bytes()), base64url(payload.as_bytes()), base64url(&[0; 64]));
    for proof in [header, &made] {
        for token in [None, Some("token")] {
            let occasion =
                Occasion { method: "POST", url: "https://mail.example.com/oauth/token", token, needs_nonce: false };
            let Ok(claimed) = dpop::read(proof, &occasion) else { continue };
            assert!(!claimed.is_signed(), "a signature of nobody");
            for (now, leeway) in [(0, 60), (1_795_507_200, 300), (253_402_300_799, 60)] {
                let _ = claimed.is_in_time(now, leeway);
            }
            for other in [
                "https://mail.example.com/oauth/revoke",
                "https://evil.example/oauth/token",
                "http://mail.example.com/oauth/token",
            ] {
                assert!(dpop::read(proof, &Occasion { url: other, ..occasion }).is_err(), "a proof for two places");
            }
            assert!(dpop::read(proof, &Occasion { method: "GET", ..occasion }).is_err(), "a proof for two methods");
            if token.is_some() {
                assert!(
                    dpop::read(proof, &Occasion { token: Some("other"), ..occasion }).is_err(),
                    "a proof for two tokens"
                );
            }
        }
    }
}

/// Authorization details, and the bounds that they narrow.
pub(super) fn details(data: &[u8]) {
    strict(data);
    let Some((first, second)) = super::halves(data) else { return };
    let own: MailAddress = "own@a.test".parse().expect("an address");
    let bounds: Bounds = serde_json::from_str(second).unwrap_or_default();
    let Some(details) = json::parse(first.as_bytes()).and_then(|array| MailboxDetails::from_array(&array)) else {
        return;
    };
    assert_eq!(MailboxDetails::from_array(&details.to_array()).as_ref(), Some(&details), "written and read again");
    let left = bounds.narrow(&details, &own);
    assert!(bounds.cover(&left, &own), "what is left is wider than what was there: {left:?}");
    assert!(
        left.cover_details(&details, &own) || !bounds.cover_details(&details, &own),
        "what lies within is left whole"
    );
    let text = serde_json::to_string(&left).expect("JSON");
    assert_eq!(serde_json::from_str::<Bounds>(&text).expect("bounds"), left);
    if let Ok(scopes) = first.parse::<ScopeSet>() {
        assert_eq!(scopes.to_string().parse(), Ok(scopes));
    }
}

/// The strict reader takes nothing that the common one does not, and reads the same where it does.
fn strict(data: &[u8]) {
    let Some(value) = json::parse(data) else { return };
    assert_eq!(serde_json::from_slice::<Value>(data).ok().as_ref(), Some(&value));
    assert!(depth(&value) <= MAX_DEPTH.into());
    let again = json::parse(value.to_string().as_bytes()).expect("what we write is read");
    // A fraction may lose its last digit on the way; nothing of ours holds one.
    assert!(again == value || value.to_string().contains(['.', 'e']), "written and read again: {value}");
    let _ = Members::of(&value).map(|members| members.names().count());
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
