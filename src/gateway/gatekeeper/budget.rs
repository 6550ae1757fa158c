//! Budgets at the mail doors: what a session is about to use is taken off its grant's counters first. A session without a budget asks
//! nobody.

use crate::domain::budget::Budgeted;
use crate::gateway::gatekeeper::{Gatekeeper, Refusal, Session};
use crate::policy::{Denial, budget};
use crate::registry::{Exhausted, RegistryError};

impl Gatekeeper {
    /// Takes `amount` for what was `asked` and is about to be done.
    pub async fn take(
        &self,
        session: &mut Session,
        what: Budgeted,
        amount: u64,
        asked: &str,
    ) -> Result<Result<(), Denial>, Refusal> {
        judged(asked, self.0.registry.take(&session.info, &mut session.purse, what, amount).await)
    }

    /// Refuses what was `asked` where less than `amount` is left of `what`, with what is not told yet. How much is used is told to
    /// [`Gatekeeper::used`].
    pub async fn reach(
        &self,
        session: &mut Session,
        what: Budgeted,
        amount: u64,
        asked: &str,
    ) -> Result<Result<(), Denial>, Refusal> {
        judged(asked, self.0.registry.reach(&session.info, &mut session.purse, what, amount).await)
    }

    /// Counts a folder that is about to be opened.
    pub async fn take_folder(
        &self,
        session: &mut Session,
        folder: &str,
        asked: &str,
    ) -> Result<Result<(), Denial>, Refusal> {
        judged(asked, self.0.registry.take_folder(&session.info, &mut session.purse, folder).await)
    }

    /// Counts what was used, as far as it was not taken before.
    pub async fn used(&self, session: &mut Session, what: Budgeted, amount: u64) -> Result<(), Refusal> {
        self.0.registry.used(&session.info, &mut session.purse, what, amount).await.map_err(|error| failed(&error))
    }

    /// Puts back what was taken last for something that did not happen. What cannot be put back stays counted.
    pub async fn put_back(&self, session: &mut Session, what: Budgeted, amount: u64) {
        if let Err(error) = self.0.registry.put_back(&session.info, &mut session.purse, what, amount).await {
            tracing::warn!(%error, "what was not used of a budget could not be put back");
        }
    }

    /// Settles a session's accounts at its end.
    pub(super) async fn settle(&self, session: &mut Session) {
        if let Err(error) = self.0.registry.empty_purse(&session.info, &mut session.purse).await {
            tracing::warn!(%error, "what a session had left of a budget could not be put back");
        }
        if session.seat.take().is_some()
            && let Err(error) = self.0.registry.give_back_seats().await
        {
            tracing::warn!(%error, "a session's seat could not be given back yet");
        }
    }
}

fn judged(asked: &str, outcome: Result<Result<(), Exhausted>, RegistryError>) -> Result<Result<(), Denial>, Refusal> {
    let told = |Exhausted { what, span, limit }| budget::exhausted(asked, what, span, limit);
    outcome.map(|taken| taken.map_err(told)).map_err(|error| failed(&error))
}

/// What cannot be counted is not done.
fn failed(error: &RegistryError) -> Refusal {
    tracing::error!(%error, "a budget could not be asked; refusing the operation");
    Refusal::from(error)
}
