//! What POP3 uses of its grant's budgets: INBOX is a folder that is opened, RETR reads a message and so does TOP with lines of its body,
//! both bring octets. These are known when they have come; the running answer goes on, and the next command is refused when the budget
//! is spent.

use crate::domain::budget::Budgeted;
use crate::gateway::gatekeeper::{Gatekeeper, Refusal, Session};
use crate::gateway::pop3::session::Desk;
use crate::policy::Denial;
use crate::policy::charge::Charge;
use crate::protocol::pop3::command::Command;

/// What the answer under way has to be counted as.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How much had been sent to the tool when it began; `None`: none is under way.
    began_at: Option<u64>,
    messages: u64,
}

impl Tally {
    /// Tells the counters what was used, also of an answer that was broken off after so many octets to the tool in all.
    pub(super) async fn settle(
        &mut self,
        gatekeeper: &Gatekeeper,
        session: &mut Session,
        queued: u64,
    ) -> Result<(), Refusal> {
        let Some(began_at) = self.began_at.take() else { return Ok(()) };
        for (what, amount) in [(Budgeted::MessagesRead, self.messages), (Budgeted::Bytes, queued - began_at)] {
            gatekeeper.used(session, what, amount).await?;
        }
        Ok(())
    }
}

/// Whether enough is left for the maildrop to be opened.
pub(super) async fn open(desk: &mut Desk) -> Result<Result<(), Denial>, Refusal> {
    let Charge { asked, folder, .. } = Charge::maildrop();
    desk.gatekeeper.take_folder(&mut desk.session, &folder.unwrap_or_default(), &asked).await
}

/// Whether enough is left for `command` to begin; what it brings counts from here on.
pub(super) async fn begin(desk: &mut Desk, command: Command) -> Result<Result<(), Denial>, Refusal> {
    let Charge { asked, amounts, .. } = Charge::pop3(command);
    if amounts.is_empty() {
        return Ok(Ok(()));
    }
    for (what, _) in &amounts {
        if let Err(denial) = desk.gatekeeper.reach(&mut desk.session, *what, 1, &asked).await? {
            return Ok(Err(denial));
        }
    }
    let messages =
        amounts.iter().find(|(what, _)| *what == Budgeted::MessagesRead).map_or(0, |(_, messages)| *messages);
    desk.tally = Tally { began_at: Some(desk.client.queued()), messages };
    Ok(Ok(()))
}

/// Counts what the command has brought.
pub(super) async fn end(desk: &mut Desk) -> Result<(), Refusal> {
    let queued = desk.client.queued();
    desk.tally.settle(&desk.gatekeeper, &mut desk.session, queued).await
}
