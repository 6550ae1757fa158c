//! Who may do what: operators, mailboxes, clients and grants, and the sessions that stand on them.
//!
//! Every change is recorded in the audit log before it is made.

mod admission;
mod breaker;
mod budgets;
mod changes;
mod clients;
mod error;
mod freeze_board;
mod freezes;
mod freshness;
mod grants;
mod handles;
mod hidden;
mod keys;
mod mailboxes;
mod moment;
mod operators;
mod purse;
mod refusal;
mod replay;
mod revocations;
mod roster;
mod rows;
mod seats;
mod secret_uses;
pub mod sessions;
mod slots;
mod tokens;
mod view;
mod who_read;
#[cfg(test)]
mod who_read_tests;

#[cfg(test)]
mod breaker_tests;
#[cfg(test)]
mod budget_tests;
#[cfg(test)]
mod changes_tests;
#[cfg(test)]
mod freeze_tests;
#[cfg(test)]
mod handle_tests;
#[cfg(test)]
mod introspection_tests;
#[cfg(test)]
mod key_tests;
#[cfg(test)]
mod roster_tests;
#[cfg(test)]
mod secret_use_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod view_tests;

pub use crate::registry::admission::Admitted;
pub use crate::registry::breaker::{Knock, Verdict};
pub use crate::registry::budgets::Exhausted;
pub use crate::registry::changes::{ClientTerms, GrantTerms, Version};
pub use crate::registry::clients::{MAX_OVERLAP_SECS, NewClient};
pub use crate::registry::error::RegistryError;
pub use crate::registry::freeze_board::FreezeBoard;
pub use crate::registry::freezes::NewFreeze;
pub use crate::registry::freshness::Freshness;
pub use crate::registry::handles::HandleDigest;
pub use crate::registry::keys::Rotation;
pub use crate::registry::purse::Purse;
pub use crate::registry::refusal::LoginRule;
pub use crate::registry::revocations::TokenRef;
pub use crate::registry::seats::Seat;
pub use crate::registry::secret_uses::{SecretUse, is_safe_to_retire};
pub use crate::registry::sessions::{SessionHandle, Sessions};
pub use crate::registry::tokens::{IssuedFilter, IssuedRecord};
pub use crate::registry::view::Footing;
pub use crate::registry::who_read::{MESSAGE_ID, Reading};

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::audit::Audit;
use crate::domain::clock::Clock;
use crate::domain::entropy::Entropy;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::id::NodeId;
use crate::registry::breaker::Gates;
use crate::registry::rows::Stored;
use crate::registry::seats::Seats;
use crate::registry::secret_uses::SecretUses;
use crate::registry::view::{Forgetting, View};
use crate::store::sql::Statement;
use crate::store::value::{Row, Value};
use crate::store::{Store, Tx, sql};
use crate::upstream::berths::{Berths, Settings};
use crate::upstream::dial::Dialer;
use crate::vault::Vault;

/// A handle to the registry; cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    store: Store,
    vault: Vault,
    audit: Audit,
    dialer: Dialer,
    clock: Clock,
    entropy: Entropy,
    sessions: Sessions,
    node: NodeId,
    gates: Gates,
    seats: Seats,
    secret_uses: SecretUses,
    view: View,
    freshness: Freshness,
    berths: Berths,
    /// Where the policy counter stood, at least, when all that rested in the berths was closed last. Changes are committed one after
    /// the other: what is closed after one of them is closed for all that came before it, on whichever node they were made.
    closed_for: Arc<AtomicI64>,
}

impl Registry {
    /// Puts the registry together.
    pub fn new(store: Store, vault: Vault, audit: Audit, dialer: Dialer, clock: Clock, entropy: Entropy) -> Self {
        let node = NodeId::new(&clock, &entropy);
        let (sessions, gates, seats) = (Sessions::default(), Gates::default(), Seats::default());
        let (secret_uses, berths, closed_for) = (SecretUses::default(), Berths::default(), Arc::default());
        let (view, freshness) = (View::new(&clock), Freshness::new(&clock));
        Self {
            store,
            vault,
            audit,
            dialer,
            clock,
            entropy,
            sessions,
            node,
            gates,
            seats,
            secret_uses,
            view,
            freshness,
            berths,
            closed_for,
        }
    }

    /// The same with limits to upstream connections.
    #[must_use]
    pub fn with_berths(self, settings: Settings) -> Self {
        Self { berths: Berths::new(settings), ..self }
    }

    /// The sessions on this node.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Whether this node knows what it goes by.
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// The connections at mailboxes' upstreams.
    pub fn berths(&self) -> &Berths {
        &self.berths
    }

    /// The vault that it keeps credentials in.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// What dials for it.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Whether the store answers.
    pub async fn ready(&self) -> Result<(), RegistryError> {
        self.store.policy_epoch().await?;
        Ok(())
    }

    fn event(code: EventCode, by: &Actor) -> AuditEvent {
        AuditEvent::new(code, by.clone(), Outcome::Success)
    }

    async fn record(&self, event: AuditEvent) -> Result<(), RegistryError> {
        self.audit.record(event).await?;
        Ok(())
    }

    /// The noun in a row, and the row's MAC; a row that is not ours is recorded and refused.
    async fn trusted<T: Stored>(&self, row: &Row) -> Result<(T, Vec<u8>), RegistryError> {
        self.trusted_at(row, 0).await
    }

    /// The same where the columns begin at `from`.
    async fn trusted_at<T: Stored>(&self, row: &Row, from: usize) -> Result<(T, Vec<u8>), RegistryError> {
        if let Ok(found) = rows::read_at(row, from, self.vault.row_mac()) {
            return Ok(found);
        }
        let id = row.text(from).unwrap_or_default();
        tracing::error!(table = T::TABLE, %id, "stored row was changed by somebody else");
        let event = AuditEvent::new(EventCode::TamperingDetected, Actor::System, Outcome::Denied);
        self.record(event.detail("table", T::TABLE).detail("row", id)).await?;
        Err(RegistryError::Denied)
    }

    async fn one<T: Stored>(
        &self,
        statement: Statement,
        args: &[Value],
    ) -> Result<Option<(T, Vec<u8>)>, RegistryError> {
        match self.store.row(statement, args).await? {
            Some(row) => self.trusted(&row).await.map(Some),
            None => Ok(None),
        }
    }

    /// All rows that are ours; the others are recorded and left out.
    async fn many<T: Stored>(&self, statement: Statement, args: &[Value]) -> Result<Vec<T>, RegistryError> {
        let mut found = Vec::new();
        for row in self.store.rows(statement, args).await? {
            match self.trusted(&row).await {
                Ok((noun, _)) => found.push(noun),
                Err(RegistryError::Denied) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn add<T: Stored>(&self, tx: &mut Tx, noun: &T) -> Result<(), RegistryError> {
        tx.execute(T::ADD, &rows::write(noun, self.vault.row_mac())).await?;
        Ok(())
    }

    /// Replaces the row that carries the MAC `was`; a row that somebody else changed meanwhile is a conflict.
    async fn replace<T: Stored>(&self, tx: &mut Tx, noun: &T, was: &[u8]) -> Result<(), RegistryError> {
        let mut values = rows::write(noun, self.vault.row_mac());
        values.push(was.into());
        if tx.execute(T::SET, &values).await? == 1 {
            Ok(())
        } else {
            Err(RegistryError::Conflict("it was changed meanwhile"))
        }
    }

    /// Commits a change of policy: every node's watcher sees the counter move, and this node forgets what it has seen. It does so
    /// however this ends: a commit whose answer is lost may have been made.
    async fn commit(&self, tx: Tx) -> Result<(), RegistryError> {
        let _forgetting = Forgetting::new(&self.view, View::empty);
        let outcome = tx.commit_with(sql::EPOCH_BUMP, &[]).await;
        // What was opened under the policy before serves nobody any more, so that no kill or freeze leaves a connection behind.
        self.berths.close_all();
        if let Some(row) = outcome? {
            self.closed_for.fetch_max(row.int(0)?, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Names are 1 to 100 visible characters.
fn checked_name(name: &str) -> Result<String, RegistryError> {
    let length = name.chars().count();
    if (1..=100).contains(&length) && !name.chars().any(char::is_control) && name.trim() == name {
        Ok(name.to_owned())
    } else {
        Err(RegistryError::Invalid("a name has 1 to 100 visible characters"))
    }
}
