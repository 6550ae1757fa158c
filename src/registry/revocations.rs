//! Revocation of single tokens (RFC 7009). Whether a token is revoked is asked of the database each time that it opens something, so that
//! no node acts on a memory that is behind; introspection, which may be asked very often, goes by what its node read a moment ago.
//! Sessions that were opened with a revoked token are ended by each node's watcher.

use std::collections::HashSet;
use std::sync::Arc;

use crate::domain::clock::Timestamp;
use crate::domain::event::AuditEvent;
use crate::domain::grant::SessionTtl;
use crate::domain::id::ClientId;
use crate::domain::session::EndReason;
use crate::domain::token::LATE_SECS;
use crate::registry::view::{Forgetting, Revoked, View};
use crate::registry::{Registry, RegistryError};
use crate::store::sql;

/// How far back a node looks for what others revoked: their clocks differ, and their transactions take a while.
const LOOK_BACK_SECS: i64 = 300;
/// How long after its token's end a session can still run: so long a revocation is worth keeping.
const OUTLIVES_SECS: i64 = SessionTtl::MAX_SECS as i64 + LATE_SECS;

/// Most revoked tokens that a node reads at once; where more are alive, each that is introspected is asked of the database.
pub(in crate::registry) const MAX_SEEN: i64 = 4096;

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
        // Also when another node was first: from the answer on it counts here.
        let _forgetting = Forgetting::new(&self.view, View::empty_revoked);
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

    /// Whether this token seems revoked by what this node read a moment ago: `false` will do for a yes, and `true` has to be asked again.
    pub(in crate::registry) async fn seems_revoked(&self, token_id: &str) -> Result<bool, RegistryError> {
        let seen = match self.view.revoked().find(&()) {
            Some(seen) => seen,
            None => self.read_revoked().await?,
        };
        match &*seen {
            Some(revoked) => Ok(revoked.contains(token_id)),
            None => self.is_revoked(token_id).await,
        }
    }

    async fn read_revoked(&self) -> Result<Arc<Revoked>, RegistryError> {
        let _turn = self.view.turn_to_read_revoked().await;
        let view = self.view.revoked();
        if let Some(seen) = view.find(&()) {
            return Ok(seen);
        }
        let ticket = view.ticket();
        // Those that are over are refused without it.
        let alive = self.clock.now().plus_secs(-(LATE_SECS + 1));
        let rows = self.store.rows(sql::REVOKED_TOKEN_ALIVE, &[alive.0.into(), (MAX_SEEN + 1).into()]).await?;
        let is_whole = i64::try_from(rows.len()).is_ok_and(|count| count <= MAX_SEEN);
        let ids = is_whole.then(|| rows.iter().map(|row| row.text(0)).collect::<Result<HashSet<String>, _>>());
        let seen = Arc::new(ids.transpose()?);
        view.keep(&ticket, (), &seen);
        Ok(seen)
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
