//! The token service: client credentials in, short-lived signed access tokens out (RFC 6749, RFC 9068). No HTTP in it.

mod handle;
pub mod jws;
pub mod keyset;
pub mod request;
#[cfg(test)]
mod tests;
mod verify;

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::json;

use crate::audit::Audit;
use crate::crypto::encoding::base64url;
use crate::domain::address::MailAddress;
use crate::domain::client::Client;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::entropy::Entropy;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::fault::{Classify, Fault};
use crate::domain::id::{ClientId, RequestId};
use crate::domain::scope::ScopeSet;
use crate::domain::secret::{AccessToken, Secret};
use crate::domain::throttle::Throttle;
use crate::oauth::handle::Claimed;
use crate::oauth::keyset::Keyset;
use crate::oauth::request::{GrantType, TokenRequest};
use crate::registry::Registry;

pub use handle::{HANDLE_TYPE, TokenKind};
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
    throttle: Throttle,
}

/// Where a token request came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The peer.
    pub source: IpAddr,
    /// The HTTP request.
    pub request_id: RequestId,
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
    /// Narrowing is not served.
    #[error("authorization_details is not supported")]
    InvalidAuthorizationDetails,
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
        let throttle = Throttle::default();
        Self(Arc::new(Parts { registry, audit, keyset, issuer, clock, entropy, throttle }))
    }

    /// Serves one token request.
    pub async fn token(
        &self,
        request: Result<TokenRequest, OauthError>,
        origin: &Origin,
    ) -> Result<IssuedToken, OauthError> {
        let parts = &*self.0;
        self.must_not_wait(origin)?;
        let mut named = request.as_ref().ok().and_then(|request| request.client_id.parse::<ClientId>().ok());
        let mut actor = Actor::Anonymous;
        let error = match self.authenticate(request).await {
            Ok((client, request)) => match self.issue(&client, &request, origin).await {
                Ok(issued) => return Ok(issued),
                Err(error) => {
                    actor = Actor::Client(client.id.clone());
                    named = Some(client.id);
                    error
                }
            },
            Err(error) => {
                // Counted before it costs an audit write. Of many that came at once, those past the limit cost none.
                self.must_not_wait(origin)?;
                if !matches!(error, OauthError::TemporarilyUnavailable | OauthError::ServerError) {
                    parts.throttle.failed(origin.source, parts.clock.now());
                }
                error
            }
        };
        let mut event = AuditEvent::new(EventCode::TokenRefused, actor, Outcome::Denied)
            .source(origin.source)
            .request(&origin.request_id)
            .detail("error", error.code());
        event.client_id = named;
        parts.audit.record(event).await.map_err(|_| OauthError::TemporarilyUnavailable)?;
        Err(error)
    }

    fn must_not_wait(&self, origin: &Origin) -> Result<(), OauthError> {
        match self.0.throttle.must_wait(origin.source, self.0.clock.now()) {
            Some(retry_after) => Err(OauthError::SlowDown { retry_after }),
            None => Ok(()),
        }
    }

    /// Who asks. Nothing of what is asked for is looked at before that is known.
    async fn authenticate(
        &self,
        request: Result<TokenRequest, OauthError>,
    ) -> Result<(Client, TokenRequest), OauthError> {
        let request = request?;
        let id: ClientId = request.client_id.parse().map_err(|_| OauthError::InvalidClient)?;
        let secret = request.client_secret.expose_text(str::to_owned).map(zeroize::Zeroizing::new);
        let secret = secret.ok_or(OauthError::InvalidClient)?;
        let checked = self.0.registry.check_client_secret(&id, &secret).await;
        checked.map(|client| (client, request)).map_err(|error| OauthError::of(&error, OauthError::InvalidClient))
    }

    async fn issue(&self, client: &Client, request: &TokenRequest, origin: &Origin) -> Result<IssuedToken, OauthError> {
        let parts = &*self.0;
        if request.grant_type != GrantType::ClientCredentials {
            return Err(OauthError::UnauthorizedClient);
        }
        if request.narrowing {
            // Ignoring a narrowing would give out a wider token than was asked for.
            return Err(OauthError::InvalidAuthorizationDetails);
        }
        let mailbox = self.target(request, client).await?;
        let (client, mailbox, grant) = parts
            .registry
            .grant_for(&client.id, &mailbox)
            .await
            .map_err(|error| OauthError::of(&error, OauthError::InvalidTarget))?;
        if !grant.bounds.allow_source(origin.source) {
            return Err(OauthError::InvalidTarget);
        }
        let scopes = narrowed(grant.scopes, request.scope.as_deref())?;
        let now = parts.clock.now();
        // A revocation voids what was issued up to its second; a token made right after it is dated after it.
        let floor = client.tokens_valid_after.max(mailbox.tokens_valid_after);
        let issued_at =
            if floor == Timestamp::default() { now.as_secs() } else { now.as_secs().max(floor.as_secs() + 1) };
        let expires_in = i64::from(grant.token_ttl_secs);
        if let Some(wanted) = &request.handle {
            return self.issue_handle(wanted, Claimed { mailbox, grant, scopes, issued_at, expires_in }, origin).await;
        }
        let token_id = token_id(&parts.entropy);
        let event = AuditEvent::new(EventCode::TokenIssued, Actor::Client(client.id.clone()), Outcome::Success)
            .client(&client.id)
            .mailbox(&mailbox.id)
            .grant(&grant.id)
            .source(origin.source)
            .request(&origin.request_id)
            .detail("jti", token_id.clone())
            .detail("scope", scopes.to_string());
        parts.audit.record(event).await.map_err(|_| OauthError::TemporarilyUnavailable)?;
        let claims = json!({
            "iss": parts.issuer, "sub": client.id, "client_id": client.id, "aud": mailbox.address.to_resource(),
            "scope": scopes, "iat": issued_at, "exp": issued_at + expires_in, "jti": token_id,
        });
        let token = parts.keyset.sign(client.token_alg, &claims.to_string()).ok_or(OauthError::ServerError)?;
        Ok(IssuedToken { token: Secret::from_text(token), expires_in, scopes, kind: TokenKind::Bearer })
    }

    /// The mailbox that is meant: the one named, the client's default, or the only one it has a grant on.
    async fn target(&self, request: &TokenRequest, client: &Client) -> Result<MailAddress, OauthError> {
        if let Some(resource) = &request.resource {
            // RFC 8707 section 2 forbids a fragment.
            let whole = Some(resource).filter(|uri| !uri.contains('#')).ok_or(OauthError::InvalidTarget)?;
            return MailAddress::from_resource(whole).map_err(|_| OauthError::InvalidTarget);
        }
        let failed = |error: crate::registry::RegistryError| OauthError::of(&error, OauthError::InvalidTarget);
        let wanted = if let Some(mailbox) = &client.default_mailbox {
            mailbox.clone()
        } else {
            let now = self.0.clock.now();
            let grants = self.0.registry.grants_of_client(&client.id).await.map_err(failed)?;
            let mut standing = grants.into_iter().filter(|grant| grant.stands(now));
            match (standing.next(), standing.next()) {
                (Some(only), None) => only.mailbox_id,
                _ => return Err(OauthError::InvalidTarget),
            }
        };
        self.0.registry.find_mailbox(wanted.as_str()).await.map(|mailbox| mailbox.address).map_err(failed)
    }

    /// The public keys (RFC 7517).
    pub fn jwks(&self) -> serde_json::Value {
        self.0.keyset.jwks()
    }

    /// The metadata document (RFC 8414). Depends on the settings only (TOK-20).
    pub fn metadata(&self) -> serde_json::Value {
        let issuer = &self.0.issuer;
        let scopes: Vec<_> = crate::domain::scope::Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        json!({
            "issuer": issuer,
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "grant_types_supported": ["client_credentials"],
            // Required by RFC 8414 section 2; there is no authorization endpoint.
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "scopes_supported": scopes,
            "mailwarden_requested_token_types_supported": [HANDLE_TYPE],
        })
    }
}

/// What is given of `granted`: exactly what is asked for, or all of it when nothing is named. Never more (TOK-09, TOK-10).
fn narrowed(granted: ScopeSet, asked: Option<&str>) -> Result<ScopeSet, OauthError> {
    let Some(asked) = asked else { return Ok(granted.reduced()) };
    let asked: ScopeSet = asked.parse().map_err(|_| OauthError::InvalidScope)?;
    if asked.is_empty() || !granted.covers(asked) { Err(OauthError::InvalidScope) } else { Ok(asked.reduced()) }
}

/// A `jti`: 128 random bits in 22 characters (TOK-15).
fn token_id(entropy: &Entropy) -> String {
    base64url(&entropy.bytes::<16>())
}
