//! The view: rows that were read, and found to be ours, a moment ago, so that a busy tool does not ask the database for every token,
//! nor a busy resource for every introspection.
//!
//! It says yes and never no. Rows are kept, not verdicts: status, ends, revocation times and bounds are judged anew at every use, and
//! whatever would be refused by the view is judged again by rows read at that moment. So nothing that was just allowed is refused, on
//! whichever node it was allowed, and what was just withdrawn is refused at once on the node that withdrew it (each commit of a change
//! empties the view) and within [`MAX_AGE`] on every other (TOK-17). Rows that are not ours and answers that did not come are not kept.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turns, MutexGuard as Turn};

use crate::domain::address::MailAddress;
use crate::domain::client::{Client, ClientSecretRecord};
use crate::domain::clock::Clock;
use crate::domain::grant::Grant;
use crate::domain::id::ClientId;
use crate::domain::mailbox::Mailbox;
use crate::registry::freeze_board::FreezeBoard;

/// How long rows count after the moment before they were asked for. A quarter of what a revocation may take to reach every node.
pub(in crate::registry) const MAX_AGE: Duration = Duration::from_millis(250);
/// Most entries of each kind. One CPU issues no more tokens than this within a few times [`MAX_AGE`].
const MAX_ENTRIES: usize = 1024;

/// A client and its secrets.
pub(in crate::registry) type Proof = (Client, Vec<ClientSecretRecord>);
/// A client, a mailbox, and the client's grant on it.
pub type Footing = (Client, Mailbox, Grant);
/// A client's grants, and the mailbox that it means when it names none.
pub(in crate::registry) type Meant = (Vec<Grant>, Mailbox);
/// The `jti` of all tokens that were revoked by themselves and would be taken otherwise; `None`: too many to keep.
pub(in crate::registry) type Revoked = Option<HashSet<String>>;

/// What one node has seen; shared by all handles to its registry.
#[derive(Clone, Debug)]
pub(in crate::registry) struct View(Arc<Shelves>);

#[derive(Debug)]
struct Shelves {
    proofs: Shelf<ClientId, Proof>,
    standings: Shelf<(ClientId, MailAddress), Footing>,
    meant: Shelf<ClientId, Meant>,
    revoked: Shelf<(), Revoked>,
    reading_revoked: Turns<()>,
    freezes: FreezeBoard,
}

impl View {
    pub(in crate::registry) fn new(clock: &Clock) -> Self {
        let (proofs, standings, meant) = (Shelf::new(clock), Shelf::new(clock), Shelf::new(clock));
        let (revoked, reading_revoked) = (Shelf::new(clock), Turns::default());
        let freezes = FreezeBoard::new(clock);
        Self(Arc::new(Shelves { proofs, standings, meant, revoked, reading_revoked, freezes }))
    }

    pub(in crate::registry) fn proofs(&self) -> &Shelf<ClientId, Proof> {
        &self.0.proofs
    }

    pub(in crate::registry) fn standings(&self) -> &Shelf<(ClientId, MailAddress), Footing> {
        &self.0.standings
    }

    pub(in crate::registry) fn meant(&self) -> &Shelf<ClientId, Meant> {
        &self.0.meant
    }

    pub(in crate::registry) fn freezes(&self) -> &FreezeBoard {
        &self.0.freezes
    }

    pub(in crate::registry) fn revoked(&self) -> &Shelf<(), Revoked> {
        &self.0.revoked
    }

    /// To be had while all revoked tokens are read: the others who want them wait instead of reading the same.
    pub(in crate::registry) async fn turn_to_read_revoked(&self) -> Turn<'_, ()> {
        self.0.reading_revoked.lock().await
    }

    /// Forgets everything that a change of policy may have changed, also what is being read now.
    pub(in crate::registry) fn empty(&self) {
        self.0.proofs.empty();
        self.0.standings.empty();
        self.0.meant.empty();
        self.0.freezes.expire();
    }

    /// The same when a token was revoked: busy tools revoke one after the other, and need not read all else anew for that.
    pub(in crate::registry) fn empty_revoked(&self) {
        self.0.revoked.empty();
    }
}

/// Forgets when it goes, so that a caller who stops waiting for a commit changes nothing.
pub(in crate::registry) struct Forgetting<'a> {
    view: &'a View,
    forget: fn(&View),
}

impl<'a> Forgetting<'a> {
    pub(in crate::registry) fn new(view: &'a View, forget: fn(&View)) -> Self {
        Self { view, forget }
    }
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        (self.forget)(self.view);
    }
}

/// Entries of one kind.
#[derive(Debug)]
pub(in crate::registry) struct Shelf<K, V> {
    clock: Clock,
    kept: Mutex<Kept<K, V>>,
}

#[derive(Debug)]
struct Kept<K, V> {
    /// How often it was emptied.
    generation: u64,
    entries: HashMap<K, (Duration, Arc<V>)>,
}

/// Taken before rows are read: dates them, and ties them to what was committed until then.
#[derive(Debug)]
pub(in crate::registry) struct Ticket {
    at: Duration,
    generation: u64,
}

impl<K: Eq + Hash, V> Shelf<K, V> {
    fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), kept: Mutex::new(Kept { generation: 0, entries: HashMap::new() }) }
    }

    /// What was seen under exactly this key, if that is not too long ago.
    pub(in crate::registry) fn find(&self, key: &K) -> Option<Arc<V>> {
        let now = self.clock.elapsed();
        let kept = self.lock();
        kept.entries.get(key).filter(|(at, _)| is_fresh(*at, now)).map(|(_, value)| Arc::clone(value))
    }

    /// To be taken before the database is asked.
    pub(in crate::registry) fn ticket(&self) -> Ticket {
        Ticket { generation: self.lock().generation, at: self.clock.elapsed() }
    }

    /// Keeps what the database said after the ticket was taken, unless something was committed meanwhile.
    pub(in crate::registry) fn keep(&self, ticket: &Ticket, key: K, value: &Arc<V>) {
        let now = self.clock.elapsed();
        let mut kept = self.lock();
        if kept.generation != ticket.generation {
            return;
        }
        if kept.entries.len() >= MAX_ENTRIES {
            kept.entries.retain(|_, (at, _)| is_fresh(*at, now));
            if kept.entries.len() >= MAX_ENTRIES {
                kept.entries.clear();
            }
        }
        kept.entries.insert(key, (ticket.at, Arc::clone(value)));
    }

    fn empty(&self) {
        let mut kept = self.lock();
        kept.generation += 1;
        kept.entries.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Kept<K, V>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(at: Duration, now: Duration) -> bool {
    now.checked_sub(at).is_some_and(|age| age < MAX_AGE)
}

#[cfg(test)]
mod tests {
    use super::{MAX_ENTRIES, Shelf};
    use crate::domain::clock::{Clock, Timestamp};

    const MILLIS: i64 = 250;

    fn shelf() -> (Shelf<usize, usize>, Clock) {
        let clock = Clock::manual(Timestamp(1_800_000_000_000));
        (Shelf::new(&clock), clock)
    }

    #[test]
    fn an_entry_ages_from_before_it_was_read() {
        let (shelf, clock) = shelf();
        let ticket = shelf.ticket();
        clock.advance(MILLIS - 1);
        shelf.keep(&ticket, 1, &10.into());
        assert_eq!(shelf.find(&1).as_deref(), Some(&10));
        clock.advance(1);
        assert_eq!(shelf.find(&1), None);
    }

    #[test]
    fn an_entry_from_the_future_is_not_taken() {
        let (shelf, clock) = shelf();
        shelf.keep(&shelf.ticket(), 1, &10.into());
        clock.advance(-1);
        assert_eq!(shelf.find(&1), None);
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let (shelf, _) = shelf();
        shelf.keep(&shelf.ticket(), 1, &10.into());
        let ticket = shelf.ticket();
        shelf.empty();
        assert_eq!(shelf.find(&1), None);
        shelf.keep(&ticket, 1, &10.into());
        assert_eq!(shelf.find(&1), None);
        shelf.keep(&shelf.ticket(), 1, &11.into());
        assert_eq!(shelf.find(&1).as_deref(), Some(&11));
    }

    #[test]
    fn it_holds_a_bounded_number_and_drops_the_stale_first() {
        let (shelf, clock) = shelf();
        for key in 0..MAX_ENTRIES / 2 {
            shelf.keep(&shelf.ticket(), key, &key.into());
        }
        clock.advance(MILLIS);
        for key in MAX_ENTRIES / 2..=MAX_ENTRIES {
            shelf.keep(&shelf.ticket(), key, &key.into());
        }
        assert!((MAX_ENTRIES / 2..=MAX_ENTRIES).all(|key| shelf.find(&key).is_some()), "the fresh ones stay");
        for key in 0..MAX_ENTRIES * 5 {
            shelf.keep(&shelf.ticket(), key, &key.into());
            assert!(shelf.lock().entries.len() <= MAX_ENTRIES);
            assert_eq!(shelf.find(&key).as_deref(), Some(&key));
        }
    }
}
