//! Seats: the right to have one session under a grant that limits how many there are at a time, counted in the database before the
//! session begins.
//!
//! A session leaves its seat however it ends. Each node looks through its rows every few seconds: one that no session of its own stands
//! behind is taken out, and a session whose row another node took for a dead node's ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::id::{GrantId, SessionId};
use crate::domain::session::EndReason;
use crate::registry::{Registry, RegistryError};
use crate::store::sql;

/// How often seats that were left are given back. Another node lets nobody in on them before.
const TICK: Duration = Duration::from_millis(500);
/// How many ticks pass between two looks through this node's rows.
const BEAT_TICKS: u64 = 10;
/// How many ticks pass between two sweeps of old counters.
const SWEEP_TICKS: u64 = 600;
/// A row that was not renewed for so long belongs to a dead node.
const DEAD_MILLIS: i64 = 20_000;

/// The seats of this node; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::registry) struct Seats(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    /// Whose seat is held, and whether its row is known to be there.
    held: BTreeMap<SessionId, bool>,
    /// Whose rows may still be there.
    left: Vec<SessionId>,
}

/// A session's seat; dropping it leaves it.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    id: SessionId,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut book = self.seats.lock();
        book.held.remove(&self.id);
        book.left.push(self.id.clone());
    }
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// A seat for a session that is about to begin, if fewer than `most` are taken on all nodes.
    pub async fn take_seat(&self, grant: &GrantId, id: &SessionId, most: u32) -> Result<Option<Seat>, RegistryError> {
        // Held before its row is written: a caller who stops waiting leaves no row that nobody knows of.
        self.seats.lock().held.insert(id.clone(), false);
        let seat = Seat { seats: self.seats.clone(), id: id.clone() };
        self.give_back_seats().await?;
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        tx.row(sql::BUDGET_LOCK, &[grant.as_str().into(), "sessions".into(), 0.into(), 0.into()]).await?;
        let stale = [grant.as_str().into(), now.plus_millis(-DEAD_MILLIS).0.into()];
        tx.execute(sql::SEAT_STALE, &stale).await?;
        let taken = tx.row(sql::SEAT_COUNT, &[grant.as_str().into()]).await?.map_or(Ok(0), |row| row.int(0))?;
        let is_free = taken < i64::from(most);
        if is_free {
            let args = [id.as_str().into(), grant.as_str().into(), self.node.as_str().into(), now.0.into()];
            tx.execute(sql::SEAT_ADD, &args).await?;
        }
        tx.commit().await?;
        if let Some(is_written) = self.seats.lock().held.get_mut(id) {
            *is_written = is_free;
        }
        Ok(is_free.then_some(seat))
    }

    /// How many seats are taken under a grant now. None is taken.
    pub async fn seats_taken(&self, grant: &GrantId) -> Result<u64, RegistryError> {
        let args = [grant.as_str().into(), self.clock.now().plus_millis(-DEAD_MILLIS).0.into()];
        let rows = self.store.rows(sql::SEAT_TAKEN, &args).await?;
        let ids = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
        // Those that were left here are given back before anybody asks for one.
        let book = self.seats.lock();
        let taken = ids.iter().filter(|id| !book.left.iter().any(|left| left.as_str() == id.as_str()));
        Ok(u64::try_from(taken.count()).unwrap_or(u64::MAX))
    }

    /// Gives seats back that were left on this node.
    pub async fn give_back_seats(&self) -> Result<(), RegistryError> {
        let left = std::mem::take(&mut self.seats.lock().left);
        if left.is_empty() {
            return Ok(());
        }
        let given_back = async {
            let mut tx = self.store.begin().await?;
            for id in &left {
                tx.execute(sql::SEAT_REMOVE, &[id.as_str().into()]).await?;
            }
            tx.commit().await
        };
        let outcome = given_back.await;
        if outcome.is_err() {
            self.seats.lock().left.extend(left);
        }
        Ok(outcome?)
    }

    /// Renews this node's rows, takes out those that no session stands behind, and ends sessions whose row is gone.
    pub(in crate::registry) async fn look_through_seats(&self) -> Result<(), RegistryError> {
        let before: Vec<SessionId> = {
            let book = self.seats.lock();
            book.held.iter().filter(|(_, is_written)| **is_written).map(|(id, _)| id.clone()).collect()
        };
        let node = self.node.as_str();
        let mut rows = Vec::new();
        for row in self.store.rows(sql::SEAT_OF_NODE, &[node.into()]).await? {
            rows.push(row.text(0)?);
        }
        if before.is_empty() && rows.is_empty() {
            return Ok(());
        }
        let nobodys: Vec<&String> = {
            let book = self.seats.lock();
            rows.iter().filter(|row| row.parse().is_ok_and(|id: SessionId| !book.held.contains_key(&id))).collect()
        };
        let mut tx = self.store.begin().await?;
        for row in nobodys {
            tx.execute(sql::SEAT_REMOVE, &[row.as_str().into()]).await?;
        }
        tx.execute(sql::SEAT_SEEN, &[node.into(), self.clock.now().0.into()]).await?;
        tx.commit().await?;
        let is_lost = |id: &SessionId| before.contains(id) && !rows.iter().any(|row| row == id.as_str());
        self.sessions.end_where(|info| is_lost(&info.id), EndReason::Expired);
        Ok(())
    }

    /// Takes out all rows, as this process is the only one and has just begun.
    pub async fn clear_dead_seats(&self) -> Result<(), RegistryError> {
        let mut tx = self.store.begin().await?;
        tx.execute(sql::SEAT_SWEEP, &[i64::MAX.into()]).await?;
        Ok(tx.commit().await?)
    }

    /// Takes out this node's rows, at its stop.
    pub async fn leave_seats(&self) -> Result<(), RegistryError> {
        let mut tx = self.store.begin().await?;
        tx.execute(sql::SEAT_FORGET, &[self.node.as_str().into()]).await?;
        Ok(tx.commit().await?)
    }

    /// Keeps seats and counters in order. Runs until it is dropped.
    pub async fn keep_budgets(&self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for count in 0_u64.. {
            tick.tick().await;
            if let Err(error) = self.give_back_seats().await {
                tracing::warn!(%error, "seats that sessions have left could not be given back");
            }
            if count.is_multiple_of(BEAT_TICKS)
                && let Err(error) = self.look_through_seats().await
            {
                tracing::warn!(%error, "the seats of this node's sessions could not be renewed");
            }
            if count.is_multiple_of(SWEEP_TICKS)
                && let Err(error) = self.sweep_budgets().await
            {
                tracing::warn!(%error, "counters of budgets that are over could not be forgotten");
            }
        }
    }
}
