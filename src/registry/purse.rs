//! A session's purse: what it has taken off its grant's counters and not used yet. Things that come in great numbers are taken a few at a
//! time, so that not each of them costs a transaction; what is left goes back at the session's end, and with a node that dies it counts
//! as used. What a way to the database needs is in a box: each command of a session comes past here, and few of them go that way.

use std::collections::BTreeMap;

use crate::domain::bounds::Bounds;
use crate::domain::budget::{Allowance, Budgeted, Budgets, Span};
use crate::domain::clock::Timestamp;
use crate::domain::session::SessionInfo;
use crate::registry::budgets::{Exhausted, signed};
use crate::registry::{Registry, RegistryError};

/// What a session may use up, and what it has at hand.
#[derive(Debug)]
pub struct Purse {
    budgets: Budgets,
    at_hand: BTreeMap<Budgeted, Taken>,
}

/// Taken, and not used yet.
#[derive(Clone, Copy, Debug)]
struct Taken {
    left: u64,
    /// When: it is good for the hour and the day of that time.
    at: Timestamp,
}

/// How many are taken ahead at most. What may do harm at once is taken one by one.
fn ahead(what: Budgeted) -> u64 {
    match what {
        Budgeted::MessagesSent | Budgeted::Recipients | Budgeted::Folders => 0,
        Budgeted::MessagesRead => 32,
        Budgeted::Bytes => 4 << 20,
    }
}

impl Purse {
    /// An empty one.
    pub fn of(bounds: &Bounds) -> Self {
        Self { budgets: bounds.budgets.unwrap_or_default(), at_hand: BTreeMap::new() }
    }

    /// Whether anything has to be counted.
    pub fn is_counted(&self) -> bool {
        self.budgets.is_counted()
    }

    fn limited(&self, what: Budgeted) -> Option<(Budgeted, Allowance)> {
        let allowance = self.budgets.of(what);
        allowance.is_limit().then_some((what, allowance))
    }

    fn left(&self, what: Budgeted) -> u64 {
        self.at_hand.get(&what).map_or(0, |taken| taken.left)
    }

    fn use_up(&mut self, what: Budgeted, amount: u64) {
        if let Some(taken) = self.at_hand.get_mut(&what) {
            taken.left = taken.left.saturating_sub(amount);
        }
    }
}

impl Registry {
    /// Takes `amount` for what is about to be done.
    pub async fn take(
        &self,
        info: &SessionInfo,
        purse: &mut Purse,
        what: Budgeted,
        amount: u64,
    ) -> Result<Result<(), Exhausted>, RegistryError> {
        let reached = self.reach(info, purse, what, amount).await?;
        if reached.is_ok() {
            purse.use_up(what, amount);
        }
        Ok(reached)
    }

    /// Sees to it that `amount` is at hand, without using it.
    pub async fn reach(
        &self,
        info: &SessionInfo,
        purse: &mut Purse,
        what: Budgeted,
        amount: u64,
    ) -> Result<Result<(), Exhausted>, RegistryError> {
        let Some(limited) = purse.limited(what) else { return Ok(Ok(())) };
        let now = self.clock.now();
        if let Some(old) = purse.at_hand.get(&what).copied()
            && Span::ALL.iter().any(|span| span.begin(old.at) != span.begin(now))
        {
            purse.at_hand.remove(&what);
            if old.left > 0 {
                Box::pin(self.count(&info.grant_id, limited, -signed(old.left), old.at)).await?;
            }
        }
        let left = purse.left(what);
        if left < amount {
            let drawn = self.draw(info, limited, (amount - left, ahead(what)), now, purse.budgets.freeze());
            match Box::pin(drawn).await? {
                Ok(drawn) => purse.at_hand.insert(what, Taken { left: left.saturating_add(drawn), at: now }),
                Err(exhausted) => return Ok(Err(exhausted)),
            };
        }
        Ok(Ok(()))
    }

    /// Notes what was used without having been asked for: all of it counts, also what the budget does not hold.
    pub async fn used(
        &self,
        info: &SessionInfo,
        purse: &mut Purse,
        what: Budgeted,
        amount: u64,
    ) -> Result<(), RegistryError> {
        let Some(limited) = purse.limited(what) else { return Ok(()) };
        let beyond = amount.saturating_sub(purse.left(what));
        purse.use_up(what, amount);
        if beyond > 0 {
            Box::pin(self.count(&info.grant_id, limited, signed(beyond), self.clock.now())).await?;
        }
        Ok(())
    }

    /// Puts back what was taken last for something that did not happen.
    pub async fn put_back(
        &self,
        info: &SessionInfo,
        purse: &mut Purse,
        what: Budgeted,
        amount: u64,
    ) -> Result<(), RegistryError> {
        let (Some(limited), Some(taken)) = (purse.limited(what), purse.at_hand.get(&what)) else { return Ok(()) };
        Box::pin(self.count(&info.grant_id, limited, -signed(amount), taken.at)).await
    }

    /// Counts a folder that is about to be opened, unless it was counted before in this hour and day.
    pub async fn take_folder(
        &self,
        info: &SessionInfo,
        purse: &mut Purse,
        folder: &str,
    ) -> Result<Result<(), Exhausted>, RegistryError> {
        let Some((_, allowance)) = purse.limited(Budgeted::Folders) else { return Ok(Ok(())) };
        Box::pin(self.draw_folder(info, allowance, folder, self.clock.now(), purse.budgets.freeze())).await
    }

    /// Puts everything back that is left at the end of a session.
    pub async fn empty_purse(&self, info: &SessionInfo, purse: &mut Purse) -> Result<(), RegistryError> {
        while let Some((what, taken)) = purse.at_hand.pop_first() {
            if let Some(limited) = purse.limited(what).filter(|_| taken.left > 0) {
                Box::pin(self.count(&info.grant_id, limited, -signed(taken.left), taken.at)).await?;
            }
        }
        Ok(())
    }
}
