//! Whether this node knows what it goes by (RL-3, RL-19). What it has read of grants, freezes and revocations is as old as its last pass
//! over them. A node that cannot reach its database hears of no revocation: at first it lets nobody in and does nothing more for the
//! sessions that run, and then it ends them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::clock::Clock;

/// How old what was read may be for anything to be done by it.
const DOUBT: Duration = Duration::from_secs(10);
/// How old it may be for a session to go on.
const END: Duration = Duration::from_secs(30);

/// What one node knows of the age of what it goes by; cheap to clone.
#[derive(Clone, Debug)]
pub struct Freshness(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    last: Mutex<Last>,
}

/// The last good pass.
#[derive(Debug)]
struct Last {
    /// When it began, by the clock that nobody sets.
    at: Duration,
    /// Whether the one under way has read all but the grants of the sessions so far.
    goes_on: bool,
}

impl Freshness {
    pub(in crate::registry) fn new(clock: &Clock) -> Self {
        let last = Mutex::new(Last { at: clock.elapsed(), goes_on: false });
        Self(Arc::new(Shared { clock: clock.clone(), last }))
    }

    /// Whether anything may be done by what was read.
    pub fn is_fresh(&self) -> bool {
        self.age() < DOUBT
    }

    /// Whether even the sessions that run have to end.
    pub(in crate::registry) fn is_lost(&self) -> bool {
        self.age() >= END
    }

    fn age(&self) -> Duration {
        self.0.clock.elapsed().saturating_sub(self.lock().at)
    }

    /// A pass begins. Gives its time.
    pub(in crate::registry) fn begin(&self) -> Duration {
        self.lock().goes_on = false;
        self.0.clock.elapsed()
    }

    /// Freezes and revocations were read: the grants of many sessions are next, which takes its time where all have to be read.
    pub(in crate::registry) fn go_on(&self) {
        self.lock().goes_on = true;
    }

    /// One of those was read now.
    pub(in crate::registry) fn answered(&self) {
        let now = self.0.clock.elapsed();
        let mut last = self.lock();
        if last.goes_on {
            last.at = now;
        }
    }

    /// The pass that began at `began`, by the clock that nobody sets, has read everything.
    pub fn prove(&self, began: Duration) {
        let mut last = self.lock();
        last.at = last.at.max(began);
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Freshness;
    use crate::domain::clock::{Clock, Timestamp};

    #[test]
    fn rl_19_what_was_read_is_good_for_ten_seconds_and_sessions_live_for_thirty() {
        let clock = Clock::manual(Timestamp(1_000_000));
        let freshness = Freshness::new(&clock);
        let states = |millis| {
            clock.advance(millis);
            (freshness.is_fresh(), freshness.is_lost())
        };
        assert_eq!(
            [states(9_999), states(1), states(19_999), states(1)].map(|state| (state.0, state.1)),
            [(true, false), (false, false), (false, false), (false, true),]
        );
        // A pass counts from its beginning.
        let began = freshness.begin();
        assert_eq!(states(4_000), (false, true));
        freshness.prove(began);
        assert_eq!(states(5_999), (true, false));
        assert_eq!(states(1), (false, false));
        // One that is answered goes on, if what comes first was read.
        let began = freshness.begin();
        freshness.answered();
        assert_eq!(states(0), (false, false));
        freshness.go_on();
        freshness.answered();
        assert_eq!(states(9_000), (true, false));
        // What was proven is not unsaid.
        freshness.prove(began);
        assert_eq!(states(999), (true, false));
        assert_eq!(freshness.age(), Duration::from_millis(9_999));
    }
}
