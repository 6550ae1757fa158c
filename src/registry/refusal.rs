//! Why a verified token was not let in: for the audit log and `grant explain`, never for the tool.

use std::net::IpAddr;

use crate::domain::session::Protocol;
use crate::domain::token::{Claims, LATE_SECS};
use crate::registry::{Registry, RegistryError};

/// What refuses a login: a stable code, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRule {
    /// The code.
    pub rule: &'static str,
    /// The address or protocol that it is about.
    pub object: Option<String>,
}

impl LoginRule {
    /// A rule that is about nothing in particular.
    pub fn plain(rule: &'static str) -> Self {
        Self { rule, object: None }
    }
}

impl Registry {
    /// The first rule that refuses this token here and now. It is asked after a refusal, and decides nothing.
    pub async fn login_rule(
        &self,
        claims: &Claims,
        protocol: Protocol,
        source: IpAddr,
    ) -> Result<LoginRule, RegistryError> {
        let (client, mailbox, grant) = match self.grant_for(&claims.client_id, &claims.mailbox).await {
            Ok(footing) => footing,
            Err(RegistryError::Denied) => return Ok(LoginRule::plain("grant")),
            Err(error) => return Err(error),
        };
        let about = |rule, object: String| LoginRule { rule, object: Some(object) };
        let is_stale = claims.issued_at <= client.tokens_valid_after || claims.issued_at <= mailbox.tokens_valid_after;
        let bounds = match &claims.details {
            Some(details) => grant.bounds.narrow(details, &mailbox.address),
            None => grant.bounds.clone(),
        };
        Ok(if is_stale || self.is_revoked(&claims.token_id).await? {
            LoginRule::plain("revoked")
        } else if self.clock.now().as_secs() > claims.expires_at.as_secs() + LATE_SECS {
            LoginRule::plain("token")
        } else if claims.scopes.intersect(grant.scopes).is_empty() {
            about("token-scope", claims.scopes.to_string())
        } else if !bounds.allow_source(source) {
            about("network", source.to_canonical().to_string())
        } else if !bounds.allow_protocol(protocol) {
            about("protocol", protocol.as_str().to_owned())
        } else if !bounds.allow_moved(claims.source, source) {
            about("pin-source", source.to_canonical().to_string())
        } else {
            LoginRule::plain("grant")
        })
    }
}
