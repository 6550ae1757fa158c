//! The breaker that keeps us from locking an upstream account (UP-08). Per mailbox, refusals since the last good login plus logins
//! under way are three at most, on all nodes together: whatever the order in which they end, the upstream never sees a fourth wrong
//! password. After the third refusal one login in ten minutes is tried.
//!
//! A login needs a slot, which is counted in the database before the login begins. A node keeps a slot for the next login while the
//! upstream takes them, so that a healthy mailbox costs no write per login.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::domain::clock::Timestamp;
use crate::domain::id::MailboxId;
use crate::domain::mailbox::Health;
use crate::registry::slots::{BUDGET, Slot};
use crate::registry::{Registry, RegistryError};
use crate::store::sql;

/// For so long after that its node leaves it to the others.
const YIELD_MILLIS: i64 = 200;
/// A slot goes back too when nobody used it between two looks.
const SWEEP: Duration = Duration::from_millis(500);
/// How often a slot is asked for while others have them all, and how long at most.
const POLL: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(45);

/// What the upstream said about our credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It let us in.
    Accepted,
    /// It refused user name or password.
    Refused,
    /// Neither: it was not reached, or had other trouble.
    Unclear,
}

/// Whether an open breaker is obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knock {
    /// Yes: a tool wants in.
    Politely,
    /// No: an operator asks for this very login.
    Anyway,
}

/// One mailbox's slots on this node.
#[derive(Debug)]
struct Gate {
    logins: Arc<Semaphore>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    slots: Vec<Slot>,
    /// Whether the kept slots were left alone since the last look.
    is_idle: bool,
    is_swept: bool,
    yields_until: Timestamp,
}

/// The gates of this node; one for every mailbox that was logged in to.
#[derive(Clone, Debug, Default)]
pub(in crate::registry) struct Gates(Arc<Mutex<HashMap<MailboxId, Arc<Gate>>>>);

impl Gates {
    fn of(&self, id: &MailboxId) -> Arc<Gate> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Gate { logins: Arc::new(Semaphore::new(3)), kept: Mutex::default() });
        Arc::clone(gates.entry(id.clone()).or_insert_with(new))
    }
}

impl Gate {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kept slot that is still young.
    fn reuse(&self, now: Timestamp) -> Option<Slot> {
        let mut kept = self.kept();
        let at = kept.slots.iter().position(|slot| !slot.is_old(now))?;
        kept.is_idle = false;
        Some(kept.slots.swap_remove(at))
    }
}

impl Registry {
    /// Runs a login when the breaker allows one, and tells the breaker how it went. Goes on when the caller goes away.
    pub async fn guarded<T: Send + 'static>(
        &self,
        id: &MailboxId,
        knock: Knock,
        login: impl Future<Output = (T, Verdict)> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let (registry, id) = (self.clone(), id.clone());
        let task = tokio::spawn(async move {
            let gate = registry.gates.of(&id);
            let full = RegistryError::Conflict("too many logins at this mailbox are under way");
            let waiting = async {
                let turn = Arc::clone(&gate.logins).acquire_owned().await;
                let turn = turn.map_err(|_| RegistryError::Internal("a gate was closed"))?;
                Ok::<_, RegistryError>((turn, registry.slot(&gate, &id, knock).await?))
            };
            let (turn, slot) = tokio::time::timeout(PATIENCE, waiting).await.map_err(|_| full)??;
            let (outcome, verdict) = login.await;
            if let Err(error) = registry.settle(&gate, &id, slot, verdict).await {
                tracing::error!(%error, mailbox = %id, "the breaker could not be told of a login");
            }
            drop(turn);
            Ok(outcome)
        });
        task.await.map_err(|_| RegistryError::Internal("a login failed"))?
    }

    /// A proven new credential is in place: what was said about the old one does not count any more.
    pub(in crate::registry) async fn reset_breaker(&self, id: &MailboxId) -> Result<(), RegistryError> {
        let mut tx = self.store.begin().await?;
        tx.row(sql::BREAKER_LOCK, &[id.as_str().into()]).await?;
        tx.execute(sql::BREAKER_RESET, &[id.as_str().into()]).await?;
        tx.execute(sql::LOGIN_SLOT_CLEAR, &[id.as_str().into()]).await?;
        tx.commit().await?;
        self.gates.of(id).kept().slots.clear();
        self.berths.close(id);
        self.set_health(id, Health::Good).await
    }

    async fn slot(&self, gate: &Gate, id: &MailboxId, knock: Knock) -> Result<Slot, RegistryError> {
        loop {
            let now = self.clock.now();
            if let Some(slot) = gate.reuse(now) {
                return Ok(slot);
            }
            if now >= gate.kept().yields_until {
                if let Some(slot) = self.reserve(id, knock, now).await? {
                    return Ok(slot);
                }
                let strikes = self.store.row(sql::BREAKER_STRIKES, &[id.as_str().into()]).await?;
                if knock == Knock::Politely && strikes.map_or(Ok(0), |row| row.int(0))? >= BUDGET {
                    return Err(RegistryError::Conflict(
                        "the upstream refused this credential too often; set a new one or wait",
                    ));
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn settle(
        &self,
        gate: &Arc<Gate>,
        id: &MailboxId,
        slot: Slot,
        verdict: Verdict,
    ) -> Result<(), RegistryError> {
        match verdict {
            Verdict::Accepted if !slot.is_doubtful => {
                self.keep(gate, id, slot);
                Ok(())
            }
            Verdict::Accepted => {
                let strikes = self.release(id, &slot, slot.refused).await?;
                if strikes.is_some_and(|strikes| strikes < BUDGET) {
                    self.set_health(id, Health::Good).await?;
                }
                Ok(())
            }
            Verdict::Unclear => self.release(id, &slot, 0).await.map(drop),
            Verdict::Refused => {
                self.berths.close(id);
                if self.refused(id, &slot).await? >= BUDGET {
                    self.set_health(id, Health::Quarantined).await?;
                }
                Ok(())
            }
        }
    }

    fn keep(&self, gate: &Arc<Gate>, id: &MailboxId, mut slot: Slot) {
        if !std::mem::replace(&mut slot.is_proven, true) {
            let (registry, slot_id) = (self.clone(), slot.id.clone());
            tokio::spawn(async move { registry.prove(&slot_id).await });
        }
        let mut kept = gate.kept();
        kept.slots.push(slot);
        kept.is_idle = false;
        if std::mem::replace(&mut kept.is_swept, true) {
            return;
        }
        let (registry, gate, id) = (self.clone(), Arc::clone(gate), id.clone());
        tokio::spawn(async move { registry.sweep(&gate, &id).await });
    }

    /// Gives kept slots back when they are old or nobody wants them; ends when none is left.
    async fn sweep(&self, gate: &Gate, id: &MailboxId) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = self.clock.now();
            let (due, is_last) = {
                let mut kept = gate.kept();
                let is_idle = std::mem::replace(&mut kept.is_idle, true);
                let due: Vec<Slot> = kept.slots.extract_if(.., |slot| is_idle || slot.is_old(now)).collect();
                if !due.is_empty() && !is_idle {
                    kept.yields_until = now.plus_millis(YIELD_MILLIS);
                }
                kept.is_swept = !kept.slots.is_empty();
                (due, !kept.is_swept)
            };
            for slot in due {
                if let Err(error) = self.release(id, &slot, 0).await {
                    tracing::warn!(%error, mailbox = %id, "a slot of the breaker was not given back");
                }
            }
            if is_last {
                return;
            }
        }
    }
}
