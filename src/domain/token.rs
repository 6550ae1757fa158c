//! What an access token says once it is verified.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::domain::address::MailAddress;
use crate::domain::clock::Timestamp;
use crate::domain::details::MailboxDetails;
use crate::domain::id::ClientId;
use crate::domain::scope::ScopeSet;

/// How late an expired token is still taken, in seconds: clocks differ (JWT-08).
pub const LATE_SECS: i64 = 5;

/// The claims of a verified access token (RFC 9068 section 2.2). Only `oauth::verify` makes one from a presented token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `client_id` and `sub`.
    pub client_id: ClientId,
    /// `aud`: the one mailbox that this token opens.
    pub mailbox: MailAddress,
    /// `scope`.
    pub scopes: ScopeSet,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`.
    pub expires_at: Timestamp,
    /// `jti`: 22 base64url characters, 128 random bits.
    pub token_id: String,
    /// `cnf`: whose possession has to be proven with the token; a bearer token has none.
    pub binding: Option<Binding>,
    /// `src`: the address that it was asked for from, where its grant pins it to that (see `Pin`).
    pub source: Option<IpAddr>,
    /// `authorization_details`: what is left of the grant's bounds; without it all of them.
    pub details: Option<MailboxDetails>,
}

/// The proof-of-possession tie of a token (RFC 7800).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Binding {
    /// The thumbprint of a DPoP key (RFC 9449 section 6.1).
    #[serde(rename = "jkt")]
    Dpop(String),
    /// SHA-256 of a TLS certificate's DER in base64url (RFC 8705 section 3.1).
    #[serde(rename = "x5t#S256")]
    Mtls(String),
}
