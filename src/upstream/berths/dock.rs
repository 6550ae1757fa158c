//! The berths of one mailbox and kind: who holds them, who waits, what rests.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::domain::id::ClientId;
use crate::upstream::berths::{Resting, Taken};

/// Somebody who waits for a berth.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) client: ClientId,
    pub(super) told: oneshot::Sender<Taken>,
}

/// Held and resting connections together are never more than the limit: whoever takes a berth takes what rests there with it.
#[derive(Debug, Default)]
pub(super) struct Dock {
    pub(super) held: HashMap<ClientId, usize>,
    /// In the order of their coming.
    pub(super) waiting: Vec<Waiting>,
    /// The one that came to rest last is the last.
    pub(super) resting: Vec<Resting>,
    /// How often everything that rested here was closed.
    pub(super) closings: u64,
}

impl Dock {
    fn held_by(&self, client: &ClientId) -> usize {
        self.held.get(client).copied().unwrap_or_default()
    }

    /// Whether `client` may take one now.
    pub(super) fn may_take(&self, client: &ClientId, limit: usize) -> bool {
        let free = limit.saturating_sub(self.held.values().sum());
        free > usize::from(self.held_by(client) > 0)
    }

    /// Takes the one out of the queue whose turn it is, if there is something for them.
    pub(super) fn next(&mut self, limit: usize) -> Option<Waiting> {
        self.waiting.retain(|waiting| !waiting.told.is_closed());
        let able = self.waiting.iter().enumerate().filter(|(_, waiting)| self.may_take(&waiting.client, limit));
        // Of equals the first is found.
        let (at, _) = able.min_by_key(|(_, waiting)| self.held_by(&waiting.client))?;
        Some(self.waiting.remove(at))
    }

    /// `client` holds one less.
    pub(super) fn left_by(&mut self, client: &ClientId) {
        if let Some(held) = self.held.get_mut(client) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(client);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.waiting.is_empty() && self.resting.is_empty()
    }
}
