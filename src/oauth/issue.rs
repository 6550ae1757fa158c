//! Issuing a token: the grant is found, what is asked for is narrowed to it, the record is durable, the token is signed.

use serde_json::json;

use crate::crypto::encoding::base64url;
use crate::domain::address::MailAddress;
use crate::domain::client::Client;
use crate::domain::clock::Timestamp;
use crate::domain::entropy::Entropy;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::scope::ScopeSet;
use crate::domain::secret::Secret;
use crate::oauth::request::{GrantType, TokenRequest};
use crate::oauth::{IssuedToken, OauthError, Origin, TokenService, narrow};

impl TokenService {
    pub(super) async fn issue(
        &self,
        client: &Client,
        request: &TokenRequest,
        origin: &Origin,
    ) -> Result<IssuedToken, OauthError> {
        let parts = &*self.0;
        if request.grant_type != GrantType::ClientCredentials {
            return Err(OauthError::UnauthorizedClient);
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
        let details = narrow::details(request.details.as_deref(), &grant.bounds, &mailbox)?;
        let now = parts.clock.now();
        // A revocation voids what was issued up to its second; a token made right after it is dated after it.
        let floor = client.tokens_valid_after.max(mailbox.tokens_valid_after);
        let issued_at =
            if floor == Timestamp::default() { now.as_secs() } else { now.as_secs().max(floor.as_secs() + 1) };
        let expires_in = i64::from(grant.token_ttl_secs);
        let token_id = token_id(&parts.entropy);
        let mut event = AuditEvent::new(EventCode::TokenIssued, Actor::Client(client.id.clone()), Outcome::Success)
            .client(&client.id)
            .mailbox(&mailbox.id)
            .grant(&grant.id)
            .source(origin.source)
            .request(&origin.request_id)
            .detail("jti", token_id.clone())
            .detail("scope", scopes.to_string())
            .detail("expires_at", Timestamp::from_secs(issued_at + expires_in).to_rfc3339());
        if let Some(details) = &details {
            event = event.detail("authorization_details", details.to_array().to_string());
        }
        parts.audit.record(event).await.map_err(|_| OauthError::TemporarilyUnavailable)?;
        let mut claims = json!({
            "iss": parts.issuer, "sub": client.id, "client_id": client.id, "aud": mailbox.address.to_resource(),
            "scope": scopes, "iat": issued_at, "exp": issued_at + expires_in, "jti": token_id,
        });
        if let Some((details, members)) = details.as_ref().zip(claims.as_object_mut()) {
            members.insert("authorization_details".to_owned(), details.to_array());
        }
        let token = parts.keyset.sign(client.token_alg, &claims.to_string()).ok_or(OauthError::ServerError)?;
        Ok(IssuedToken { token: Secret::from_text(token), expires_in, scopes, details })
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
}

/// What is given of `granted`: exactly what is asked for, or all of it when nothing is named. Never more (TOK-09, TOK-10).
pub(super) fn narrowed(granted: ScopeSet, asked: Option<&str>) -> Result<ScopeSet, OauthError> {
    let Some(asked) = asked else { return Ok(granted.reduced()) };
    let asked: ScopeSet = asked.parse().map_err(|_| OauthError::InvalidScope)?;
    if asked.is_empty() || !granted.covers(asked) { Err(OauthError::InvalidScope) } else { Ok(asked.reduced()) }
}

/// A `jti`: 128 random bits in 22 characters (TOK-15).
pub(super) fn token_id(entropy: &Entropy) -> String {
    base64url(&entropy.bytes::<16>())
}
