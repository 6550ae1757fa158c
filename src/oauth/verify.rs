//! Verifying a presented access token (RFC 9068 section 4, RFC 8725).

use crate::domain::address::MailAddress;
use crate::domain::clock::Timestamp;
use crate::domain::scope::ScopeSet;
use crate::domain::token::{Claims, LATE_SECS};
use crate::oauth::TokenService;
use crate::oauth::jws::{self, Members};
use crate::oauth::keyset::Keyset;

/// How far ahead of our clock another node's may be, in seconds (JWT-08).
const AHEAD_SECS: i64 = 10;

/// The claims that we know. A token with any other may carry a newer node's restriction, which must not be dropped in silence.
const KNOWN: [&str; 9] = ["iss", "sub", "client_id", "aud", "scope", "iat", "exp", "jti", "nbf"];

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
}

impl TokenService {
    /// What a token says, if it is ours, whole, and in its time. Whether its grant still stands is the registry's to say.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenRejected> {
        verify(&self.0.keyset, &self.0.issuer, self.0.clock.now(), token)
    }
}

pub(super) fn verify(keyset: &Keyset, issuer: &str, now: Timestamp, token: &str) -> Result<Claims, TokenRejected> {
    let unverified = jws::split(token).ok_or(TokenRejected::Malformed)?;
    let header = &unverified.header;
    if header.text("typ") != Some("at+jwt") || header.names().any(|name| !["alg", "typ", "kid"].contains(&name)) {
        return Err(TokenRejected::Header);
    }
    let (kid, alg) = header.text("kid").zip(header.text("alg")).ok_or(TokenRejected::Header)?;
    if !keyset.verify(kid, alg, unverified.signed, &unverified.signature) {
        return Err(TokenRejected::Signature);
    }
    let members = jws::members(&unverified.payload).ok_or(TokenRejected::Malformed)?;
    let claims = claims(&members, issuer).ok_or(TokenRejected::Claims)?;
    let now = now.as_secs();
    if members.has("nbf") && members.date("nbf").ok_or(TokenRejected::Claims)? > now + AHEAD_SECS {
        return Err(TokenRejected::NotYet);
    }
    if claims.issued_at.as_secs() > now + AHEAD_SECS {
        return Err(TokenRejected::NotYet);
    }
    if claims.expires_at.as_secs() + LATE_SECS < now {
        return Err(TokenRejected::Expired);
    }
    Ok(claims)
}

fn claims(members: &Members, issuer: &str) -> Option<Claims> {
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
    })
}
