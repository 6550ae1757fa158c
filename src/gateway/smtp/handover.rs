//! The end of a message. From its record on it is handed over whatever becomes of the session: a tool that hears that a message failed
//! sends it again.

use std::pin::Pin;
use std::time::Duration;

use crate::domain::budget::Budgeted;
use crate::domain::event::{AuditEvent, EventCode, Outcome};
use crate::domain::session::EndReason;
use crate::gateway::gatekeeper::{Gatekeeper, Refusal};
use crate::gateway::smtp::session::Desk;
use crate::gateway::smtp::{End, refusal_reply};
use crate::upstream::smtp::{Connection, DOT_TIMEOUT, reply};

/// How long a session that is over waits for the upstream's word on its last message: less than a stop of the service waits for sessions.
const LAST_ANSWER: Duration = Duration::from_secs(20);

/// What the tool hears of a message that the upstream did not answer for: sending it again is the tool's decision (SM-10).
const UNKNOWN: &str = "451 4.4.2 no answer from the mail server; whether it took the message is not known";

/// A message whose end is under way.
pub(super) struct Handover {
    done: Pin<Box<dyn Future<Output = Handed> + Send>>,
    /// Its record, which may be several events.
    events: Vec<AuditEvent>,
}

/// What became of it.
enum Handed {
    /// It could not be recorded, so the upstream never got its end.
    Unrecorded(Refusal),
    /// The code of the upstream's answer, 200 to 599.
    Answered(Connection, u16),
    /// There was no answer: it may have been delivered.
    Unknown,
}

impl Handover {
    /// Of the message that `upstream` has all but the final dot of. `events` are durable before the dot that makes it happen.
    pub(super) fn begin(gatekeeper: Gatekeeper, mut upstream: Connection, events: Vec<AuditEvent>) -> Self {
        let record = events.clone();
        let done = Box::pin(async move {
            if let Err(refusal) = gatekeeper.record_all(record).await {
                return Handed::Unrecorded(refusal);
            }
            if upstream.wire.send(b".\r\n").await.is_err() {
                return Handed::Unknown;
            }
            match reply(&mut upstream.wire, DOT_TIMEOUT).await {
                Ok(answer) => Handed::Answered(upstream, answer.code),
                Err(_) => Handed::Unknown,
            }
        });
        Self { done, events }
    }

    /// The record of a message of which nobody knows whether it was delivered.
    fn indeterminate(&self) -> Vec<AuditEvent> {
        let lost = |event: &AuditEvent| AuditEvent {
            code: EventCode::MessageIndeterminate,
            outcome: Outcome::Failure,
            ..event.clone()
        };
        self.events.iter().map(lost).collect()
    }
}

/// Waits for the end of the message that is under way, and tells the tool of it. May be cancelled, and called again.
pub(super) async fn conclude(desk: &mut Desk) -> Result<(), End> {
    let Some(handover) = &mut desk.handover else { return Ok(()) };
    let handed = handover.done.as_mut().await;
    let (indeterminate, events) = (handover.indeterminate(), std::mem::take(&mut handover.events));
    desk.handover = None;
    let gatekeeper = desk.gatekeeper.clone();
    match handed {
        Handed::Unrecorded(refusal) => {
            gatekeeper.put_back(&mut desk.session, Budgeted::MessagesSent, 1).await;
            desk.answer(&refusal_reply(&refusal, false)).await
        }
        Handed::Answered(upstream, 200..300) => {
            desk.upstream = Some(upstream);
            desk.answer("250 2.0.0 accepted by the mail server behind this mailbox").await
        }
        Handed::Answered(upstream, code @ 400..600) => {
            desk.upstream = Some(upstream);
            gatekeeper.put_back(&mut desk.session, Budgeted::MessagesSent, 1).await;
            // Recorded that it was refused; the tool must not wait for the record.
            let refused = |event| AuditEvent { outcome: Outcome::Failure, ..event }.detail("reply", code.to_string());
            let _ = gatekeeper.record_all(events.into_iter().map(refused).collect()).await;
            let text = format!("{code} {}.0.0 the mail server behind this mailbox refused the message", code / 100);
            desk.answer(&text).await
        }
        Handed::Answered(..) | Handed::Unknown => {
            let _ = gatekeeper.record_all(indeterminate).await;
            desk.answer(UNKNOWN).await
        }
    }
}

/// Once the session is over: waits for the end of its last message. A cut ends the connection to the upstream instead.
pub(super) async fn finish(desk: &mut Desk) {
    if desk.handover.is_none() {
        return;
    }
    let reason = *desk.session.ended().borrow();
    if !matches!(reason, Some(EndReason::Killed | EndReason::Revoked | EndReason::Frozen)) {
        let _ = tokio::time::timeout(LAST_ANSWER, conclude(desk)).await;
    }
    if let Some(handover) = desk.handover.take() {
        let indeterminate = handover.indeterminate();
        drop(handover);
        let _ = desk.gatekeeper.record_all(indeterminate).await;
        desk.client.gather(format!("{UNKNOWN}\r\n").as_bytes());
    }
}
