//! Logging in at a mailbox's upstream: the breaker is asked, the use is recorded, the credential is opened for this one login.

use tokio::time::Instant;

use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::fault::Fault;
use crate::domain::mailbox::{Endpoint, Mailbox};
use crate::domain::session::SessionInfo;
use crate::gateway::gatekeeper::{Gatekeeper, Refusal, Session};
use crate::registry::{Knock, Verdict};
use crate::upstream::berths::{Berth, Kind, Login};
use crate::upstream::dial::Dialer;
use crate::upstream::wire::Wire;
use crate::upstream::{UpstreamError, imap, smtp};
use crate::vault::{CredentialLease, VaultError};

impl Gatekeeper {
    /// Logs in. The berth goes with the attempt, and then with its connection.
    pub(super) async fn log_in(
        &self,
        session: &Session,
        kind: Kind,
        endpoint: &Endpoint,
        berth: Berth,
    ) -> Result<(Wire, Vec<String>), Refusal> {
        let endpoint = endpoint.clone();
        let (keeper, info, mailbox) = (self.clone(), session.info.clone(), session.mailbox.clone());
        let mut ended = session.ended();
        let told = async move {
            if ended.wait_for(Option::is_some).await.is_err() {
                // The tool is gone. What is under way is settled all the same.
                std::future::pending::<()>().await;
            }
        };
        let working = async move {
            let lease = match keeper.lease(&info, &mailbox).await {
                Ok(lease) => lease,
                Err(refusal) => return (Err(refusal), Verdict::Unclear),
            };
            let (username, at) = (mailbox.upstream.username.clone(), Instant::now());
            match login(kind, &keeper.0.dialer, &endpoint, &username, &lease).await {
                Ok((mut wire, abilities)) => {
                    let mut berth = berth;
                    berth.logged_in(Login { endpoint, username, version: lease.version(), at });
                    wire.take_berth(berth);
                    (Ok((wire, abilities)), Verdict::Accepted)
                }
                Err(error) => {
                    tracing::warn!(mailbox = %mailbox.id, %error, "upstream login failed");
                    let is_refused = matches!(error, UpstreamError::Refused);
                    (Err(not_let_in(error)), if is_refused { Verdict::Refused } else { Verdict::Unclear })
                }
            }
        };
        let guarded = async move {
            tokio::select! {
                biased;
                () = told => (Err(Refusal::of(Fault::Unavailable)), Verdict::Unclear),
                outcome = working => outcome,
            }
        };
        let outcome = self.0.registry.guarded(&session.mailbox.id, Knock::Politely, guarded).await;
        outcome.unwrap_or_else(|error| {
            tracing::warn!(mailbox = %session.mailbox.id, %error, "no upstream login");
            Err(Refusal::of(Fault::Upstream))
        })
    }

    /// Opens the credential for one login. The record is durable before the credential is used.
    async fn lease(&self, info: &SessionInfo, mailbox: &Mailbox) -> Result<CredentialLease, Refusal> {
        let event = self
            .session_event(info, EventCode::CredentialUsed, Outcome::Success)
            .detail("protocol", info.protocol.as_str());
        self.record(event).await?;
        match self.0.vault.lease(&mailbox.id).await {
            Ok(lease) => Ok(lease),
            Err(error) => {
                tracing::error!(%error, mailbox = %mailbox.id, "credential not leased");
                if matches!(error, VaultError::DoesNotOpen | VaultError::UnknownFormat(_)) {
                    // VL-01: somebody changed or moved it in the database.
                    let event = AuditEvent::new(EventCode::TamperingDetected, Actor::System, Outcome::Failure)
                        .mailbox(&mailbox.id)
                        .detail("table", "credentials");
                    self.record(event).await?;
                }
                Err(Refusal::of(Fault::Upstream))
            }
        }
    }
}

async fn login(
    kind: Kind,
    dialer: &Dialer,
    endpoint: &Endpoint,
    username: &str,
    lease: &CredentialLease,
) -> Result<(Wire, Vec<String>), UpstreamError> {
    match kind {
        Kind::Imap => {
            let found = imap::login(dialer, endpoint, username, lease.password()).await?;
            Ok((found.wire, found.capabilities))
        }
        Kind::Smtp => {
            let found = smtp::login(dialer, endpoint, username, lease.password()).await?;
            Ok((found.wire, found.keywords))
        }
    }
}

/// What an upstream's failure is to a tool: one text for all. Whether it may pass by itself is told apart, for who tries again.
fn not_let_in(error: UpstreamError) -> Refusal {
    let may_pass = matches!(error, UpstreamError::Unreachable | UpstreamError::Timeout);
    let fault = if may_pass { Fault::Unavailable } else { Fault::Upstream };
    Refusal { fault, ..Refusal::of(Fault::Upstream) }
}
