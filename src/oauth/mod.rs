//! The token service: client credentials in, short-lived signed access tokens out (RFC 6749, RFC 9068). No HTTP in it.

mod bound;
pub mod client_auth;
mod client_ca;
pub mod dpop;
mod handle;
mod inspect;
mod issue;
pub mod jose;
pub mod keyset;
mod metadata;
mod narrow;
mod nonce;
mod presented;
pub mod request;
#[cfg(test)]
mod tests;
mod verified;
pub mod verify;

use std::net::IpAddr;
use std::sync::Arc;

use crate::audit::Audit;
use crate::domain::clock::Clock;
use crate::domain::details::MailboxDetails;
use crate::domain::entropy::Entropy;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::fault::{Classify, Fault};
use crate::domain::id::{ClientId, FreezeId, RequestId};
use crate::domain::scope::ScopeSet;
use crate::domain::secret::{AccessToken, Secret};
use crate::domain::throttle::Throttle;
use crate::domain::token::Binding;
use crate::oauth::client_auth::keys::KeyCache;
use crate::oauth::keyset::Keyset;
use crate::oauth::request::TokenRequest;
use crate::oauth::verified::Verified;
use crate::registry::Registry;

pub use bound::{check_binding, thumbprint};
pub use client_ca::{ClientCa, NoAuthority};
pub use dpop::ALGS as DPOP_ALGS;
pub use handle::{HANDLE_TYPE, TokenKind};
pub use presented::{NotAdmitted, Presented, Scheme};
pub use verify::TokenRejected;

/// Issues and verifies access tokens; cheap to clone.
#[derive(Clone, Debug)]
pub struct TokenService(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    registry: Registry,
    audit: Audit,
    keyset: Keyset,
    issuer: String,
    clock: Clock,
    entropy: Entropy,
    /// Of failed authentications.
    throttle: Throttle,
    /// Of the records of what could not be read.
    unread: Throttle,
    /// Of refused tokens.
    unfit: Throttle,
    client_ca: Option<ClientCa>,
    keys: KeyCache,
    verified: Verified,
}

/// Where a token request came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The peer.
    pub source: IpAddr,
    /// The HTTP request.
    pub request_id: RequestId,
    /// The TLS certificate that the peer showed and proved to have the key of, leaf first, in DER; empty when it showed none.
    pub certificates: Vec<Vec<u8>>,
}

/// A token, about to be given out. Its audit event is durable.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token.
    pub token: Secret<AccessToken>,
    /// Its life in seconds.
    pub expires_in: i64,
    /// What it gives.
    pub scopes: ScopeSet,
    /// What it is bound to.
    pub binding: Option<Binding>,
    /// What of the grant it is narrowed to, if that was asked for.
    pub details: Option<MailboxDetails>,
    /// Its form.
    pub kind: TokenKind,
}

/// Why there is no token: the codes of RFC 6749 section 5.2, RFC 8707 and RFC 9396.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OauthError {
    /// Malformed.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// Client unknown, secret wrong, or client not in force: one answer for all (CA-06).
    #[error("client authentication failed")]
    InvalidClient,
    /// Another client's grant.
    #[error("this client may not use this grant_type")]
    UnauthorizedClient,
    /// Only `client_credentials` is served.
    #[error("only grant_type=client_credentials is served")]
    UnsupportedGrantType,
    /// Unknown scope, or none of what was asked is granted.
    #[error("the scope is unknown or not granted for this mailbox")]
    InvalidScope,
    /// `resource` is malformed, unknown or not granted.
    #[error("resource must be mailto:ADDRESS of a mailbox that this client has a grant on")]
    InvalidTarget,
    /// `authorization_details` are malformed, of a type that is not served, or wider than the grant.
    #[error("authorization_details must be one element of the type mailbox, all of it within the grant")]
    InvalidAuthorizationDetails,
    /// A freeze stops the issue of tokens.
    #[error("no token is issued: access is frozen for now (freeze {0})")]
    Frozen(FreezeId),
    /// The proof of possession is missing or not good (RFC 9449 section 5).
    #[error("{0}")]
    InvalidDpopProof(&'static str),
    /// The proof of possession needs a nonce, or a newer one (RFC 9449 section 8).
    #[error("the DPoP proof has to carry the nonce of the DPoP-Nonce header")]
    UseDpopNonce,
    /// Too many failures from this source.
    #[error("too many failed attempts from this address")]
    SlowDown {
        /// When to come back, in seconds.
        retry_after: u64,
    },
    /// Store or audit log do not answer.
    #[error("temporarily unavailable")]
    TemporarilyUnavailable,
    /// A defect of ours.
    #[error("internal error")]
    ServerError,
}

impl OauthError {
    /// The `error` code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidAuthorizationDetails => "invalid_authorization_details",
            Self::Frozen(_) => "access_denied",
            Self::InvalidDpopProof(_) => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::SlowDown { .. } => "slow_down",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    fn of(error: &impl Classify, otherwise: Self) -> Self {
        match error.fault() {
            Fault::Unavailable | Fault::Throttled | Fault::Upstream => Self::TemporarilyUnavailable,
            Fault::Internal => Self::ServerError,
            Fault::Invalid | Fault::Unauthenticated | Fault::Denied | Fault::NotFound | Fault::Conflict => otherwise,
        }
    }
}

impl TokenService {
    /// Puts one together. `issuer` is the exact `iss`.
    pub fn new(
        registry: Registry,
        audit: Audit,
        keyset: Keyset,
        issuer: String,
        clock: Clock,
        entropy: Entropy,
    ) -> Self {
        let [throttle, unread, unfit] = std::array::from_fn(|_| Throttle::default());
        let verified = Verified::default();
        let keys = KeyCache::new(registry.dialer().clone(), clock.clone());
        let client_ca = None;
        Self(Arc::new(Parts {
            registry,
            audit,
            keyset,
            issuer,
            clock,
            entropy,
            throttle,
            unread,
            unfit,
            client_ca,
            keys,
            verified,
        }))
    }

    /// With authorities whose certificates prove clients; to be said before the service is cloned.
    #[must_use]
    pub fn with_client_ca(mut self, authorities: ClientCa) -> Self {
        if let Some(parts) = Arc::get_mut(&mut self.0) {
            parts.client_ca = Some(authorities);
        }
        self
    }

    /// Serves one token request.
    pub async fn token(
        &self,
        request: Result<TokenRequest, OauthError>,
        origin: &Origin,
    ) -> Result<IssuedToken, OauthError> {
        self.must_not_wait(origin)?;
        let request = match request {
            Ok(request) => request,
            Err(error) => return Err(self.unread(error, origin).await),
        };
        let mut named = request.proof.client_id().and_then(|id| id.parse::<ClientId>().ok());
        let mut actor = Actor::Anonymous;
        // Nothing of what is asked for is looked at before it is known who asks.
        let error = match self.authenticate(&request.proof, origin).await {
            Ok(client) => match self.issue(&client, &request, origin).await {
                Ok(issued) => return Ok(issued),
                // A step of the protocol, not a refusal: nothing is recorded, and the tool asks again.
                Err(OauthError::UseDpopNonce) => return Err(OauthError::UseDpopNonce),
                Err(error) => {
                    actor = Actor::Client(client.id.clone());
                    named = Some(client.id);
                    error
                }
            },
            Err(error) => {
                self.count_failure(&error, origin)?;
                error
            }
        };
        self.record_refusal(error.code(), actor, named, origin).await?;
        Err(error)
    }

    /// A request that names nobody, or what cannot be read, is no guess at a secret: it is answered as often as it is sent, and slows
    /// nobody down. Only the first few of a source are recorded, so that it costs nothing either.
    async fn unread(&self, error: OauthError, origin: &Origin) -> OauthError {
        if self.0.unread.count(origin.source, self.0.clock.now()).is_err() {
            return error;
        }
        match self.record_refusal(error.code(), Actor::Anonymous, None, origin).await {
            Ok(()) => error,
            Err(unavailable) => unavailable,
        }
    }

    /// Counts a failed authentication before it costs an audit write. Of many that came at once, those past the limit cost none.
    fn count_failure(&self, error: &OauthError, origin: &Origin) -> Result<(), OauthError> {
        self.must_not_wait(origin)?;
        if !matches!(error, OauthError::TemporarilyUnavailable | OauthError::ServerError) {
            self.0.throttle.failed(origin.source, self.0.clock.now());
        }
        Ok(())
    }

    async fn record_refusal(
        &self,
        error: &'static str,
        actor: Actor,
        named: Option<ClientId>,
        origin: &Origin,
    ) -> Result<(), OauthError> {
        let mut event = AuditEvent::new(EventCode::TokenRefused, actor, Outcome::Denied)
            .source(origin.source)
            .request(&origin.request_id)
            .detail("error", error);
        event.client_id = named;
        self.0.audit.record(event).await.map(drop).map_err(|_| OauthError::TemporarilyUnavailable)
    }

    fn must_not_wait(&self, origin: &Origin) -> Result<(), OauthError> {
        match self.0.throttle.must_wait(origin.source, self.0.clock.now()) {
            Some(retry_after) => Err(OauthError::SlowDown { retry_after }),
            None => Ok(()),
        }
    }

    /// The exact `iss`.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The public keys (RFC 7517).
    pub fn jwks(&self) -> serde_json::Value {
        self.0.keyset.jwks()
    }
}
