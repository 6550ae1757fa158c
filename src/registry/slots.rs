//! The breaker's slots in the database: the right to have one login under way, counted before the login begins, and what becomes of
//! it when its node dies.

use crate::crypto::encoding::base64url;
use crate::domain::clock::Timestamp;
use crate::domain::id::MailboxId;
use crate::domain::mailbox::Health;
use crate::registry::breaker::Knock;
use crate::registry::{Registry, RegistryError};
use crate::store::{Tx, sql};

/// So many refusals open the breaker.
pub(in crate::registry) const BUDGET: i64 = 3;
/// While it is open, one login per ten minutes is tried.
const PROBE_MILLIS: i64 = 600_000;
/// After so long a slot goes back, so that other nodes get their turn.
const KEEP_MILLIS: i64 = 5_000;
/// No login takes that long: what was reserved before died with its node, and counts as refused.
const LOST_MILLIS: i64 = 120_000;
/// A slot that was kept after a good login has gone back by then, though its last login took as long as one may. If it has not, it
/// died with its node; what it was kept for speaks for the credential.
const KEPT_LOST_MILLIS: i64 = KEEP_MILLIS + 45_000;

/// The right to have one login under way.
#[derive(Debug)]
pub(in crate::registry) struct Slot {
    /// Names its row.
    pub(in crate::registry) id: String,
    epoch: i64,
    /// How many refusals there had been in all when it was reserved.
    pub(in crate::registry) refused: i64,
    /// Whether some of them are not forgiven yet.
    pub(in crate::registry) is_doubtful: bool,
    /// Whether a login with it was good, and the database knows.
    pub(in crate::registry) is_proven: bool,
    reserved_at: Timestamp,
}

impl Slot {
    /// Whether it is time to give it back.
    pub(in crate::registry) fn is_old(&self, now: Timestamp) -> bool {
        now >= self.reserved_at.plus_millis(KEEP_MILLIS)
    }
}

/// How a mailbox's breaker stands.
#[derive(Clone, Copy, Debug)]
struct Stand {
    epoch: i64,
    refused: i64,
    forgiven: i64,
    tried_at: Timestamp,
    /// Whether logins that were lost with their nodes have just opened it.
    is_opened: bool,
}

impl Registry {
    /// A slot, if the breaker has one to give.
    pub(in crate::registry) async fn reserve(
        &self,
        id: &MailboxId,
        knock: Knock,
        now: Timestamp,
    ) -> Result<Option<Slot>, RegistryError> {
        let mut tx = self.store.begin().await?;
        let (lost, kept_lost) = (now.plus_millis(-LOST_MILLIS), now.plus_millis(-KEPT_LOST_MILLIS));
        let Stand { epoch, refused, forgiven, tried_at, is_opened } = self.stand(&mut tx, id, lost, kept_lost).await?;
        let is_open = refused - forgiven >= BUDGET;
        let is_free = if is_open {
            knock == Knock::Anyway || tried_at.plus_millis(PROBE_MILLIS) <= now
        } else {
            let under_way = tx.row(sql::LOGIN_SLOT_COUNT, &[id.as_str().into()]).await?;
            refused - forgiven + under_way.map_or(Ok(0), |row| row.int(0))? < BUDGET
        };
        let slot = Slot {
            id: base64url(&self.entropy.bytes::<16>()),
            epoch,
            refused,
            is_doubtful: refused > forgiven,
            is_proven: false,
            reserved_at: now,
        };
        if is_free {
            tx.execute(sql::LOGIN_SLOT_ADD, &[slot.id.as_str().into(), id.as_str().into(), now.0.into()]).await?;
            tx.execute(sql::BREAKER_TRIED, &[id.as_str().into(), now.0.into()]).await?;
        }
        tx.commit().await?;
        if is_opened {
            self.set_health(id, Health::Quarantined).await?;
        }
        Ok(is_free.then_some(slot))
    }

    /// How the breaker stands, once slots that died with their node are taken out. Nobody else changes it before `tx` ends.
    async fn stand(
        &self,
        tx: &mut Tx,
        id: &MailboxId,
        lost: Timestamp,
        kept_lost: Timestamp,
    ) -> Result<Stand, RegistryError> {
        let row = tx.row(sql::BREAKER_LOCK, &[id.as_str().into()]).await?;
        let row = row.ok_or(RegistryError::Internal("a breaker is missing"))?;
        let mut stand = Stand {
            epoch: row.int(0)?,
            refused: row.int(1)?,
            forgiven: row.int(2)?,
            tried_at: Timestamp(row.int(3)?),
            is_opened: false,
        };
        tx.execute(sql::LOGIN_SLOT_LOST, &[id.as_str().into(), 1.into(), kept_lost.0.into()]).await?;
        let failed = tx.execute(sql::LOGIN_SLOT_LOST, &[id.as_str().into(), 0.into(), lost.0.into()]).await?;
        if failed > 0 {
            let failed = i64::try_from(failed).unwrap_or(i64::MAX);
            tx.row(sql::BREAKER_REFUSED, &[id.as_str().into(), stand.epoch.into(), failed.into()]).await?;
            let before = stand.refused - stand.forgiven;
            stand.refused += failed;
            stand.is_opened = before < BUDGET && before + failed >= BUDGET;
        }
        Ok(stand)
    }

    /// Takes out all slots, as this process is the only one and has just begun: whoever held one is dead.
    pub async fn clear_dead_slots(&self) -> Result<(), RegistryError> {
        let now = self.clock.now();
        for row in self.store.rows(sql::LOGIN_SLOT_MAILBOXES, &[]).await? {
            let Ok(id) = row.text(0)?.parse() else { continue };
            let mut tx = self.store.begin().await?;
            let stand = self.stand(&mut tx, &id, now, now).await?;
            tx.commit().await?;
            if stand.is_opened {
                self.set_health(&id, Health::Quarantined).await?;
            }
        }
        Ok(())
    }

    /// Notes that a login with this slot was good, for the case that its node dies while it is kept.
    pub(in crate::registry) async fn prove(&self, slot_id: &str) {
        let noted = async {
            let mut tx = self.store.begin().await?;
            tx.execute(sql::LOGIN_SLOT_PROVEN, &[slot_id.into()]).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "a good login was not noted at its slot");
        }
    }

    /// Takes a slot back whose login was refused; says how many refusals are not forgiven.
    pub(in crate::registry) async fn refused(&self, id: &MailboxId, slot: &Slot) -> Result<i64, RegistryError> {
        let mut tx = self.store.begin().await?;
        tx.row(sql::BREAKER_LOCK, &[id.as_str().into()]).await?;
        tx.execute(sql::LOGIN_SLOT_REMOVE, &[slot.id.as_str().into()]).await?;
        let row = tx.row(sql::BREAKER_REFUSED, &[id.as_str().into(), slot.epoch.into(), 1.into()]).await?;
        tx.execute(sql::BREAKER_TRIED, &[id.as_str().into(), self.clock.now().0.into()]).await?;
        tx.commit().await?;
        Ok(row.map_or(Ok(0), |row| row.int(0))?)
    }

    /// Gives a slot back; says how many refusals are not forgiven, unless the slot is of an earlier credential.
    pub(in crate::registry) async fn release(
        &self,
        id: &MailboxId,
        slot: &Slot,
        forgiven: i64,
    ) -> Result<Option<i64>, RegistryError> {
        let mut tx = self.store.begin().await?;
        tx.row(sql::BREAKER_LOCK, &[id.as_str().into()]).await?;
        tx.execute(sql::LOGIN_SLOT_REMOVE, &[slot.id.as_str().into()]).await?;
        let args = [id.as_str().into(), slot.epoch.into(), forgiven.into()];
        let row = tx.row(sql::BREAKER_FORGIVE, &args).await?;
        tx.commit().await?;
        Ok(row.map(|row| row.int(0)).transpose()?)
    }
}
