//! Changes of what stands: a grant's terms, a client's settings. Running sessions are judged anew by every node's watcher, which sees the
//! policy counter move.

use std::fmt;

use crate::crypto::encoding::base64url;
use crate::crypto::hash::sha256;
use crate::domain::bounds::Bounds;
use crate::domain::client::{Client, Status, TokenAlg};
use crate::domain::clock::Timestamp;
use crate::domain::event::{Actor, EventCode};
use crate::domain::grant::{Grant, SessionTtl};
use crate::domain::id::{ClientId, GrantId, MailboxId};
use crate::domain::scope::ScopeSet;
use crate::registry::rows::{self, Stored};
use crate::registry::{Registry, RegistryError, checked_name};

/// What a grant says beside who and where.
#[derive(Clone, Debug)]
pub struct GrantTerms {
    /// What.
    pub scopes: ScopeSet,
    /// Within which limits.
    pub bounds: Bounds,
    /// Life of an access token in seconds.
    pub token_ttl_secs: u32,
    /// How long a session may last.
    pub session_ttl: SessionTtl,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

impl GrantTerms {
    /// These scopes, and the defaults of everything else.
    pub fn of(scopes: ScopeSet) -> Self {
        Self {
            scopes,
            bounds: Bounds::default(),
            token_ttl_secs: Grant::DEFAULT_TOKEN_TTL_SECS,
            session_ttl: SessionTtl::DEFAULT,
            expires_at: None,
        }
    }

    pub(in crate::registry) fn check(&self, now: Timestamp) -> Result<(), RegistryError> {
        if self.scopes.is_empty() {
            return Err(RegistryError::Invalid("a grant needs a scope"));
        }
        if !(1..=Grant::MAX_TOKEN_TTL_SECS).contains(&self.token_ttl_secs) {
            return Err(RegistryError::Invalid("a token lives 1 to 3600 seconds"));
        }
        if matches!(self.session_ttl, SessionTtl::Secs(secs) if !(1..=SessionTtl::MAX_SECS).contains(&secs)) {
            return Err(RegistryError::Invalid("a session lasts 1 to 86400 seconds"));
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(RegistryError::Invalid("the grant's end has passed"));
        }
        Ok(())
    }
}

/// What can be changed of a client.
#[derive(Clone, Debug)]
pub struct ClientTerms {
    /// What people call it.
    pub name: String,
    /// The algorithm of its access tokens.
    pub token_alg: TokenAlg,
    /// The mailbox meant when a token request names none.
    pub default_mailbox: Option<MailboxId>,
}

/// Names one state of a stored thing: equal for equal content. Tells nothing of the row's MAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// The version of a grant.
    pub fn of_grant(grant: &Grant) -> Self {
        Self::of(grant)
    }

    /// The version of a client.
    pub fn of_client(client: &Client) -> Self {
        Self::of(client)
    }

    fn of<T: Stored>(noun: &T) -> Self {
        let mut text = base64url(&sha256(&rows::message(T::TABLE, &noun.to_values())));
        text.truncate(22);
        Self(text)
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Registry {
    /// Gives a grant other terms, if it is still one that the caller wants to change. A session goes on if the new terms give all that
    /// it has, with what it has; any other ends.
    pub async fn change_grant(
        &self,
        by: &Actor,
        id: &GrantId,
        terms: GrantTerms,
        is_meant: impl FnOnce(&Version) -> bool,
    ) -> Result<Grant, RegistryError> {
        let (old, mac) = self.grant_row(id).await?;
        let GrantTerms { scopes, bounds, token_ttl_secs, session_ttl, expires_at } = terms.clone();
        let new = Grant { scopes, bounds, token_ttl_secs, session_ttl, expires_at, ..old.clone() };
        if new != old {
            terms.check(self.clock.now())?;
        }
        if !is_meant(&Version::of_grant(&old)) {
            return Err(RegistryError::Stale);
        }
        if old.status != Status::Active {
            return Err(RegistryError::Conflict("the grant is not active"));
        }
        if new == old {
            return Ok(old);
        }
        let bounds = |grant: &Grant| serde_json::to_string(&grant.bounds).unwrap_or_default();
        let mut event = Self::event(EventCode::GrantChanged, by)
            .client(&old.client_id)
            .mailbox(&old.mailbox_id)
            .grant(id)
            .detail("scopes_before", old.scopes.to_string())
            .detail("scopes", new.scopes.to_string())
            .detail("bounds_before", bounds(&old))
            .detail("bounds", bounds(&new));
        let end = |grant: &Grant| grant.expires_at.map_or_else(|| "never".to_owned(), Timestamp::to_rfc3339);
        let seconds = |grant: &Grant| (grant.token_ttl_secs.to_string(), grant.session_ttl.to_secs().to_string());
        let ((token_before, session_before), (token, session)) = (seconds(&old), seconds(&new));
        for (name, before, after) in [
            ("token_ttl_secs", token_before, token),
            ("session_ttl_secs", session_before, session),
            ("expires_at", end(&old), end(&new)),
        ] {
            if before != after {
                event = event.detail(name, format!("{before} -> {after}"));
            }
        }
        self.record(event).await?;
        let mut tx = self.store.begin().await?;
        self.replace(&mut tx, &new, &mac).await?;
        self.commit(tx).await?;
        Ok(new)
    }

    /// Gives a client another name, algorithm or default mailbox, if it is still one that the caller wants to change.
    pub async fn change_client(
        &self,
        by: &Actor,
        id: &ClientId,
        terms: ClientTerms,
        is_meant: impl FnOnce(&Version) -> bool,
    ) -> Result<Client, RegistryError> {
        let (old, mac) = self.client_row(id).await?;
        let name = checked_name(&terms.name)?;
        if !is_meant(&Version::of_client(&old)) {
            return Err(RegistryError::Stale);
        }
        if let Some(mailbox) = &terms.default_mailbox {
            self.mailbox_row(mailbox).await?;
        }
        let ClientTerms { token_alg, default_mailbox, .. } = terms;
        let new = Client { name, default_mailbox, token_alg, ..old.clone() };
        let mailbox =
            |client: &Client| client.default_mailbox.as_ref().map_or("none".to_owned(), |id| id.as_str().to_owned());
        let mut event = Self::event(EventCode::ClientChanged, by).client(id);
        let mut is_changed = false;
        for (name, before, after) in [
            ("name", old.name.clone(), new.name.clone()),
            ("token_alg", old.token_alg.as_str().to_owned(), new.token_alg.as_str().to_owned()),
            ("default_mailbox", mailbox(&old), mailbox(&new)),
        ] {
            if before != after {
                is_changed = true;
                event = event.detail(name, format!("{before} -> {after}"));
            }
        }
        if !is_changed {
            return Ok(old);
        }
        self.record(event).await?;
        let mut tx = self.store.begin().await?;
        self.replace(&mut tx, &new, &mac).await?;
        self.commit(tx).await?;
        Ok(new)
    }
}
