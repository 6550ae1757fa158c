//! What becomes of a token after it was issued: introspection (RFC 7662), revocation (RFC 7009), and what a client has (`me`).

use serde_json::{Value, json};

use crate::domain::client::Client;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::grant::Grant;
use crate::domain::secret::{AccessToken, Secret};
use crate::domain::token::{Binding, Claims};
use crate::oauth::request::{ClientProof, TokenQuery};
use crate::oauth::{OauthError, Origin, TokenKind, TokenService};
use crate::registry::{HandleDigest, RegistryError, TokenRef};

impl TokenService {
    /// The introspection of a token for a client. Of another client's token it hears what it hears of garbage (INT-01, INT-02).
    pub async fn introspect(
        &self,
        query: Result<TokenQuery, OauthError>,
        origin: &Origin,
    ) -> Result<Value, OauthError> {
        let (client, token) = self.ask(query, origin).await?;
        self.active(&token, Some(&client)).await
    }

    /// The introspection of any token, for an operator.
    pub async fn introspect_any(&self, token: &Secret<AccessToken>) -> Result<Value, OauthError> {
        self.active(token, None).await
    }

    /// Revokes a client's own token. Of a token that is none, or another client's, the answer is the same (INT-03).
    pub async fn revoke(&self, query: Result<TokenQuery, OauthError>, origin: &Origin) -> Result<(), OauthError> {
        let (client, token) = self.ask(query, origin).await?;
        let registry = &self.0.registry;
        if let Some(digest) = token.expose_text(|text| registry.handle_digest(text)).flatten() {
            return self.revoke_handle(client, &digest, origin).await;
        }
        let Some(Ok(claims)) = token.expose_text(|text| self.read_whenever(text)) else { return Ok(()) };
        if claims.client_id != client.id {
            return Ok(());
        }
        let mut event = AuditEvent::new(EventCode::TokenRevoked, Actor::Client(client.id), Outcome::Success)
            .source(origin.source)
            .request(&origin.request_id);
        event.mailbox_id = registry.find_mailbox(claims.mailbox.as_str()).await.ok().map(|mailbox| mailbox.id);
        let token = TokenRef { token_id: claims.token_id, client_id: claims.client_id, expires_at: claims.expires_at };
        let revoked = registry.revoke_token(event, &token).await;
        revoked.map_err(|error| OauthError::of(&error, OauthError::ServerError))
    }

    async fn revoke_handle(&self, client: Client, digest: &HandleDigest, origin: &Origin) -> Result<(), OauthError> {
        let registry = &self.0.registry;
        match registry.handle_owner(digest).await {
            Ok(owner) if owner == client.id => (),
            Ok(_) => return Ok(()),
            Err(error) => {
                return match OauthError::of(&error, OauthError::InvalidTarget) {
                    OauthError::InvalidTarget => Ok(()),
                    failed => Err(failed),
                };
            }
        }
        let event = AuditEvent::new(EventCode::TokenRevoked, Actor::Client(client.id.clone()), Outcome::Success)
            .source(origin.source)
            .request(&origin.request_id);
        // No handle lives longer than this.
        let expires_at = self.0.clock.now().plus_secs(i64::from(Grant::MAX_TOKEN_TTL_SECS));
        let token = TokenRef { token_id: digest.token_id(), client_id: client.id, expires_at };
        let revoked = registry.revoke_token(event, &token).await;
        revoked.map_err(|error| OauthError::of(&error, OauthError::ServerError))
    }

    /// The client behind a request about what it has already. A proof that fails counts and is recorded as at the token endpoint; a request
    /// without any is no guess, and costs nothing.
    pub async fn identify(
        &self,
        proof: Result<ClientProof, OauthError>,
        origin: &Origin,
    ) -> Result<Client, OauthError> {
        self.must_not_wait(origin)?;
        let proof = proof?;
        let named = proof.client_id().and_then(|id| id.parse().ok());
        match self.authenticate(&proof, origin).await {
            Ok(client) => Ok(client),
            Err(error) => {
                self.count_failure(&error, origin)?;
                self.record_refusal(error.code(), Actor::Anonymous, named, origin).await?;
                Err(error)
            }
        }
    }

    async fn ask(
        &self,
        query: Result<TokenQuery, OauthError>,
        origin: &Origin,
    ) -> Result<(Client, Secret<AccessToken>), OauthError> {
        let (proof, token) = match query {
            Ok(query) => (Ok(query.proof), query.token),
            Err(error) => (Err(error.clone()), Err(error)),
        };
        let client = self.identify(proof, origin).await?;
        Ok((client, token?))
    }

    /// What is told of a token or handle, or that it is not active.
    async fn active(&self, token: &Secret<AccessToken>, client: Option<&Client>) -> Result<Value, OauthError> {
        let inactive = json!({ "active": false });
        match self.look(token, client).await {
            Ok(told) => Ok(told.unwrap_or(inactive)),
            Err(error) => match OauthError::of(&error, OauthError::InvalidTarget) {
                OauthError::InvalidTarget => Ok(inactive),
                failed => Err(failed),
            },
        }
    }

    /// Verified now, not revoked, client, mailbox and grant standing now. Bounds on where it is shown cannot be judged here.
    async fn look(&self, token: &Secret<AccessToken>, client: Option<&Client>) -> Result<Option<Value>, RegistryError> {
        let registry = &self.0.registry;
        let (claims, kind) = if let Some(digest) = token.expose_text(|text| registry.handle_digest(text)).flatten() {
            (registry.read_handle(&digest).await?, TokenKind::Handle)
        } else {
            let Some(Ok(claims)) = token.expose_text(|text| self.verify(text)) else { return Ok(None) };
            (claims, TokenKind::Bearer)
        };
        if client.is_some_and(|client| client.id != claims.client_id) {
            return Ok(None);
        }
        let scopes = registry.standing_scopes(&claims).await?;
        Ok(Some(self.told(&claims, &scopes.reduced().to_string(), kind)))
    }

    fn told(&self, claims: &Claims, scope: &str, kind: TokenKind) -> Value {
        let token_type = match claims.binding {
            Some(Binding::Dpop(_)) => "DPoP",
            Some(Binding::Mtls(_)) | None => kind.token_type(),
        };
        let mut answer = json!({
            "active": true, "iss": self.0.issuer, "sub": claims.client_id, "client_id": claims.client_id,
            "aud": claims.mailbox.to_resource(), "scope": scope, "iat": claims.issued_at.as_secs(),
            "exp": claims.expires_at.as_secs(), "jti": claims.token_id, "token_type": token_type,
        });
        if let Some(members) = answer.as_object_mut() {
            members.extend(claims.binding.as_ref().map(|binding| ("cnf".to_owned(), json!(binding))));
            let details = claims.details.as_ref();
            members.extend(details.map(|details| ("authorization_details".to_owned(), details.to_array())));
        }
        answer
    }
}
