//! Connections at rest: logged in, with nothing open and nothing under way. Each was proven clean by whoever brought it; here it is seen to
//! that none rests too long or outlives what it was opened under, and that none is handed on that is not alive.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::domain::id::MailboxId;
use crate::upstream::berths::{Berths, Docks, Kind, Login};
use crate::upstream::wire::Wire;
use crate::upstream::{imap, smtp};

/// Most connections that rest on this node.
const MOST: usize = 1024;
/// So long after its login a connection rests no more: that the upstream takes the credential is proven anew now and then.
const MAX_AGE: Duration = Duration::from_secs(600);
/// One that rested for longer is asked whether it is alive: an upstream, or something between, may have forgotten it without a word.
const SHORT: Duration = Duration::from_secs(2);
/// How long the answer may take. A new login would not take much longer.
const ANSWER: Duration = Duration::from_secs(2);
/// How long the upstream may take to hear our goodbye.
const GOODBYE: Duration = Duration::from_millis(200);
/// How often is looked for those that have rested long enough.
const TICK: Duration = Duration::from_secs(1);

/// A connection at rest.
#[derive(Debug)]
pub struct Resting {
    /// The connection.
    pub wire: Wire,
    /// What its upstream can do, as it said after the login.
    pub abilities: Vec<String>,
    /// What it was logged in with.
    pub login: Login,
    since: Instant,
}

impl Resting {
    /// Whether the upstream is there, has said nothing unasked, and answers where that is in doubt. `tag` is one that it cannot foresee.
    pub async fn is_alive(&mut self, kind: Kind, tag: &str) -> bool {
        if !is_quiet(&mut self.wire) {
            return false;
        }
        if self.since.elapsed() < SHORT {
            return true;
        }
        let answers = async {
            match kind {
                Kind::Imap => imap::noop(&mut self.wire, tag).await,
                Kind::Smtp => smtp::noop(&mut self.wire).await,
            }
        };
        timeout(ANSWER, answers).await.is_ok_and(|is_good| is_good) && is_quiet(&mut self.wire)
    }

    fn is_due(&self, keep: Duration) -> bool {
        self.since.elapsed() >= keep || self.login.at.elapsed() >= MAX_AGE
    }
}

/// Whether the peer is there, and nothing is on the way in either direction. Does not wait.
fn is_quiet(wire: &mut Wire) -> bool {
    wire.is_idle() && pin!(wire.fill()).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// Takes leave of an upstream, which has a moment to hear it.
pub async fn say_goodbye(kind: Kind, mut wire: Wire) {
    let word: &[u8] = match kind {
        Kind::Imap => b"w9 LOGOUT\r\n",
        Kind::Smtp => b"QUIT\r\n",
    };
    let _ = timeout(GOODBYE, wire.send(word)).await;
}

impl Berths {
    /// Whether connections rest at all.
    pub fn keeps(&self) -> bool {
        !self.0.settings.keep.is_zero()
    }

    /// Lets a connection rest in its berth. It is given back when it may not.
    pub fn rest(&self, mut wire: Wire, abilities: Vec<String>) -> Option<Wire> {
        if !is_quiet(&mut wire) {
            return Some(wire);
        }
        let Some(mut berth) = wire.leave_berth() else { return Some(wire) };
        let settings = &self.0.settings;
        let mut docks = self.lock();
        let Docks { of, resting, closings } = &mut *docks;
        let dock = of.get_mut(&berth.key).filter(|dock| {
            (*closings, dock.closings) == berth.closings && dock.resting.len() < settings.keep_most && *resting < MOST
        });
        let login = berth.login.take().filter(|login| login.at.elapsed() < MAX_AGE && self.keeps());
        let (Some(dock), Some(login)) = (dock, login) else {
            drop(docks);
            wire.take_berth(*berth);
            return Some(wire);
        };
        dock.left_by(&berth.client);
        dock.resting.push(Resting { wire, abilities, login, since: Instant::now() });
        *resting += 1;
        berth.is_left = true;
        let undelivered = self.serve(&mut docks, &berth.key);
        drop(docks);
        drop(undelivered);
        None
    }

    /// Closes what rests for this mailbox, and lets none rest that is in use now.
    pub fn close(&self, mailbox: &MailboxId) {
        let mut docks = self.lock();
        let mut closed = Vec::new();
        for kind in [Kind::Imap, Kind::Smtp] {
            let key = (mailbox.clone(), kind);
            let Some(dock) = docks.of.get_mut(&key) else { continue };
            dock.closings += 1;
            let resting = std::mem::take(&mut dock.resting);
            docks.resting -= resting.len();
            closed.push((resting, self.serve(&mut docks, &key)));
        }
        drop(docks);
    }

    /// The same for all mailboxes: what was opened under another policy serves nobody any more.
    pub fn close_all(&self) {
        drop(self.take_out(|_| true, true));
    }

    /// Takes leave of all connections at rest, at the stop.
    pub async fn leave(&self) {
        let leaving = self.take_out(|_| true, true).into_iter().map(|(kind, rested)| say_goodbye(kind, rested.wire));
        let all = leaving.map(tokio::spawn).collect::<Vec<_>>();
        for one in all {
            let _ = one.await;
        }
    }

    /// Takes leave of connections that have rested long enough, and lets go of those that their upstream has left. Runs until it is dropped.
    pub async fn look_after(&self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let keep = self.0.settings.keep;
            for (kind, rested) in self.take_out(|rested| rested.is_due(keep) || !is_quiet(&mut rested.wire), false) {
                tokio::spawn(say_goodbye(kind, rested.wire));
            }
        }
    }

    /// Takes out what `chosen` picks of all that rests; `is_closing`: and lets none rest that is in use now.
    fn take_out(&self, mut chosen: impl FnMut(&mut Resting) -> bool, is_closing: bool) -> Vec<(Kind, Resting)> {
        let mut docks = self.lock();
        docks.closings += u64::from(is_closing);
        let (mut found, mut keys) = (Vec::new(), Vec::new());
        for (key, dock) in &mut docks.of {
            let before = found.len();
            found.extend(dock.resting.extract_if(.., &mut chosen).map(|rested| (key.1, rested)));
            if found.len() > before {
                keys.push(key.clone());
            }
        }
        docks.resting -= found.len();
        let undelivered: Vec<_> = keys.iter().flat_map(|key| self.serve(&mut docks, key)).collect();
        drop(docks);
        drop(undelivered);
        found
    }
}
