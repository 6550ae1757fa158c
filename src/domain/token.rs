//! What an access token says once it is verified.

use crate::domain::address::MailAddress;
use crate::domain::clock::Timestamp;
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
}
