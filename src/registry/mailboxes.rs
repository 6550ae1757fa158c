//! Mailboxes, their credentials, and the breaker that keeps us from locking an upstream account (UP-08).

use crate::domain::address::MailAddress;
use crate::domain::client::Status;
use crate::domain::clock::Timestamp;
use crate::domain::event::{Actor, EventCode, Outcome};
use crate::domain::id::MailboxId;
use crate::domain::mailbox::{Health, Mailbox, Upstream};
use crate::domain::secret::{Password, Secret};
use crate::domain::session::EndReason;
use crate::registry::{Registry, RegistryError};
use crate::store::sql;
use crate::upstream::{self, LoginReport, UpstreamError};

/// So many definite refusals open the breaker.
const REFUSALS: i64 = 3;
/// While it is open, one login per ten minutes is tried.
const PROBE_MILLIS: i64 = 600_000;

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

    /// Tries the mailbox's login.
    pub async fn test_mailbox(&self, by: &Actor, id: &MailboxId) -> Result<LoginReport, RegistryError> {
        let (mailbox, _) = self.mailbox_row(id).await?;
        if !self.may_try(id).await {
            return Err(RegistryError::Conflict(
                "the upstream refused this credential too often; set a new one or wait",
            ));
        }
        self.record(Self::event(EventCode::MailboxTested, by).mailbox(id)).await?;
        let lease = self.vault.lease(id).await?;
        let report = upstream::prove(&self.dialer, &mailbox.upstream, lease.password()).await;
        if [&report.imap, &report.smtp].into_iter().any(|one| matches!(one, Some(Err(UpstreamError::Refused)))) {
            self.upstream_refused(id).await?;
        } else if is_good(&report) {
            self.upstream_accepted(id).await?;
        }
        Ok(report)
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
        self.upstream_accepted(id).await?;
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

    /// Counts a definite refusal of our credential; the third opens the breaker.
    pub async fn upstream_refused(&self, id: &MailboxId) -> Result<(), RegistryError> {
        let mut tx = self.store.begin().await?;
        let row = tx.row(sql::BREAKER_COUNT, &[id.as_str().into(), self.clock.now().0.into()]).await?;
        let refusals = row.map_or(Ok(0), |row| row.int(0))?;
        tx.commit().await?;
        if refusals >= REFUSALS { self.set_health(id, Health::Quarantined).await } else { Ok(()) }
    }

    /// Whether a login may be tried now. A store that does not answer means no.
    pub async fn may_try(&self, id: &MailboxId) -> bool {
        self.try_breaker(id).await.unwrap_or(false)
    }

    /// The upstream took our credential: the breaker closes.
    pub async fn upstream_accepted(&self, id: &MailboxId) -> Result<(), RegistryError> {
        if self.store.row(sql::BREAKER_GET, &[id.as_str().into()]).await?.is_some() {
            let mut tx = self.store.begin().await?;
            tx.execute(sql::BREAKER_CLEAR, &[id.as_str().into()]).await?;
            tx.commit().await?;
        }
        self.set_health(id, Health::Good).await
    }

    async fn try_breaker(&self, id: &MailboxId) -> Result<bool, RegistryError> {
        let row = self.store.row(sql::BREAKER_GET, &[id.as_str().into()]).await?;
        if row.map_or(Ok(0), |row| row.int(0))? < REFUSALS {
            return Ok(true);
        }
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let args = [id.as_str().into(), now.0.into(), now.plus_millis(-PROBE_MILLIS).0.into()];
        let mine = tx.execute(sql::BREAKER_PROBE, &args).await? == 1;
        tx.commit().await?;
        Ok(mine)
    }

    async fn set_health(&self, id: &MailboxId, health: Health) -> Result<(), RegistryError> {
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

fn is_good(report: &LoginReport) -> bool {
    let all = [&report.imap, &report.smtp];
    all.iter().any(|one| one.is_some()) && all.iter().all(|one| one.as_ref().is_none_or(Result::is_ok))
}
