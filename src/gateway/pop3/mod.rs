//! POP3 at the gateway (RFC 1939, RFC 2449, RFC 5034), served from the upstream's IMAP: there every message has a lasting id and can be
//! read without a mark, which POP3 upstreams do not promise. What was asked is decided, and said to the upstream in our own words.

mod auth;
mod budget;
mod capability;
mod hiding;
mod maildrop;
mod records;
mod removal;
mod session;
mod transfer;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::fault::Fault;
use crate::gateway::door;
use crate::gateway::gatekeeper::{Gatekeeper, Refusal};
use crate::gateway::stream::{ListenerMode, Peer, Stream};
use crate::upstream::wire::{Wire, WireError};

/// How long a tool may think between two commands. RFC 1939 section 3 asks for 10 minutes at least.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Why a conversation ended.
#[derive(Debug)]
enum End {
    /// QUIT, or the tool is gone, or there is no room for a word.
    Quiet,
    /// The tool is told: a whole line.
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
            WireError::TooLong => Self::Say("-ERR line too long".to_owned()),
            WireError::BadLine => Self::Say("-ERR lines end in CRLF and hold no NUL".to_owned()),
        }
    }
}

/// The upstream broke the protocol or is gone. The tool reconnects.
fn upstream_lost() -> End {
    End::Say("-ERR [SYS/TEMP] the mail server behind this mailbox went away, reconnect".to_owned())
}

/// The answer to a refusal, with its response code (RFC 2449 section 8, RFC 3206).
fn refusal_reply(refusal: &Refusal) -> String {
    let code = match refusal.fault {
        Fault::Unauthenticated => "AUTH",
        Fault::Invalid | Fault::Denied | Fault::NotFound => "SYS/PERM",
        Fault::Conflict => "IN-USE",
        Fault::Throttled | Fault::Upstream | Fault::Unavailable | Fault::Internal => "SYS/TEMP",
    };
    format!("-ERR [{code}] {}", refusal.text)
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
