//! Grants.

use std::sync::Arc;

use crate::domain::address::MailAddress;
use crate::domain::client::{Client, Status};
use crate::domain::event::{Actor, EventCode};
use crate::domain::grant::Grant;
use crate::domain::id::{ClientId, GrantId, MailboxId};
use crate::domain::mailbox::Mailbox;
use crate::domain::session::EndReason;
use crate::registry::changes::GrantTerms;
use crate::registry::view::Footing;
use crate::registry::{Registry, RegistryError};
use crate::store::sql;

impl Registry {
    /// Makes a grant. One per client and mailbox.
    pub async fn add_grant(
        &self,
        by: &Actor,
        client_id: ClientId,
        mailbox_id: MailboxId,
        terms: GrantTerms,
    ) -> Result<Grant, RegistryError> {
        terms.check(self.clock.now())?;
        self.client_row(&client_id).await?;
        self.mailbox_row(&mailbox_id).await?;
        let grant = Grant {
            id: GrantId::new(&self.clock, &self.entropy),
            client_id,
            mailbox_id,
            scopes: terms.scopes,
            bounds: terms.bounds,
            status: Status::Active,
            token_ttl_secs: terms.token_ttl_secs,
            session_ttl: terms.session_ttl,
            expires_at: terms.expires_at,
            created_at: self.clock.now(),
        };
        let event =
            Self::event(EventCode::GrantAdded, by).client(&grant.client_id).mailbox(&grant.mailbox_id).grant(&grant.id);
        let bounds = serde_json::to_string(&grant.bounds).unwrap_or_default();
        self.record(event.detail("scopes", grant.scopes.to_string()).detail("bounds", bounds)).await?;
        let mut tx = self.store.begin().await?;
        self.add(&mut tx, &grant).await?;
        self.commit(tx).await?;
        Ok(grant)
    }

    /// All grants.
    pub async fn list_grants(&self) -> Result<Vec<Grant>, RegistryError> {
        self.many(sql::GRANT_LIST, &[]).await
    }

    /// The grant with this id.
    pub async fn find_grant(&self, id: &GrantId) -> Result<Grant, RegistryError> {
        self.grant_row(id).await.map(|(grant, _)| grant)
    }

    /// A client's grants.
    pub async fn grants_of_client(&self, id: &ClientId) -> Result<Vec<Grant>, RegistryError> {
        self.many(sql::GRANT_OF_CLIENT, &[id.as_str().into()]).await
    }

    /// Removes a grant and ends the sessions that stand on it.
    pub async fn remove_grant(&self, by: &Actor, id: &GrantId) -> Result<(), RegistryError> {
        let (mut grant, mac) = self.grant_row(id).await?;
        let event =
            Self::event(EventCode::GrantRemoved, by).client(&grant.client_id).mailbox(&grant.mailbox_id).grant(id);
        self.record(event).await?;
        grant.status = Status::Removed;
        let mut tx = self.store.begin().await?;
        self.replace(&mut tx, &grant, &mac).await?;
        tx.execute(sql::HIDDEN_FORGET, &[id.as_str().into()]).await?;
        self.commit(tx).await?;
        self.sessions.end_where(|info| info.grant_id == *id, EndReason::Revoked);
        Ok(())
    }

    /// The grant that lets this client into this mailbox, all three intact and in force now; anything else is `Denied`.
    pub async fn grant_for(
        &self,
        client: &ClientId,
        address: &MailAddress,
    ) -> Result<(Client, Mailbox, Grant), RegistryError> {
        self.read_standing(client, address).await.map(|standing| (*standing).clone())
    }

    /// The same for who can bear that a withdrawal at another node is not heeded for a quarter of a second: see the head of `view`.
    pub async fn grant_seen(&self, client: &ClientId, address: &MailAddress) -> Result<Arc<Footing>, RegistryError> {
        match self.view.standings().find(&(client.clone(), address.clone())) {
            Some(seen) if self.stands(&seen) => Ok(seen),
            _ => self.read_standing(client, address).await,
        }
    }

    async fn read_standing(&self, client: &ClientId, address: &MailAddress) -> Result<Arc<Footing>, RegistryError> {
        let (view, key) = (self.view.standings(), (client.clone(), address.clone()));
        let ticket = view.ticket();
        let found = self.one::<Client>(sql::CLIENT_GET, &[client.as_str().into()]).await?;
        let (client, _) = found.ok_or(RegistryError::Denied)?;
        let found = self.one::<Mailbox>(sql::MAILBOX_BY_ADDRESS, &[address.as_str().into()]).await?;
        let (mailbox, _) = found.ok_or(RegistryError::Denied)?;
        let args = [client.id.as_str().into(), mailbox.id.as_str().into()];
        let (grant, _) = self.one::<Grant>(sql::GRANT_FOR, &args).await?.ok_or(RegistryError::Denied)?;
        let standing = Arc::new((client, mailbox, grant));
        if !self.stands(&standing) {
            return Err(RegistryError::Denied);
        }
        view.keep(&ticket, key, &standing);
        Ok(standing)
    }

    pub(in crate::registry) fn stands(&self, (client, mailbox, grant): &Footing) -> bool {
        client.status == Status::Active && mailbox.status == Status::Active && grant.stands(self.clock.now())
    }

    /// The mailbox that a client means which names none: its default, or the only one that it has a standing grant on.
    pub async fn meant_mailbox(&self, client: &Client) -> Result<MailAddress, RegistryError> {
        let view = self.view.meant();
        if let Some(seen) = view.find(&client.id)
            && self.meant(client, &seen.0).as_ref() == Some(&seen.1.id)
            && seen.1.status == Status::Active
        {
            return Ok(seen.1.address.clone());
        }
        let ticket = view.ticket();
        let grants = self.grants_of_client(&client.id).await?;
        let wanted = self.meant(client, &grants).ok_or(RegistryError::Denied)?;
        let mailbox = self.find_mailbox(wanted.as_str()).await?;
        let address = mailbox.address.clone();
        view.keep(&ticket, client.id.clone(), &Arc::new((grants, mailbox)));
        Ok(address)
    }

    fn meant(&self, client: &Client, grants: &[Grant]) -> Option<MailboxId> {
        if client.default_mailbox.is_some() {
            return client.default_mailbox.clone();
        }
        let now = self.clock.now();
        let mut standing = grants.iter().filter(|grant| grant.stands(now));
        standing.next().filter(|_| standing.next().is_none()).map(|only| only.mailbox_id.clone())
    }

    pub(in crate::registry) async fn grant_row(&self, id: &GrantId) -> Result<(Grant, Vec<u8>), RegistryError> {
        let found = self.one::<Grant>(sql::GRANT_GET, &[id.as_str().into()]).await?;
        found.filter(|(grant, _)| grant.status != Status::Removed).ok_or(RegistryError::NotFound("grant"))
    }
}
