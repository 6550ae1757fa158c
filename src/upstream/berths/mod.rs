//! Berths: the right to hold one connection at a mailbox's upstream. Upstreams count connections for each mailbox, so we do, on each node:
//! a login waits for a berth, and has it for as long as its connection is open.
//!
//! Berths are shared fairly. One that gets free goes to the waiting client that holds fewest here, and to whoever came first among those.
//! Who holds one already leaves the last free one to others: so a single greedy client never has them all, and one that asked in vain is
//! next when anybody leaves.
//!
//! A connection whose session ended in good order may rest in its berth until the next session of the mailbox takes both (`rest`).

mod dock;
mod rest;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::domain::id::{ClientId, MailboxId};
use crate::domain::mailbox::Endpoint;
use crate::upstream::berths::dock::{Dock, Waiting};

pub use crate::upstream::berths::rest::{Resting, say_goodbye};

/// Which of a mailbox's upstreams. POP3 tools are served from IMAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Reading.
    Imap,
    /// Submission.
    Smtp,
}

/// How many connections a mailbox may have at a time, and how long they rest. By default there is no limit, and nothing rests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Most connections for reading; 0: as many as are asked for.
    pub imap: usize,
    /// Most connections for submission; 0: as many as are asked for.
    pub smtp: usize,
    /// How long a connection rests at most; zero: none does.
    pub keep: Duration,
    /// How many of one kind rest for one mailbox at most.
    pub keep_most: usize,
}

impl Settings {
    fn limit(&self, kind: Kind) -> usize {
        let limit = match kind {
            Kind::Imap => self.imap,
            Kind::Smtp => self.smtp,
        };
        if limit == 0 { usize::MAX } else { limit }
    }
}

/// What a connection was logged in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Where.
    pub endpoint: Endpoint,
    /// As whom.
    pub username: String,
    /// With which version of the mailbox's credential.
    pub version: i64,
    /// When.
    pub at: Instant,
}

type Key = (MailboxId, Kind);

/// What a login got: a berth, and the connection that rested there, if one did.
pub type Taken = (Berth, Option<Resting>);

/// The berths of this node; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Berths(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    settings: Settings,
    docks: Mutex<Docks>,
}

#[derive(Debug, Default)]
struct Docks {
    of: HashMap<Key, Dock>,
    /// How many connections rest in all.
    resting: usize,
    /// How often everything that rested was closed.
    closings: u64,
}

/// The right to one connection. Dropping it gives it back.
#[derive(Debug)]
pub struct Berth {
    berths: Berths,
    key: Key,
    client: ClientId,
    /// What had been closed when it was taken: its connection rests only if nothing was since.
    closings: (u64, u64),
    login: Option<Login>,
    is_left: bool,
}

impl Berth {
    /// Notes what its connection was logged in with.
    pub fn logged_in(&mut self, login: Login) {
        self.login = Some(login);
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        if !self.is_left {
            self.berths.give_back(&self.key, &self.client);
        }
    }
}

impl Berths {
    /// Berths by these settings.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Shared { settings, docks: Mutex::default() }))
    }

    /// Waits for a berth. Who stops waiting has not been there.
    pub async fn take(&self, mailbox: &MailboxId, kind: Kind, client: &ClientId) -> Taken {
        let key = (mailbox.clone(), kind);
        let waiting = {
            let mut docks = self.lock();
            let dock = docks.of.entry(key.clone()).or_default();
            // Nobody is overtaken: whoever waits could not have had this one.
            if dock.may_take(client, self.0.settings.limit(kind)) {
                return self.hand_over(&mut docks, &key, client);
            }
            let (told, waiting) = oneshot::channel();
            dock.waiting.push(Waiting { client: client.clone(), told });
            waiting
        };
        match waiting.await {
            Ok(taken) => taken,
            // Senders are used, or their receivers are gone.
            Err(_) => std::future::pending().await,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Docks> {
        self.0.docks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a berth that is free to `client`, with the connection that came to rest last, as that is the likeliest to be alive.
    fn hand_over(&self, docks: &mut Docks, key: &Key, client: &ClientId) -> Taken {
        let dock = docks.of.entry(key.clone()).or_default();
        *dock.held.entry(client.clone()).or_default() += 1;
        let resting = dock.resting.pop();
        docks.resting -= usize::from(resting.is_some());
        let closings = (docks.closings, dock.closings);
        let (berths, key, client) = (self.clone(), key.clone(), client.clone());
        (Berth { berths, key, client, closings, login: None, is_left: false }, resting)
    }

    fn give_back(&self, key: &Key, client: &ClientId) {
        let mut docks = self.lock();
        if let Some(dock) = docks.of.get_mut(key) {
            dock.left_by(client);
        }
        let undelivered = self.serve(&mut docks, key);
        // Not under the lock: they are given back in their turn.
        drop(docks);
        drop(undelivered);
    }

    /// Hands what is free to who waits. Gives what met nobody any more.
    #[must_use]
    fn serve(&self, docks: &mut Docks, key: &Key) -> Vec<Taken> {
        let mut undelivered = Vec::new();
        while let Some(next) = docks.of.get_mut(key).and_then(|dock| dock.next(self.0.settings.limit(key.1))) {
            let taken = self.hand_over(docks, key, &next.client);
            undelivered.extend(next.told.send(taken).err());
        }
        if docks.of.get(key).is_some_and(Dock::is_empty) {
            docks.of.remove(key);
        }
        undelivered
    }
}
