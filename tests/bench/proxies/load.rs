//! The loads, each for so long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use rustls::ClientConfig;

use crate::client::Client;
use crate::peer::{Login, Peer};
use crate::stub;

/// Octets of a message that is sent.
const SENT: usize = 10_000;

/// What came of it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// How many operations, or megabytes.
    pub(crate) count: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
}

/// What is done over and over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    /// Connect, log in, log out.
    Logins,
    /// NOOP on so many connections.
    Noop(usize),
    /// All messages.
    Fetch,
    /// Connect, log in, send one message, quit.
    MessagePerConnection,
    /// One message after the other.
    Messages,
}

impl Load {
    pub(crate) async fn run(self, peer: &Peer, tls: &Arc<ClientConfig>, time: Duration) -> anyhow::Result<Outcome> {
        let connections = match self {
            Self::Logins => 64,
            Self::Noop(count) => count,
            Self::Fetch => 1,
            Self::MessagePerConnection | Self::Messages => 16,
        };
        let message = [stub::message(SENT), b".\r\n".to_vec()].concat();
        // Connections that last are opened before the time starts.
        let mut open = Vec::new();
        for number in 0..connections {
            let login = login(peer, number)?;
            open.push(match self {
                Self::Noop(_) | Self::Fetch => {
                    let mut client = Client::imap(tls, peer.imap, login).await?;
                    client.command("SELECT INBOX").await?;
                    Some(client)
                }
                Self::Messages => Some(Client::smtp(tls, peer.smtp, login).await?),
                Self::Logins | Self::MessagePerConnection => None,
            });
        }
        let start = Instant::now();
        let workers = open.into_iter().enumerate().map(async |(number, client)| {
            let login = login(peer, number)?;
            let worker = Worker { load: self, peer, tls, login, message: message_of(&message, login) };
            worker.work(client, start + time).await
        });
        let all = try_join_all(workers).await?;
        let elapsed = start.elapsed().as_secs_f64();
        let octets: u64 = all.iter().map(|(_, octets)| octets).sum();
        let mut times: Vec<Duration> = all.into_iter().flat_map(|(times, _)| times).collect();
        times.sort_unstable();
        let at = |part: usize| times.get(times.len() * part / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
        let count = if self == Self::Fetch {
            f64::from(u32::try_from(octets / 1000)?) / 1000.0
        } else {
            f64::from(u32::try_from(times.len())?)
        };
        Ok(Outcome { count, per_second: count / elapsed, p50_micros: at(50), p99_micros: at(99) })
    }
}

/// What one connection at a time is busy with.
struct Worker<'a> {
    load: Load,
    peer: &'a Peer,
    tls: &'a Arc<ClientConfig>,
    login: &'a Login,
    message: Vec<u8>,
}

impl Worker<'_> {
    /// How long each operation took, and how many octets came.
    async fn work(&self, mut client: Option<Client>, end: Instant) -> anyhow::Result<(Vec<Duration>, u64)> {
        let Self { peer, tls, login, message, .. } = self;
        let (mut times, mut octets) = (Vec::new(), 0);
        while Instant::now() < end {
            let began = Instant::now();
            match (self.load, &mut client) {
                (Load::Logins, _) => Client::imap(tls, peer.imap, login).await?.command("LOGOUT").await?,
                (Load::MessagePerConnection, _) => {
                    let mut client = Client::smtp(tls, peer.smtp, login).await?;
                    client.send(&login.sender, message).await?;
                    client.said("QUIT", "221 ").await?;
                }
                (Load::Noop(_), Some(client)) => client.command("NOOP").await?,
                (Load::Fetch, Some(client)) => octets += client.fetch_all().await?,
                (Load::Messages, Some(client)) => client.send(&login.sender, message).await?,
                (_, None) => anyhow::bail!("no connection"),
            }
            times.push(began.elapsed());
        }
        Ok((times, octets))
    }
}

/// The message as its sender would write it.
fn message_of(message: &[u8], login: &Login) -> Vec<u8> {
    let rest = message.iter().position(|byte| *byte == b'\n').and_then(|at| message.get(at + 1..)).unwrap_or_default();
    [format!("From: <{}>\r\n", login.sender).as_bytes(), rest].concat()
}

pub(crate) fn login(peer: &Peer, number: usize) -> anyhow::Result<&Login> {
    peer.logins.get(number % peer.logins.len().max(1)).ok_or_else(|| anyhow::anyhow!("no login"))
}

/// Opens so many idle connections.
pub(crate) async fn idle(peer: &Peer, tls: &Arc<ClientConfig>, sessions: usize) -> anyhow::Result<Vec<Client>> {
    const AT_ONCE: usize = 32;
    let openers = (0..AT_ONCE).map(async |opener| {
        let mut open = Vec::new();
        for number in (opener..sessions).step_by(AT_ONCE) {
            let mut client = Client::imap(tls, peer.imap, login(peer, number)?).await?;
            client.command("SELECT INBOX").await?;
            client.said("a IDLE", "+ ").await?;
            open.push(client);
        }
        anyhow::Ok(open)
    });
    Ok(try_join_all(openers).await?.into_iter().flatten().collect())
}
