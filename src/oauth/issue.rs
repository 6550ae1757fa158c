//! Issuing a token: the grant is found, what is asked for is narrowed to it, the record is durable, the token is signed.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::crypto::encoding::base64url;
use crate::domain::address::MailAddress;
use crate::domain::client::Client;
use crate::domain::client_auth::{ClientAuth, RequiredBinding};
use crate::domain::clock::Timestamp;
use crate::domain::details::MailboxDetails;
use crate::domain::entropy::Entropy;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::id::ClientId;
use crate::domain::mailbox::Mailbox;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::Secret;
use crate::domain::session::Protocol;
use crate::domain::token::Binding;
use crate::oauth::bound::thumbprint;
use crate::oauth::dpop::Occasion;
use crate::oauth::handle::Claimed;
use crate::oauth::request::{GrantType, TokenRequest};
use crate::oauth::{IssuedToken, OauthError, Origin, TokenKind, TokenService, narrow};
use crate::registry::RegistryError;

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
        let footing = parts
            .registry
            .grant_seen(&client.id, &mailbox)
            .await
            .map_err(|error| OauthError::of(&error, OauthError::InvalidTarget))?;
        let (client, mailbox, grant) = &*footing;
        if !grant.bounds.allow_source(origin.source) {
            return Err(OauthError::InvalidTarget);
        }
        let by = request.handle.as_ref().map(|wanted| std::slice::from_ref(&wanted.protocol));
        let by = by.or(grant.bounds.protocols.as_deref());
        self.must_not_be_frozen(client, mailbox, by).await?;
        let scopes = narrowed(grant.scopes, request.scope.as_deref())?;
        let details = narrow::details(request.details.as_deref(), &grant.bounds, mailbox)?;
        let binding = self.binding(client, request, origin).await?;
        let issued_at = self.issued_at(client.tokens_valid_after.max(mailbox.tokens_valid_after)).await;
        let expires_in = i64::from(grant.token_ttl_secs);
        if let Some(wanted) = &request.handle {
            if binding.is_some() || details.is_some() || grant.bounds.pin.is_some_and(|pin| pin.source) {
                // Of these restrictions a handle carries none, and none may be lost.
                return Err(OauthError::InvalidRequest("a handle is neither bound, narrowed nor pinned to its source"));
            }
            let claimed = Claimed { mailbox: mailbox.clone(), grant: grant.clone(), scopes, issued_at, expires_in };
            let issued = self.issue_handle(wanted, claimed, origin).await?;
            self.must_not_be_frozen(client, mailbox, by).await?;
            return Ok(issued);
        }
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
        match &binding {
            None => (),
            Some(Binding::Dpop(key)) => event = event.detail("jkt", key.clone()),
            Some(Binding::Mtls(certificate)) => event = event.detail("certificate", certificate.clone()),
        }
        let unavailable = |_| OauthError::TemporarilyUnavailable;
        let recording = parts.audit.begin(event).await.map_err(unavailable)?;
        let claims = Payload {
            iss: &parts.issuer,
            sub: &client.id,
            client_id: &client.id,
            aud: &mailbox.address.to_resource(),
            scope: scopes,
            iat: issued_at,
            exp: issued_at + expires_in,
            jti: &token_id,
            cnf: binding.as_ref(),
            authorization_details: details.as_ref().map(MailboxDetails::to_array),
            src: grant.bounds.pin.filter(|pin| pin.source).map(|_| origin.source.to_canonical()),
        };
        let claims = serde_json::to_string(&claims).map_err(|_| OauthError::ServerError)?;
        // Signed while the disk writes; nobody has the token before the record is there.
        let token = parts.keyset.sign(client.token_alg, &claims);
        recording.durable().await.map_err(unavailable)?;
        let token = token.ok_or(OauthError::ServerError)?;
        // Once more: no token goes out after a freeze, however long its record took.
        self.must_not_be_frozen(client, mailbox, by).await?;
        Ok(IssuedToken {
            token: Secret::from_text(token),
            expires_in,
            scopes,
            binding,
            details,
            kind: TokenKind::Bearer,
        })
    }

    async fn must_not_be_frozen(
        &self,
        client: &Client,
        mailbox: &Mailbox,
        by: Option<&[Protocol]>,
    ) -> Result<(), OauthError> {
        self.0.registry.may_take_token(client, mailbox, by).await.map_err(|error| match error {
            RegistryError::Frozen(id) => OauthError::Frozen(id),
            error => OauthError::of(&error, OauthError::ServerError),
        })
    }

    /// What the token is tied to: what it must be, the key of the proof that came with the request, or the certificate that proved the
    /// client itself. Last of all checks, for a proof is good once only.
    async fn binding(
        &self,
        client: &Client,
        request: &TokenRequest,
        origin: &Origin,
    ) -> Result<Option<Binding>, OauthError> {
        let certificate = || origin.certificates.first().map(|leaf| Binding::Mtls(thumbprint(leaf)));
        let by_certificate =
            matches!(client.auth, ClientAuth::TlsClientAuth { .. } | ClientAuth::SelfSignedTlsClientAuth { .. });
        let proof = match (client.required_binding, &request.dpop) {
            (RequiredBinding::Mtls, _) => {
                return certificate().map(Some).ok_or(OauthError::InvalidRequest(
                    "the tokens of this client are bound to its TLS certificate, and none was shown",
                ));
            }
            (RequiredBinding::Dpop, None) => {
                return Err(OauthError::InvalidDpopProof(
                    "this client's tokens are bound to a key: a DPoP proof is needed",
                ));
            }
            (RequiredBinding::None, None) if by_certificate => return Ok(certificate()),
            (RequiredBinding::None, None) => return Ok(None),
            (RequiredBinding::None | RequiredBinding::Dpop, Some(proof)) => proof,
        };
        let url = self.url_of("/oauth/token");
        let needs_nonce = client.required_binding == RequiredBinding::Dpop;
        let proof = self.check_proof(proof, &Occasion { method: "POST", url: &url, token: None, needs_nonce })?;
        self.use_proof(&proof).await?;
        Ok(Some(Binding::Dpop(proof.thumbprint)))
    }

    /// The date of a token, in seconds. A revocation voids what was issued up to its second: a token that is asked for within that
    /// second waits until it is over, so that another revocation voids it too. It is never dated before a revocation by another node
    /// whose clock is ahead.
    async fn issued_at(&self, revoked: Timestamp) -> i64 {
        let now = self.0.clock.now();
        if revoked == Timestamp::default() || now.as_secs() > revoked.as_secs() {
            return now.as_secs();
        }
        let left = u64::try_from(1000 - now.0.rem_euclid(1000)).unwrap_or(1000);
        tokio::time::sleep(Duration::from_millis(left)).await;
        self.0.clock.now().as_secs().max(revoked.as_secs() + 1)
    }

    /// The mailbox that is meant: the one named, the client's default, or the only one it has a grant on.
    async fn target(&self, request: &TokenRequest, client: &Client) -> Result<MailAddress, OauthError> {
        if let Some(resource) = &request.resource {
            // RFC 8707 section 2 forbids a fragment.
            let whole = Some(resource).filter(|uri| !uri.contains('#')).ok_or(OauthError::InvalidTarget)?;
            return MailAddress::from_resource(whole).map_err(|_| OauthError::InvalidTarget);
        }
        let meant = self.0.registry.meant_mailbox(client).await;
        meant.map_err(|error| OauthError::of(&error, OauthError::InvalidTarget))
    }
}

/// The claims of an access token (RFC 9068 section 2.2). Mail programs cut long passwords, and there is nothing left to leave out: of the
/// 436 characters of a token for an ordinary issuer and mailbox, 60 are the header, 86 the signature and 288 these claims, of which their
/// names and punctuation alone take 103. Tools that cannot hold as much ask for a handle.
#[derive(Serialize)]
struct Payload<'a> {
    iss: &'a str,
    sub: &'a ClientId,
    client_id: &'a ClientId,
    aud: &'a str,
    scope: ScopeSet,
    iat: i64,
    exp: i64,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<&'a Binding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_details: Option<serde_json::Value>,
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
