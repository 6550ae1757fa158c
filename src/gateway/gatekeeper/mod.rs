//! The gatekeeper: all mail protocols go through it, so that there is one answer. Who is let in stands in `admit`, how a denial is told in
//! `denial`, how the credential is used in `lease`, where a connection is found for a session in `moor`, what failed logins cost their
//! network in `slow`.

mod admit;
mod budget;
mod denial;
mod lease;
mod mail;
mod moor;
mod slow;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::audit::{Audit, AuditError, Recording};
use crate::domain::bounds::Bounds;
use crate::domain::clock::Clock;
use crate::domain::entropy::Entropy;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::fault::{Classify, Fault};
use crate::domain::freeze::Act;
use crate::domain::mailbox::Mailbox;
use crate::domain::secret::{AccessToken, Secret};
use crate::domain::session::{EndReason, SessionInfo};
use crate::gateway::gatekeeper::denial::Denials;
use crate::gateway::gatekeeper::moor::Had;
use crate::gateway::gatekeeper::slow::Failures;
use crate::gateway::tags::Tags;
use crate::gateway::tls::Identity;
use crate::oauth::TokenService;
use crate::policy::{self, Denial, Rights};
use crate::registry::{FreezeBoard, Freshness, Purse, Registry, Seat, SessionHandle};
use crate::upstream::dial::Dialer;
use crate::vault::Vault;

/// Everything that a mail session needs from the house; cheap to clone.
#[derive(Clone, Debug)]
pub struct Gatekeeper(Arc<Parts>, Arc<Failures>);

/// What a gatekeeper is made of.
#[derive(Debug)]
pub struct Parts {
    /// Who may do what.
    pub registry: Registry,
    /// Verifies tokens.
    pub tokens: TokenService,
    /// Opens credentials.
    pub vault: Vault,
    /// Records.
    pub audit: Audit,
    /// Reaches upstreams.
    pub dialer: Dialer,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// The name in greetings.
    pub hostname: String,
    /// The names that tools reach us by.
    pub identity: Identity,
    /// Largest submitted message in bytes.
    pub max_message_bytes: u64,
    /// Whether SORT and THREAD are let through.
    pub costly_search: bool,
    /// How sessions outlive their upstream connections.
    pub endurance: Endurance,
}

/// How long an IMAP session may go on when its upstream does not.
#[derive(Clone, Copy, Debug)]
pub struct Endurance {
    /// For so long a login is tried again after the upstream was lost; nothing: it is not.
    pub relogin: Duration,
    /// So often IDLE is begun anew upstream: Exchange ends one after half an hour.
    pub idle_renewal: Duration,
    /// So soon after news of messages, so that their UIDs are known.
    pub settling: Duration,
}

impl Default for Endurance {
    fn default() -> Self {
        Self {
            relogin: Duration::from_secs(60),
            idle_renewal: Duration::from_secs(20 * 60),
            settling: Duration::from_secs(2),
        }
    }
}

/// An authenticated tool at work in one mailbox. Its end is recorded when it is closed by [`Gatekeeper::close`].
#[derive(Debug)]
pub struct Session {
    /// What is known of it.
    pub info: SessionInfo,
    /// The mailbox it works in.
    pub mailbox: Mailbox,
    rights: Rights,
    /// What it has at hand of its budgets.
    purse: Purse,
    /// Its place where the grant limits how many sessions there are.
    seat: Option<Seat>,
    handle: SessionHandle,
    freezes: FreezeBoard,
    freshness: Freshness,
    /// What connections to the upstream it had.
    had: Had,
    denials: Denials,
}

impl Session {
    /// Whether anything that it does has to be counted.
    pub fn is_counted(&self) -> bool {
        self.purse.is_counted()
    }

    /// Turns to a reason when the session must end.
    pub fn ended(&self) -> watch::Receiver<Option<EndReason>> {
        self.handle.ended()
    }

    /// Waits until it must end or the service stops; gives the reason.
    pub fn told_to_end(&self, shutdown: CancellationToken) -> impl Future<Output = EndReason> + Send + use<> {
        let mut ended = self.ended();
        async move {
            tokio::select! {
                reason = ended.wait_for(Option::is_some) => {
                    reason.ok().and_then(|reason| *reason).unwrap_or(EndReason::Killed)
                }
                () = shutdown.cancelled() => EndReason::Shutdown,
            }
        }
    }

    /// The limits within which it works.
    pub fn bounds(&self) -> &Bounds {
        &self.rights.bounds
    }

    /// Decides by what it may do at this moment: its rights, or what a freeze leaves of them; nothing, when that is not known.
    pub fn judge<T>(&self, decide: impl FnOnce(&Rights) -> Result<T, Denial>) -> Result<T, Denial> {
        if !self.freshness.is_fresh() {
            return Err(Denial::unproven());
        }
        match self.freezes.stopping(Act::Change, &self.info) {
            Some(freeze) => policy::while_frozen(&self.rights, &freeze.id, decide),
            None => decide(&self.rights),
        }
    }
}

/// Why something was refused: a row of the wire table, and words that a tool may read.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The row of the wire table.
    pub fault: Fault,
    /// Words for the tool.
    pub text: String,
    /// Whether the connection is closed with it.
    pub is_last: bool,
}

impl Refusal {
    /// A refusal in the fault's own words.
    pub fn of(fault: Fault) -> Self {
        Self { fault, text: fault.public().to_owned(), is_last: false }
    }

    fn from(error: &impl Classify) -> Self {
        Self { fault: error.fault(), text: error.public(), is_last: false }
    }
}

impl Gatekeeper {
    /// Puts one together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts), Arc::default())
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The source of randomness.
    pub fn entropy(&self) -> &Entropy {
        &self.0.entropy
    }

    /// Who may do what.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// The audit log.
    pub fn audit(&self) -> &Audit {
        &self.0.audit
    }

    /// The name in greetings.
    pub fn hostname(&self) -> &str {
        &self.0.hostname
    }

    /// Largest message that may be submitted, in bytes.
    pub fn max_message_bytes(&self) -> u64 {
        self.0.max_message_bytes
    }

    /// The tags of a session's commands at its upstream.
    pub(in crate::gateway) fn tags(&self) -> Tags {
        Tags::new(self.0.entropy.clone())
    }

    /// Whether SORT and THREAD are let through.
    pub fn costly_search(&self) -> bool {
        self.0.costly_search
    }

    /// How sessions outlive their upstream connections.
    pub fn endurance(&self) -> Endurance {
        self.0.endurance
    }

    /// Hands an event to the writer; it may be waited for later.
    pub async fn begin(&self, event: AuditEvent) -> Result<Recording, Refusal> {
        self.0.audit.begin(event).await.map_err(|error| not_written(&error))
    }

    /// Waits until an event that was begun is durable.
    pub async fn durable(&self, recording: Recording) -> Result<(), Refusal> {
        recording.durable().await.map(drop).map_err(|error| not_written(&error))
    }

    /// Records something that happened in a session. Durable when this returns.
    pub async fn record(&self, event: AuditEvent) -> Result<(), Refusal> {
        self.0.audit.record(event).await.map(drop).map_err(|error| not_written(&error))
    }

    /// Records several events that tell one thing. Durable when this returns.
    pub async fn record_all(&self, events: Vec<AuditEvent>) -> Result<(), Refusal> {
        let mut begun = Vec::new();
        for event in events {
            begun.push(self.begin(event).await?);
        }
        for recording in begun {
            self.durable(recording).await?;
        }
        Ok(())
    }

    /// An event that names the session and all it stands on.
    pub fn session_event(&self, info: &SessionInfo, code: EventCode, outcome: Outcome) -> AuditEvent {
        AuditEvent::new(code, Actor::Client(info.client_id.clone()), outcome)
            .client(&info.client_id)
            .mailbox(&info.mailbox_id)
            .grant(&info.grant_id)
            .session(&info.id)
            .source(info.source)
    }

    /// Ends a session: takes it off the list and records why. Best effort: a session that cannot be recorded still ends.
    pub async fn close(&self, mut session: Session, reason: &str) {
        self.settle(&mut session).await;
        let event =
            self.session_event(&session.info, EventCode::SessionEnded, Outcome::Success).detail("reason", reason);
        let event = event.detail("upstream", session.had.as_str());
        drop(session);
        let _ = self.record(event).await;
    }

    /// A token was sent in the clear: whoever listens has it now. Its client's tokens so far are void (GW-03).
    pub async fn exposed(&self, token: &Secret<AccessToken>, peer: SocketAddr) {
        let Some((client_id, token_id)) = self.0.tokens.owner(token).await else { return };
        let event = AuditEvent::new(EventCode::TokenExposed, Actor::Anonymous, Outcome::Denied)
            .client(&client_id)
            .source(peer.ip())
            .detail("jti", token_id);
        if self.record(event).await.is_ok()
            && let Err(error) = self.0.registry.revoke_client(&Actor::System, &client_id).await
        {
            tracing::error!(%error, client = %client_id, "exposed token could not be revoked");
        }
    }
}

fn not_written(error: &AuditError) -> Refusal {
    tracing::error!(%error, "audit record not written; refusing the operation");
    Refusal::of(Fault::Unavailable)
}
