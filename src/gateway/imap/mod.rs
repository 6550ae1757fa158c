//! IMAP at the gateway: authenticate, then one command at a time: parse, decide, serialise anew, relay the answer.

mod affected;
mod append;
mod auth;
mod budget;
mod capability;
mod enable;
mod extension;
mod folder;
mod idle;
mod input;
mod leave;
mod own;
mod records;
mod relay;
mod renew;
mod session;

use tokio_util::sync::CancellationToken;

use crate::domain::fault::Fault;
use crate::domain::session::EndReason;
use crate::gateway::door;
use crate::gateway::gatekeeper::{Gatekeeper, Refusal};
use crate::gateway::imap::session::Desk;
use crate::gateway::stream::{ListenerMode, Peer, Stream};
use crate::upstream::wire::{Wire, WireError};

/// Why a conversation ended.
#[derive(Debug)]
enum End {
    /// The tool said LOGOUT, or is gone.
    Quiet,
    /// The tool is told why: the text after `* BYE `.
    Bye(String),
    /// The upstream left, between two things that it said. Where nothing is lost by it, [`renew`] goes on with another connection.
    Gone,
}

impl End {
    fn last_word(self) -> Option<String> {
        let text = match self {
            Self::Quiet => return None,
            Self::Bye(text) => text,
            Self::Gone => UPSTREAM_LOST.to_owned(),
        };
        Some(format!("* BYE {text}"))
    }
}

impl From<WireError> for End {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Closed => Self::Quiet,
            WireError::TooLong => Self::Bye("[TOOBIG] line too long".to_owned()),
            WireError::BadLine => Self::Bye("lines end in CRLF and hold no NUL".to_owned()),
        }
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Bye(format!("[UNAVAILABLE] {}", refusal.text))
    }
}

/// The last word when an upstream is gone.
const UPSTREAM_LOST: &str = "[UNAVAILABLE] the mail server behind this mailbox went away, reconnect";

/// The upstream broke the protocol, or left in the middle of something. The tool reconnects.
fn upstream_lost() -> End {
    End::Bye(UPSTREAM_LOST.to_owned())
}

/// The response code of a refusal (RFC 5530), and its words.
fn refusal_text(refusal: &Refusal) -> String {
    let code = match refusal.fault {
        Fault::Invalid => "CLIENTBUG",
        Fault::Unauthenticated => "AUTHENTICATIONFAILED",
        Fault::Denied | Fault::NotFound => "NOPERM",
        Fault::Conflict => "INUSE",
        Fault::Throttled => "LIMIT",
        Fault::Upstream | Fault::Unavailable => "UNAVAILABLE",
        Fault::Internal => "SERVERBUG",
    };
    format!("[{code}] {}", refusal.text)
}

/// The last word of a session that was told to end.
fn last_word(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Killed | EndReason::Revoked => "[CONTACTADMIN] access revoked",
        EndReason::Frozen => "[CONTACTADMIN] access is frozen for now",
        EndReason::Expired => "[EXPIRED] session time is over, log in again",
        EndReason::Unproven => "[UNAVAILABLE] access cannot be checked at the moment, reconnect later",
        EndReason::Shutdown => "[UNAVAILABLE] the service is stopping, reconnect",
    }
}

/// Serves one connection from greeting to end.
pub async fn serve(
    gatekeeper: Gatekeeper,
    stream: Stream,
    peer: Peer,
    mode: ListenerMode,
    shutdown: CancellationToken,
) {
    let desk = {
        // In boxes that go before the session begins: what a login needs, or its end, is not held through hours of work.
        let mut admitted = None;
        let login = Box::pin(auth::login(&gatekeeper, &mut admitted, Wire::new(stream), peer, mode));
        let inside = door::in_time(login, &shutdown).await;
        let Some(session) = admitted else { return };
        match inside {
            Ok((client, upstream)) => Desk::new(gatekeeper, client, session, upstream),
            Err(reason) => return Box::pin(gatekeeper.close(session, reason)).await,
        }
    };
    session::run(desk, shutdown).await;
}

#[cfg(test)]
mod budget_tests;
#[cfg(test)]
mod silence_tests;
#[cfg(test)]
mod tests;
