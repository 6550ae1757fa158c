//! Tokens and introspections per second, beside a bare handler that signs and one that verifies, and beside signing and verifying alone, in
//! one run. `tests/bench/tokens` builds and starts it.
//!
//! The servers run on CPU 0 and the load on CPU 1. Everything is measured in turns, round by round, so that what else the machine does
//! touches all alike; figures are medians over the rounds, with the least and the greatest.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]

mod bare;
mod gauge;
mod house;
mod load;
mod parts;
mod postgres;
mod raw;
mod report;

use std::io::BufRead;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use mailwarden::domain::client::TokenAlg;
use tikv_jemallocator::Jemalloc;
use zeroizing_alloc::ZeroAlloc;

use crate::gauge::Gauge;
use crate::load::Load;
use crate::postgres::Postgres;
use crate::report::Measured;

/// The program's own: it wipes what it gives back, which is a part of what a token costs.
#[global_allocator]
static HEAP: ZeroAlloc<Jemalloc> = ZeroAlloc(Jemalloc);

const ALGS: [TokenAlg; 2] = [TokenAlg::EdDsa, TokenAlg::Es256];
const CONNECTIONS: [usize; 2] = [16, 64];
/// So many different tokens are introspected in turn.
const TOKENS: usize = 256;
/// What servers do; each does it with every algorithm, and says its loads in this order.
const WORK: [&str; 2] = ["token", "introspect"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match *words {
        ["serve", "ours", folder] => house::serve(folder.as_ref(), None),
        ["serve", "ours", folder, database] => house::serve(folder.as_ref(), Some(database)),
        ["serve", "bare"] => bare::serve(),
        ["raw", millis] => raw::run(millis),
        ["parts", folder] => parts::run(folder.as_ref()),
        ["drive", rounds, millis, folder, database] => drive(rounds, millis, folder, database),
        [] => begin(["5", "2000", "", ""]),
        [rounds, millis] => begin([rounds, millis, "", ""]),
        [rounds, millis, folder] => begin([rounds, millis, folder, ""]),
        [rounds, millis, folder, "postgres"] => begin([rounds, millis, folder, "postgres"]),
        _ => Err(anyhow::anyhow!("usage: tests/bench/tokens [ROUNDS MILLISECONDS [FOLDER [postgres]]]")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tokens: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// This program again, on one CPU.
fn pinned(cpu: &str, arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = pinned_to(cpu, &std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

fn pinned_to(cpu: &str, program: &Path) -> Command {
    let has_taskset = Command::new("taskset").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !has_taskset {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", cpu]).arg(program);
    command
}

fn begin([rounds, millis, folder, database]: [&str; 4]) -> anyhow::Result<()> {
    let status = pinned("1", &["drive", rounds, millis, folder, database])?.status()?;
    anyhow::ensure!(status.success(), "it ended early");
    Ok(())
}

/// A server in a process of its own, ended with this value, and its database, where that is another process.
struct Server {
    name: &'static str,
    child: Child,
    loads: Vec<Load>,
    database: Option<Postgres>,
}

impl Server {
    fn start(name: &'static str, arguments: &[&str], database: Option<Postgres>) -> anyhow::Result<Self> {
        let mut child = pinned("0", arguments)?.stdout(Stdio::piped()).spawn()?;
        let mut lines = std::io::BufReader::new(child.stdout.take().context("no output")?).lines();
        let loads = (0..WORK.len() * ALGS.len()).map(|_| Load::from_line(&lines.next().context("the server ended")??));
        let loads = loads.collect::<anyhow::Result<_>>()?;
        Ok(Self { name, child, loads, database })
    }

    fn run(&self, load: usize, connections: usize, time: Duration) -> anyhow::Result<Measured> {
        let load = self.loads.get(load).context("no such load")?;
        let spent = || {
            let database = self.database.as_ref().map_or(Ok(Duration::ZERO), Postgres::cpu);
            anyhow::Ok((Gauge::cpu(self.child.id())?, database?))
        };
        let before = spent()?;
        let outcome = load.run(connections, time)?;
        let after = spent()?;
        let each =
            |after: Duration, before| after.saturating_sub(before).as_secs_f64() * 1e6 / f64::from(outcome.count);
        let (cpu, database_cpu) = (each(after.0, before.0), each(after.1, before.1));
        Ok(Measured { outcome, cpu, database_cpu })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn drive(rounds: &str, millis: &str, folder: &str, database: &str) -> anyhow::Result<()> {
    let (rounds, time): (usize, u64) = (rounds.parse()?, millis.parse()?);
    let (raw_millis, time) = ((time / 4).to_string(), Duration::from_millis(time));
    let place = if folder.is_empty() { tempfile::tempdir()? } else { tempfile::tempdir_in(folder)? };
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o711))?;
    let part = |name: &str| place.path().join(name).display().to_string();
    let mut servers = vec![
        Server::start("bare", &["serve", "bare"], None)?,
        Server::start("ours on SQLite", &["serve", "ours", &part("ours")], None)?,
    ];
    if database == "postgres" {
        let postgres = Postgres::start(&place.path().join("postgres"))?;
        let url = postgres.url();
        servers.push(Server::start("ours on PostgreSQL", &["serve", "ours", &part("other"), &url], Some(postgres))?);
    }
    let mut report = report::Report::default();
    for server in &servers {
        for load in 0..server.loads.len() {
            server.run(load, 16, Duration::from_millis(300))?;
        }
    }
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        let text = pinned("0", &["raw", &raw_millis])?.output()?.stdout;
        report.raw(&String::from_utf8(text)?);
        for connections in CONNECTIONS {
            for (load, (what, alg)) in WORK.iter().flat_map(|what| ALGS.map(|alg| (*what, alg))).enumerate() {
                let all = servers.iter().map(|server| server.run(load, connections, time));
                report.turn(what, connections, alg.as_str(), &all.collect::<anyhow::Result<Vec<_>>>()?);
            }
        }
    }
    report.print(&servers.iter().map(|server| server.name).collect::<Vec<_>>());
    for server in &servers {
        println!("\nresident: {} {}", server.name, Gauge::peak(server.child.id())?);
    }
    drop(servers);
    let text = pinned("0", &["parts", &part("parts")])?.output()?.stdout;
    println!("\nwhere the time goes, one request at a time unless said otherwise:\n{}", String::from_utf8(text)?);
    Ok(())
}
