//! Denials: each is on record and has an id. A session that hears nothing else any more ends.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::domain::address::MailAddress;
use crate::domain::event::{AuditEvent, EventCode, Outcome};
use crate::domain::fault::Fault;
use crate::domain::id::VerdictId;
use crate::domain::privacy::RecipientDetail;
use crate::gateway::gatekeeper::{Gatekeeper, Refusal, Session};
use crate::policy::Denial;

/// How many commands in a row may be denied. Each costs a durable record, and what a hundred denials did not teach a tool no further one
/// will; one that marks each message of a read-only folder and does not look at the answers stays below it in most folders.
pub(super) const MOST: u32 = 100;

/// The reason in `session.ended`.
const REASON: &str = "denials";

/// How many commands of a session were denied since the last one that was done.
#[derive(Debug, Default)]
pub(super) struct Denials(AtomicU32);

impl Denials {
    fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Session {
    /// A command goes through.
    pub fn goes_on(&self) {
        self.denials.0.store(0, Ordering::Relaxed);
    }

    /// Whether so many commands in a row were denied that the session ends.
    pub fn is_worn_out(&self) -> bool {
        self.denials.0.load(Ordering::Relaxed) >= MOST
    }

    /// Why it ends when nobody told it to: the word in the audit log.
    pub fn own_end(&self) -> &'static str {
        if self.is_worn_out() { REASON } else { "tool" }
    }
}

impl Gatekeeper {
    /// Records a denial and gives it a verdict id, by which `grant explain` finds it. What could not be judged gets neither.
    pub async fn deny(&self, session: &Session, denial: &Denial) -> Result<VerdictId, Refusal> {
        if denial.rule == Denial::UNPROVEN {
            return Err(Refusal { text: denial.text.clone(), ..Refusal::of(Fault::Unavailable) });
        }
        let verdict = VerdictId::new(&self.0.clock, &self.0.entropy);
        let mut event = self
            .session_event(&session.info, EventCode::CommandDenied, Outcome::Denied)
            .verdict(&verdict)
            .detail("protocol", session.info.protocol.as_str())
            .detail("asked", denial.asked.clone())
            .detail("rule", denial.rule)
            .detail("text", denial.text.clone());
        if let Some(scope) = denial.needs {
            event = event.detail("needs", scope.as_str());
        }
        if let Some(object) = &denial.object {
            event = match object.parse() {
                Ok(address) if denial.rule == "recipient" => self.with_recipient(session, event, &address),
                _ => event.detail("object", object.clone()),
            };
        }
        session.denials.count();
        self.record(event).await?;
        Ok(verdict)
    }

    fn with_recipient(&self, session: &Session, event: AuditEvent, address: &MailAddress) -> AuditEvent {
        let is_readable = matches!(
            session.rights.bounds.audit_recipients.unwrap_or_default(),
            RecipientDetail::Full | RecipientDetail::Domain
        );
        match self.recipient(session, address) {
            Some(told) => event.detail(if is_readable { "object" } else { "recipient" }, told),
            None => event,
        }
    }
}
