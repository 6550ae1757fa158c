//! Verifying a presented access token (RFC 9068 section 4, RFC 8725).

use serde_json::Value;

use crate::crypto::encoding::from_base64url;
use crate::domain::address::MailAddress;
use crate::domain::clock::Timestamp;
use crate::domain::details::MailboxDetails;
use crate::domain::scope::ScopeSet;
use crate::domain::token::{Binding, Claims, LATE_SECS};
use crate::oauth::TokenService;
use crate::oauth::jose::json::{self, Members};
use crate::oauth::jose::jws;
use crate::oauth::keyset::Keyset;

/// How far ahead of our clock another node's may be, in seconds (JWT-08).
const AHEAD_SECS: i64 = 10;

/// The claims that we know. A token with any other may carry a newer node's restriction, which must not be dropped in silence.
const KNOWN: [&str; 12] =
    ["iss", "sub", "client_id", "aud", "scope", "iat", "exp", "jti", "nbf", "cnf", "src", "authorization_details"];

/// What a signature of ours covers. It does not change; whether the time has come and the key still counts is judged anew each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) kid: String,
    pub(super) claims: Claims,
    not_before: Option<i64>,
}

/// Why a token is not taken. For operators; a tool hears one answer for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRejected {
    /// Not three canonical segments, too long, repeated names.
    #[error("token is malformed")]
    Malformed,
    /// Not an access token, unknown header members, unknown key, wrong algorithm.
    #[error("token header is not acceptable")]
    Header,
    /// The signature is not ours.
    #[error("token signature is wrong")]
    Signature,
    /// A claim is missing, unknown, of the wrong JSON type, or another issuer's.
    #[error("token claims are not acceptable")]
    Claims,
    /// Over.
    #[error("token has expired")]
    Expired,
    /// A handle that is unknown, over, or shown by another protocol, network or under another grant.
    #[error("handle is not valid here")]
    Handle,
    /// Store or audit log do not answer.
    #[error("temporarily unavailable")]
    Unknowable,
    /// From the future.
    #[error("token is not valid yet")]
    NotYet,
    /// Bound to a certificate that was not shown.
    #[error("token is bound to a TLS certificate that was not shown")]
    Certificate,
    /// Bound to a DPoP key, and shown where there are no proofs.
    #[error("token is bound to a DPoP key, of which nothing was proven")]
    Proof,
}

#[cfg(test)]
impl Signed {
    pub(super) fn of(kid: &str, claims: Claims) -> Self {
        Self { kid: kid.to_owned(), claims, not_before: None }
    }
}

impl TokenService {
    /// What a token says, if it is ours, whole, and in its time. Whether its grant still stands is the registry's to say.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenRejected> {
        let signed = self.signed(token)?;
        in_time(&signed, self.0.clock.now())?;
        Ok(signed.claims)
    }

    /// The same of a token whose time may be over.
    pub(super) fn read_whenever(&self, token: &str) -> Result<Claims, TokenRejected> {
        self.signed(token).map(|signed| signed.claims)
    }

    fn signed(&self, token: &str) -> Result<Signed, TokenRejected> {
        let parts = &*self.0;
        if token.len() > jws::MAX_LENGTH {
            return Err(TokenRejected::Malformed);
        }
        parts.verified.get_or(token, &parts.keyset, parts.clock.now(), || signed(&parts.keyset, &parts.issuer, token))
    }
}

#[cfg(test)]
pub(super) fn verify(keyset: &Keyset, issuer: &str, now: Timestamp, token: &str) -> Result<Claims, TokenRejected> {
    let signed = signed(keyset, issuer, token)?;
    in_time(&signed, now)?;
    Ok(signed.claims)
}

fn signed(keyset: &Keyset, issuer: &str, token: &str) -> Result<Signed, TokenRejected> {
    let unverified = jws::split(token).ok_or(TokenRejected::Malformed)?;
    let header = &unverified.header;
    if header.text("typ") != Some("at+jwt") || header.names().any(|name| !["alg", "typ", "kid"].contains(&name)) {
        return Err(TokenRejected::Header);
    }
    let (kid, alg) = header.text("kid").zip(header.text("alg")).ok_or(TokenRejected::Header)?;
    if !keyset.verify(kid, alg, unverified.signed, &unverified.signature) {
        return Err(TokenRejected::Signature);
    }
    let members = json::object(&unverified.payload).ok_or(TokenRejected::Malformed)?;
    let claims = claims(&members, issuer).ok_or(TokenRejected::Claims)?;
    let not_before = if members.has("nbf") { Some(members.date("nbf").ok_or(TokenRejected::Claims)?) } else { None };
    Ok(Signed { kid: kid.to_owned(), claims, not_before })
}

fn in_time(signed: &Signed, now: Timestamp) -> Result<(), TokenRejected> {
    let (claims, now) = (&signed.claims, now.as_secs());
    if signed.not_before.is_some_and(|date| date > now + AHEAD_SECS) || claims.issued_at.as_secs() > now + AHEAD_SECS {
        return Err(TokenRejected::NotYet);
    }
    if claims.expires_at.as_secs() + LATE_SECS < now {
        return Err(TokenRejected::Expired);
    }
    Ok(())
}

/// `cnf` with one member that we know, whose value is the base64url of a SHA-256.
fn binding(cnf: &Value) -> Option<Binding> {
    let binding: Binding = serde_json::from_value(cnf.clone()).ok()?;
    let (Binding::Dpop(digest) | Binding::Mtls(digest)) = &binding;
    from_base64url(digest).filter(|octets| octets.len() == 32)?;
    Some(binding)
}

/// What the payload of an access token says, if it says all that it must and nothing that is not known. Says nothing of signature and
/// time.
pub fn claims(members: &Members, issuer: &str) -> Option<Claims> {
    let text = |name| members.text(name).filter(|value| !value.is_empty());
    if members.names().any(|name| !KNOWN.contains(&name))
        || text("iss")? != issuer
        || text("sub")? != text("client_id")?
    {
        return None;
    }
    Some(Claims {
        client_id: text("client_id")?.parse().ok()?,
        mailbox: MailAddress::from_resource(text("aud")?).ok()?,
        // No scope claim is no right at all (TOK-10).
        scopes: if members.has("scope") { members.text("scope")?.parse().ok()? } else { ScopeSet::EMPTY },
        issued_at: Timestamp::from_secs(members.date("iat")?),
        expires_at: Timestamp::from_secs(members.date("exp")?),
        token_id: text("jti")?.to_owned(),
        binding: match members.get("cnf") {
            None => None,
            Some(cnf) => Some(binding(cnf)?),
        },
        source: if members.has("src") { Some(text("src")?.parse().ok()?) } else { None },
        details: match members.get("authorization_details") {
            None => None,
            Some(array) => Some(MailboxDetails::from_array(array)?),
        },
    })
}
