//! Every load through every proxy, round by round.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::load::{Load, Outcome, idle};
use crate::peer::{DIRECT, Peer, Upstream};
use crate::process::{cpu_of, memory_of};
use crate::tls;

/// How long sessions have been idle when their memory is looked at: what only their logins needed is given back by then.
const REST: Duration = Duration::from_secs(15);

/// How much is measured.
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) sessions: usize,
}

/// One cell in one round.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) outcome: Outcome,
    /// What the proxy spent on one operation, or megabyte.
    pub(crate) cpu_micros: f64,
}

/// All rounds of all cells.
#[derive(Default)]
pub(crate) struct Cells {
    pub(crate) upstream: String,
    pub(crate) rounds: BTreeMap<(Load, &'static str), Vec<Measured>>,
    /// KiB for each idle session after [`REST`], and how long all took to open.
    pub(crate) idle: BTreeMap<&'static str, (f64, Duration)>,
}

pub(crate) async fn run(name: &str, upstream: &Upstream, peers: Vec<Peer>, plan: &Plan) -> anyhow::Result<Cells> {
    let tls = tls::client()?;
    let mut cells = Cells { upstream: name.to_owned(), ..Cells::default() };
    let mut loads = vec![Load::Logins, Load::Noop(1), Load::Noop(32), Load::Fetch];
    if upstream.smtp.is_some() {
        loads.extend([Load::MessagePerConnection, Load::Messages]);
        // First, while nobody's memory has grown.
        for peer in peers.iter().filter(|peer| peer.name != DIRECT) {
            eprintln!("{name}: {} idle sessions through {}", plan.sessions, peer.name);
            warm(peer, &tls).await?;
            let (before, began) = (memory_of(&peer.roots()), std::time::Instant::now());
            let open = idle(peer, &tls, plan.sessions).await?;
            let took = began.elapsed();
            tokio::time::sleep(REST).await;
            let grown = memory_of(&peer.roots()).saturating_sub(before);
            drop(open);
            let each = f64::from(u32::try_from(grown)?) / f64::from(u32::try_from(plan.sessions)?);
            cells.idle.insert(peer.name, (each, took));
        }
    } else {
        for peer in &peers {
            warm(peer, &tls).await?;
        }
    }
    for round in 1..=plan.rounds {
        for load in &loads {
            eprintln!("{name}: round {round} of {}, {}", plan.rounds, load.name());
            for peer in &peers {
                let roots = peer.roots();
                let before = cpu_of(&roots);
                let outcome = load.run(peer, &tls, plan.time).await.map_err(|error| error.context(peer.name))?;
                let spent = cpu_of(&roots).saturating_sub(before);
                let cpu_micros = spent.as_secs_f64() * 1e6 / outcome.count;
                cells.rounds.entry((*load, peer.name)).or_default().push(Measured { outcome, cpu_micros });
            }
        }
    }
    Ok(cells)
}

/// A few logins, so that what is made once is there.
async fn warm(peer: &Peer, tls: &std::sync::Arc<rustls::ClientConfig>) -> anyhow::Result<()> {
    let warm = Load::Logins.run(peer, tls, Duration::from_millis(200)).await;
    warm.map(drop).map_err(|error| error.context(peer.name))
}

impl Load {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Logins => "logins, 64 at once".to_owned(),
            Self::Noop(1) => "NOOP, 1 connection".to_owned(),
            Self::Noop(count) => format!("NOOP, {count} connections"),
            Self::Fetch => "FETCH of 2,000 x 50 kB, MB".to_owned(),
            Self::MessagePerConnection => "SMTP, a connection each, 16 at once".to_owned(),
            Self::Messages => "SMTP, 16 connections that last".to_owned(),
        }
    }
}
