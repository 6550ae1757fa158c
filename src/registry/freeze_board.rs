//! The board: the freezes that this node knows of, where its running sessions look before every command.
//!
//! Each reading of the table takes a ticket first, and what a later ticket has read is never replaced by what an earlier one did: so a
//! freeze that was committed before its own reading began stays on the board, whatever else is being read at the same time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::clock::{Clock, Timestamp};
use crate::domain::freeze::{Act, Freeze, Freezes, Level, Target};
use crate::domain::id::{ClientId, MailboxId};
use crate::domain::session::{Protocol, SessionInfo};
use crate::registry::rows::{Fields, Stored, millis};
use crate::registry::view::MAX_AGE;
use crate::store::sql::{self, Statement};
use crate::store::value::Value;

/// What one node knows of freezes; cheap to clone.
#[derive(Clone, Debug)]
pub struct FreezeBoard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    posted: Mutex<Posted>,
    /// The MACs of rows that were found changed, so that each raises one alarm.
    alarmed: Mutex<HashSet<Vec<u8>>>,
}

#[derive(Debug, Default)]
struct Posted {
    tickets: u64,
    /// The ticket of what is posted.
    ticket: u64,
    /// When that reading began; `None`: something was committed since.
    read_at: Option<Duration>,
    freezes: Arc<Freezes>,
}

/// Taken before the table is read.
#[derive(Debug)]
pub(in crate::registry) struct Ticket {
    number: u64,
    at: Duration,
}

impl FreezeBoard {
    pub(in crate::registry) fn new(clock: &Clock) -> Self {
        Self(Arc::new(Shared { clock: clock.clone(), posted: Mutex::default(), alarmed: Mutex::default() }))
    }

    /// The freeze that stops `act` in this session at this moment.
    pub fn stopping(&self, act: Act, session: &SessionInfo) -> Option<Freeze> {
        let freezes = self.posted();
        let place = (&session.client_id, &session.mailbox_id, session.protocol);
        freezes.stopping(act, place, self.now()).cloned()
    }

    pub(in crate::registry) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(in crate::registry) fn posted(&self) -> Arc<Freezes> {
        Arc::clone(&self.lock().freezes)
    }

    /// What is posted, if it was read so lately that it will do for a yes.
    pub(in crate::registry) fn lately(&self) -> Option<Arc<Freezes>> {
        let now = self.0.clock.elapsed();
        let posted = self.lock();
        let age = posted.read_at.and_then(|at| now.checked_sub(at));
        age.filter(|age| *age < MAX_AGE).map(|_| Arc::clone(&posted.freezes))
    }

    pub(in crate::registry) fn ticket(&self) -> Ticket {
        let at = self.0.clock.elapsed();
        let mut posted = self.lock();
        posted.tickets += 1;
        Ticket { number: posted.tickets, at }
    }

    pub(in crate::registry) fn post(&self, ticket: &Ticket, freezes: &Arc<Freezes>) {
        let mut posted = self.lock();
        if ticket.number > posted.ticket {
            posted.ticket = ticket.number;
            posted.read_at = Some(ticket.at);
            posted.freezes = Arc::clone(freezes);
        }
    }

    /// Something was committed: what is posted still holds for running sessions, and is read anew before it says yes to anybody.
    pub(in crate::registry) fn expire(&self) {
        let mut posted = self.lock();
        posted.tickets += 1;
        posted.ticket = posted.tickets;
        posted.read_at = None;
    }

    /// Whether nobody was told of this changed row yet.
    pub(in crate::registry) fn is_news(&self, mac: Vec<u8>) -> bool {
        self.0.alarmed.lock().unwrap_or_else(PoisonError::into_inner).insert(mac)
    }

    fn lock(&self) -> MutexGuard<'_, Posted> {
        self.0.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored for Freeze {
    const TABLE: &'static str = "freezes";
    const KINDS: &'static str = "tttttttii";
    const ADD: Statement = sql::FREEZE_ADD;
    // Nothing about a freeze is ever changed.
    const SET: Statement = sql::FREEZE_ADD;

    fn to_values(&self) -> Vec<Value> {
        vec![
            self.id.as_str().into(),
            self.level.as_str().into(),
            self.target.client.as_ref().map(ClientId::as_str).into(),
            self.target.mailbox.as_ref().map(MailboxId::as_str).into(),
            self.target.protocol.map(Protocol::as_str).into(),
            self.reason.as_str().into(),
            self.made_by.as_str().into(),
            self.created_at.0.into(),
            millis(self.thaws_at),
        ]
    }

    fn from_values(mut values: Fields) -> Option<Self> {
        Some(Self {
            id: values.parsed()?,
            level: Level::parse(&values.text()?)?,
            target: Target {
                client: values.opt_text()?.map(|text| text.parse()).transpose().ok()?,
                mailbox: values.opt_text()?.map(|text| text.parse()).transpose().ok()?,
                protocol: match values.opt_text()? {
                    Some(text) => Some(Protocol::parse(&text)?),
                    None => None,
                },
            },
            reason: values.text()?,
            made_by: values.text()?,
            created_at: values.time()?,
            thaws_at: values.opt_time()?,
        })
    }
}
