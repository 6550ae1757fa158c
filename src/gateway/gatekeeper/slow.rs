//! Networks from which logins fail. Past the free failures of a network nothing that comes from there is looked at until it has waited, a
//! good token no more than a bad one, as at the token endpoint. What is turned away so is on record once for each wait, with how many
//! there were: strangers write no more of the audit log than that, which must never be full. What cannot be read is no guess, and a tool
//! that has to come later no stranger: they slow nobody down, and have records of their own as long as there are few.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::fault::Fault;
use crate::domain::id::VerdictId;
use crate::domain::throttle::{Throttle, network};
use crate::gateway::gatekeeper::{Gatekeeper, Refusal};

/// The rule of what was turned away without a look, or without a record of its own.
const RULE: &str = "slowed";

/// Why logins of a network have no records of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Why {
    /// Too many failed there: they are not looked at.
    Failures,
    /// They cannot be read.
    Unread,
    /// Their tokens are good, and a freeze or budget keeps them out.
    Later,
}

impl Why {
    fn reason(self) -> &'static str {
        match self {
            Self::Failures => "too many logins failed from this network",
            Self::Unread => "many logins of this network cannot be read",
            Self::Later => "a freeze or a budget keeps out the tools of this network, which come again and again",
        }
    }
}

/// What a node knows of failed logins.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Logins that were refused.
    refused: Throttle,
    /// Records of what could not be read.
    unread: Throttle,
    /// Records of tools that a freeze or budget keeps out.
    later: Throttle,
    /// How many have no record yet.
    untold: Mutex<HashMap<(IpAddr, Why), u64>>,
}

impl Failures {
    fn untold(&self) -> MutexGuard<'_, HashMap<(IpAddr, Why), u64>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gatekeeper {
    /// What a network hears that has to wait.
    pub(super) fn slowed(&self, source: IpAddr) -> Option<Refusal> {
        let wait = self.1.refused.must_wait(source, self.0.clock.now())?;
        Some(self.too_many(source, wait))
    }

    /// Counts a failure before it costs a record. Of many that came at once, those past the limit cost none.
    pub(super) fn count_failure(&self, source: IpAddr) -> Result<(), Refusal> {
        self.1.refused.count(source, self.0.clock.now()).map_err(|wait| self.too_many(source, wait))
    }

    /// Whether what could not be read is recorded by itself.
    pub(super) fn records_unread(&self, source: IpAddr) -> bool {
        let counted = self.1.unread.count(source, self.0.clock.now());
        counted.inspect_err(|wait| self.note(source, Why::Unread, *wait)).is_ok()
    }

    /// Whether a good login that has to come later is recorded by itself.
    pub(super) fn records_later(&self, source: IpAddr) -> bool {
        let counted = self.1.later.count(source, self.0.clock.now());
        counted.inspect_err(|wait| self.note(source, Why::Later, *wait)).is_ok()
    }

    /// A login was good: a network whose tools come in is not slowed by the odd one that does not.
    pub(super) fn forgive(&self, source: IpAddr) {
        self.1.refused.forgive(source);
    }

    fn too_many(&self, source: IpAddr, wait: u64) -> Refusal {
        self.note(source, Why::Failures, wait);
        let text = "too many logins failed from your network, try again later".to_owned();
        Refusal { fault: Fault::Throttled, text, is_last: true }
    }

    /// Counts one that has no record of its own. The first of a wait sees to it that they have one together.
    fn note(&self, source: IpAddr, why: Why, wait: u64) {
        let key = (network(source), why);
        let mut untold = self.1.untold();
        let count = untold.entry(key).or_insert(0);
        *count += 1;
        if *count > 1 {
            return;
        }
        drop(untold);
        let keeper = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(wait)).await;
            let Some(count) = keeper.1.untold().remove(&key) else { return };
            let event = AuditEvent::new(EventCode::LoginRefused, Actor::Anonymous, Outcome::Denied)
                .verdict(&VerdictId::new(&keeper.0.clock, &keeper.0.entropy))
                .source(source)
                .detail("asked", "login")
                .detail("rule", RULE)
                .detail("reason", why.reason())
                .detail("count", count.to_string());
            // It is logged when it fails.
            let _ = keeper.record(event).await;
        });
    }
}
