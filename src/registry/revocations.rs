//! Revocation of single tokens (RFC 7009). Whether a token is revoked is asked of the database each time that it is shown, so that no
//! node answers from a memory that is behind; sessions that were opened with it are ended by each node's watcher.

use std::collections::HashSet;

use crate::domain::clock::Timestamp;
use crate::domain::event::AuditEvent;
use crate::domain::grant::SessionTtl;
use crate::domain::id::ClientId;
use crate::domain::session::EndReason;
use crate::domain::token::LATE_SECS;
use crate::registry::{Registry, RegistryError};
use crate::store::sql;

/// How far back a node looks for what others revoked: their clocks differ, and their transactions take a while.
const LOOK_BACK_SECS: i64 = 300;
/// How long after its token's end a session can still run: so long a revocation is worth keeping.
const OUTLIVES_SECS: i64 = SessionTtl::MAX_SECS as i64 + LATE_SECS;

/// Which token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRef {
    /// Its `jti`.
    pub token_id: String,
    /// Whose it is.
    pub client_id: ClientId,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// A token that is no longer taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) struct RevokedToken {
    pub(in crate::registry) token_id: String,
    pub(in crate::registry) client_id: ClientId,
    pub(in crate::registry) expires_at: Timestamp,
    pub(in crate::registry) revoked_at: Timestamp,
}

impl Registry {
    /// Refuses this token from now on, on every node, and ends the sessions that were opened with it. Doing so twice changes nothing.
    /// A token that has expired counts as well: a session may outlive it. `event` is what is recorded of it.
    pub async fn revoke_token(&self, event: AuditEvent, token: &TokenRef) -> Result<(), RegistryError> {
        let now = self.clock.now();
        let (token_id, client_id, expires_at) = (token.token_id.clone(), token.client_id.clone(), token.expires_at);
        if expires_at.plus_secs(OUTLIVES_SECS) < now || self.is_revoked(&token_id).await? {
            return Ok(());
        }
        self.record(event.client(&client_id).detail("jti", token_id.clone())).await?;
        let mut tx = self.store.begin().await?;
        tx.execute(sql::REVOKED_TOKEN_SWEEP, &[now.plus_secs(-OUTLIVES_SECS).0.into()]).await?;
        let revoked = RevokedToken { token_id, client_id, expires_at, revoked_at: now };
        self.add(&mut tx, &revoked).await?;
        tx.commit().await?;
        self.sessions.end_tokens(&HashSet::from([revoked.token_id]), EndReason::Revoked);
        Ok(())
    }

    /// Whether this token was revoked by itself. A row that somebody changed revokes all the same, and raises an alarm.
    pub async fn is_revoked(&self, token_id: &str) -> Result<bool, RegistryError> {
        match self.one::<RevokedToken>(sql::REVOKED_TOKEN_GET, &[token_id.into()]).await {
            Ok(found) => Ok(found.is_some()),
            Err(RegistryError::Denied) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Ends the sessions of this node whose token was revoked at any node since `last`.
    pub(in crate::registry) async fn heed_revocations(&self, last: &mut Timestamp) -> Result<(), RegistryError> {
        let now = self.clock.now();
        if !self.sessions.list().is_empty() {
            let since = last.plus_secs(-LOOK_BACK_SECS).0;
            let rows = self.store.rows(sql::REVOKED_TOKEN_SINCE, &[since.into()]).await?;
            let revoked: HashSet<String> = rows.iter().filter_map(|row| row.text(0).ok()).collect();
            self.sessions.end_tokens(&revoked, EndReason::Revoked);
        }
        *last = now;
        Ok(())
    }
}
