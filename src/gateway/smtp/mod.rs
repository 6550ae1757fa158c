//! Submission at the gateway (RFC 6409): authenticate, then transactions, each command judged and said anew to the upstream. Nothing
//! is stored: the tool hears 250 only when the upstream said it.

mod auth;
mod data;
mod handover;
pub mod header;
mod session;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::fault::Fault;
use crate::gateway::door;
use crate::gateway::gatekeeper::{Gatekeeper, Refusal};
use crate::gateway::stream::{ListenerMode, Peer, Stream};
use crate::upstream::wire::{Wire, WireError};

/// Longest command line; authentication lines may be longer (clients differ, tokens are long).
const MAX_LINE: usize = 2048;
/// How long a tool may think between two lines (RFC 5321 section 4.5.3.2.7).
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Why a conversation ended.
#[derive(Debug)]
enum End {
    /// QUIT, or the tool is gone.
    Quiet,
    /// The tool is told: a whole reply line.
    Say(String),
}

impl End {
    fn last_word(self) -> Option<String> {
        match self {
            Self::Quiet => None,
            Self::Say(text) => Some(text),
        }
    }
}

impl From<WireError> for End {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Closed => Self::Quiet,
            WireError::TooLong => Self::Say("500 5.5.6 line too long".to_owned()),
            WireError::BadLine => Self::Say("500 5.5.2 lines end in CRLF and hold no NUL".to_owned()),
        }
    }
}

/// One line of the tool, within the time it has.
async fn next_line(client: &mut Wire, max: usize) -> Result<Result<Vec<u8>, WireError>, End> {
    // A message has many lines: no clock is asked for one that is there.
    if let Some(line) = client.take_line(max).transpose() {
        return Ok(line);
    }
    let late = |_| End::Say("421 4.4.2 nothing was sent for five minutes".to_owned());
    tokio::time::timeout(IDLE_TIMEOUT, client.line(max)).await.map_err(late)
}

/// The reply to a refusal; `is_auth` where AUTH is answered.
fn refusal_reply(refusal: &Refusal, is_auth: bool) -> String {
    let code = match refusal.fault {
        Fault::Invalid | Fault::NotFound => "501 5.5.4",
        Fault::Unauthenticated => "535 5.7.8",
        Fault::Denied => "550 5.7.1",
        Fault::Conflict => "450 4.2.0",
        Fault::Throttled | Fault::Upstream | Fault::Unavailable if is_auth => "454 4.7.0",
        Fault::Throttled => "451 4.7.1",
        Fault::Upstream | Fault::Unavailable | Fault::Internal => "451 4.3.0",
    };
    format!("{code} {}", refusal.text)
}

/// Serves one connection from greeting to end.
pub async fn serve(
    gatekeeper: Gatekeeper,
    stream: Stream,
    peer: Peer,
    mode: ListenerMode,
    shutdown: CancellationToken,
) {
    let mut admitted = None;
    let login = Box::pin(auth::login(&gatekeeper, &mut admitted, Wire::new(stream), peer, mode));
    let inside = door::in_time(login, &shutdown).await;
    let Some(session) = admitted else { return };
    match inside {
        Ok(client) => session::run(gatekeeper, client, session, shutdown).await,
        // In a box: what an end needs is not held through a session.
        Err(reason) => Box::pin(gatekeeper.close(session, reason)).await,
    }
}
