//! Mailboxes and their credentials.

use crate::domain::address::MailAddress;
use crate::domain::client::Status;
use crate::domain::clock::Timestamp;
use crate::domain::event::{Actor, EventCode, Outcome};
use crate::domain::id::MailboxId;
use crate::domain::mailbox::{Health, Mailbox, Upstream};
use crate::domain::secret::{Password, Secret};
use crate::domain::session::EndReason;
use crate::registry::breaker::{Knock, Verdict};
use crate::registry::{Registry, RegistryError};
use crate::store::sql;
use crate::upstream::{self, LoginReport, UpstreamError};

impl Registry {
    /// Registers a mailbox after its login has been proven; a refused one leaves nothing.
    pub async fn add_mailbox(
        &self,
        by: &Actor,
        address: MailAddress,
        upstream: Upstream,
        password: Secret<Password>,
    ) -> Result<(Mailbox, LoginReport), RegistryError> {
        if self.store.row(sql::MAILBOX_BY_ADDRESS, &[address.as_str().into()]).await?.is_some() {
            return Err(RegistryError::Conflict("this mailbox is registered already"));
        }
        let report = self.proven(&upstream, &password).await?;
        let mailbox = Mailbox {
            id: MailboxId::new(&self.clock, &self.entropy),
            address,
            status: Status::Active,
            health: Health::Good,
            upstream,
            tokens_valid_after: Timestamp(0),
            created_at: self.clock.now(),
        };
        let event = Self::event(EventCode::MailboxAdded, by).mailbox(&mailbox.id);
        self.record(event.detail("address", mailbox.address.as_str())).await?;
        let mut tx = self.store.begin().await?;
        self.add(&mut tx, &mailbox).await?;
        self.vault.seal_credential_in(&mut tx, &mailbox.id, &password).await?;
        self.commit(tx).await?;
        Ok((mailbox, report))
    }

    /// All mailboxes.
    pub async fn list_mailboxes(&self) -> Result<Vec<Mailbox>, RegistryError> {
        self.many(sql::MAILBOX_LIST, &[]).await
    }

    /// The mailbox with this id or address.
    pub async fn find_mailbox(&self, name: &str) -> Result<Mailbox, RegistryError> {
        let found = match (name.parse::<MailAddress>(), name.parse::<MailboxId>()) {
            (Ok(address), _) => self.one::<Mailbox>(sql::MAILBOX_BY_ADDRESS, &[address.as_str().into()]).await?,
            (Err(_), Ok(id)) => self.one::<Mailbox>(sql::MAILBOX_GET, &[id.as_str().into()]).await?,
            (Err(_), Err(_)) => None,
        };
        found
            .map(|(mailbox, _)| mailbox)
            .filter(|mailbox| mailbox.status != Status::Removed)
            .ok_or(RegistryError::NotFound("mailbox"))
    }

    /// Tries the mailbox's login, even while the breaker is open: a person asked. What the upstream says counts.
    pub async fn test_mailbox(&self, by: &Actor, id: &MailboxId) -> Result<LoginReport, RegistryError> {
        let (mailbox, _) = self.mailbox_row(id).await?;
        self.record(Self::event(EventCode::MailboxTested, by).mailbox(id)).await?;
        let (registry, of) = (self.clone(), id.clone());
        let test = async move {
            let lease = match registry.vault.lease(&of).await {
                Ok(lease) => lease,
                Err(error) => return (Err(error.into()), Verdict::Unclear),
            };
            let report = upstream::prove(&registry.dialer, &mailbox.upstream, lease.password()).await;
            let verdict = match report.failure() {
                None => Verdict::Accepted,
                Some(_) if is_refused(&report) => Verdict::Refused,
                Some(_) => Verdict::Unclear,
            };
            (Ok(report), verdict)
        };
        self.guarded(id, Knock::Anyway, test).await?
    }

    /// Puts a proven new credential in the old one's place.
    pub async fn set_credential(
        &self,
        by: &Actor,
        id: &MailboxId,
        password: Secret<Password>,
    ) -> Result<LoginReport, RegistryError> {
        let (mailbox, _) = self.mailbox_row(id).await?;
        let report = self.proven(&mailbox.upstream, &password).await?;
        self.record(Self::event(EventCode::CredentialSet, by).mailbox(id)).await?;
        self.vault.seal_credential(id, &password).await?;
        self.reset_breaker(id).await?;
        Ok(report)
    }

    /// Removes a mailbox, shreds its credentials and ends its sessions.
    pub async fn remove_mailbox(&self, by: &Actor, id: &MailboxId) -> Result<(), RegistryError> {
        let (mut mailbox, mac) = self.mailbox_row(id).await?;
        self.record(Self::event(EventCode::MailboxRemoved, by).mailbox(id)).await?;
        mailbox.status = Status::Removed;
        let mut tx = self.store.begin().await?;
        self.replace(&mut tx, &mailbox, &mac).await?;
        tx.execute(sql::CREDENTIAL_SHRED, &[id.as_str().into()]).await?;
        self.commit(tx).await?;
        self.sessions.end_where(|info| info.mailbox_id == *id, EndReason::Revoked);
        Ok(())
    }

    /// Refuses all tokens issued up to now for this mailbox and ends its sessions.
    pub async fn revoke_mailbox(&self, by: &Actor, id: &MailboxId) -> Result<(), RegistryError> {
        let (mut mailbox, mac) = self.mailbox_row(id).await?;
        self.record(Self::event(EventCode::Revoked, by).mailbox(id)).await?;
        mailbox.tokens_valid_after = self.clock.now();
        let mut tx = self.store.begin().await?;
        self.replace(&mut tx, &mailbox, &mac).await?;
        self.commit(tx).await?;
        self.sessions.end_where(|info| info.mailbox_id == *id, EndReason::Revoked);
        Ok(())
    }

    pub(in crate::registry) async fn set_health(&self, id: &MailboxId, health: Health) -> Result<(), RegistryError> {
        let (mut mailbox, mac) = self.mailbox_row(id).await?;
        if mailbox.health == health {
            return Ok(());
        }
        let (code, outcome) = match health {
            Health::Good => (EventCode::MailboxRecovered, Outcome::Success),
            Health::Quarantined => (EventCode::MailboxQuarantined, Outcome::Failure),
        };
        let mut event = Self::event(code, &Actor::System).mailbox(id);
        event.outcome = outcome;
        self.record(event).await?;
        mailbox.health = health;
        let mut tx = self.store.begin().await?;
        self.replace(&mut tx, &mailbox, &mac).await?;
        self.commit(tx).await
    }

    async fn proven(&self, upstream: &Upstream, password: &Secret<Password>) -> Result<LoginReport, RegistryError> {
        let report = upstream::prove(&self.dialer, upstream, password).await;
        if is_good(&report) {
            return Ok(report);
        }
        let why = |name: &str, one: &Option<Result<(), UpstreamError>>| match one {
            Some(Err(error)) => Some(format!("{name}: {error}")),
            Some(Ok(())) | None => None,
        };
        let text: Vec<String> = [why("imap", &report.imap), why("smtp", &report.smtp)].into_iter().flatten().collect();
        Err(if text.is_empty() {
            RegistryError::Invalid("an upstream needs an imap or smtp endpoint")
        } else {
            RegistryError::LoginFailed(text.join("; "))
        })
    }

    pub(in crate::registry) async fn mailbox_row(&self, id: &MailboxId) -> Result<(Mailbox, Vec<u8>), RegistryError> {
        let found = self.one::<Mailbox>(sql::MAILBOX_GET, &[id.as_str().into()]).await?;
        found.filter(|(mailbox, _)| mailbox.status != Status::Removed).ok_or(RegistryError::NotFound("mailbox"))
    }
}

fn is_refused(report: &LoginReport) -> bool {
    [report.imap, report.smtp].contains(&Some(Err(UpstreamError::Refused)))
}

fn is_good(report: &LoginReport) -> bool {
    let all = [&report.imap, &report.smtp];
    all.iter().any(|one| one.is_some()) && all.iter().all(|one| one.as_ref().is_none_or(Result::is_ok))
}
