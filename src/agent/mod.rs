//! The tool's side of the house: the OAuth client of `mailwarden token`, `handle` and `run`, and the agent, whose mail doors on loopback
//! serve tools that can only store one fixed password.
//!
//! The agent knows nothing of grants: it logs in at the gateway with a token of its own and passes octets on. The gateway judges them.

mod door;
mod doors;
pub mod https;
mod imap;
pub mod oauth;
mod password;
mod pop3;
mod relay;
mod smtp;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::agent::doors::Doors;
pub use crate::agent::password::{LocalPassword, PasswordError};
pub use crate::agent::tokens::Tokens;
use crate::domain::session::Protocol;

/// How many connections of tools are served at once.
const MAX_CONNECTIONS: usize = 64;
/// How long a tool may take to log in.
const LOGIN_LIMIT: Duration = Duration::from_secs(120);

/// Serves the bound doors until `shutdown`. Connections under way are closed then: what they were told comes from the gateway, which
/// keeps what was done.
pub async fn serve(sockets: Vec<(Protocol, TcpListener)>, doors: Doors, shutdown: CancellationToken) {
    let (doors, places) = (Arc::new(doors), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    let tasks = TaskTracker::new();
    for (protocol, socket) in sockets {
        let (doors, places, stop, inner) = (Arc::clone(&doors), Arc::clone(&places), shutdown.clone(), tasks.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => (),
                () = accept(protocol, &socket, &doors, &places, &inner, &stop) => (),
            }
        });
    }
    tasks.close();
    tasks.wait().await;
}

async fn accept(
    protocol: Protocol,
    socket: &TcpListener,
    doors: &Arc<Doors>,
    places: &Arc<Semaphore>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    loop {
        let stream = match socket.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: pause instead of spinning.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            tracing::warn!("more than {MAX_CONNECTIONS} connections, refusing");
            continue;
        };
        let (doors, stop) = (Arc::clone(doors), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => (),
                () = connection(protocol, stream, &doors) => (),
            }
            drop(place);
        });
    }
}

async fn connection(protocol: Protocol, stream: TcpStream, doors: &Doors) {
    // Commands are small and answers awaited.
    let _ = stream.set_nodelay(true);
    let inside = match protocol {
        Protocol::Imap => timeout(LOGIN_LIMIT, door::login::<imap::Imap>(doors, stream)).await,
        Protocol::Smtp => timeout(LOGIN_LIMIT, door::login::<smtp::Smtp>(doors, stream)).await,
        Protocol::Pop3 => timeout(LOGIN_LIMIT, door::login::<pop3::Pop3>(doors, stream)).await,
    };
    match inside {
        Ok(Some((tool, gateway))) => relay::relay(tool, gateway).await,
        Ok(None) => (),
        Err(_) => tracing::debug!("a tool did not log in in time"),
    }
}
