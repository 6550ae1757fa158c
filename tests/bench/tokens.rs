//! Tokens per second, beside a bare handler that signs and beside signing alone, in one run. `tests/bench/tokens` builds and starts it.
//!
//! The servers run on CPU 0 and the load on CPU 1. Everything is measured in turns, round by round, so that what else the machine does
//! touches all alike; figures are medians over the rounds, with the least and the greatest.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]

mod bare;
mod gauge;
mod house;
mod load;
mod parts;
mod raw;
mod report;

use std::io::BufRead;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use mailwarden::domain::client::TokenAlg;

use crate::gauge::Gauge;
use crate::load::{Load, Outcome};

/// The program's own: it wipes what it gives back, which is a part of what a token costs.
#[global_allocator]
static HEAP: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

const ALGS: [TokenAlg; 2] = [TokenAlg::EdDsa, TokenAlg::Es256];
const CONNECTIONS: [usize; 2] = [16, 64];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match *words {
        ["serve", "ours", folder] => house::serve(folder.as_ref()),
        ["serve", "bare"] => bare::serve(),
        ["raw", millis] => raw::run(millis),
        ["parts", folder] => parts::run(folder.as_ref()),
        ["drive", rounds, millis, folder] => drive(rounds, millis, folder),
        [] => begin("5", "2000", ""),
        [rounds, millis] => begin(rounds, millis, ""),
        [rounds, millis, folder] => begin(rounds, millis, folder),
        _ => Err(anyhow::anyhow!("usage: tests/bench/tokens [ROUNDS MILLISECONDS [FOLDER]]")),
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
    let own = std::env::current_exe()?;
    let has_taskset = Command::new("taskset").arg("-V").stdout(Stdio::null()).status().is_ok();
    let mut command = if has_taskset { Command::new("taskset") } else { Command::new(&own) };
    if has_taskset {
        command.args(["-c", cpu]).arg(&own);
    }
    command.args(arguments);
    Ok(command)
}

fn begin(rounds: &str, millis: &str, folder: &str) -> anyhow::Result<()> {
    let status = pinned("1", &["drive", rounds, millis, folder])?.status()?;
    anyhow::ensure!(status.success(), "it ended early");
    Ok(())
}

/// A server in a process of its own, ended with this value.
struct Server {
    child: Child,
    loads: Vec<Load>,
}

impl Server {
    fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = pinned("0", arguments)?.stdout(Stdio::piped()).spawn()?;
        let mut lines = std::io::BufReader::new(child.stdout.take().context("no output")?).lines();
        let loads = (0..ALGS.len()).map(|_| Load::from_line(&lines.next().context("the server ended")??));
        let loads = loads.collect::<anyhow::Result<_>>()?;
        Ok(Self { child, loads })
    }

    fn run(&self, alg: usize, connections: usize, time: Duration) -> anyhow::Result<(Outcome, f64)> {
        let load = self.loads.get(alg).context("no such load")?;
        let before = Gauge::cpu(self.child.id())?;
        let outcome = load.run(connections, time)?;
        let spent = Gauge::cpu(self.child.id())?.saturating_sub(before);
        let per_token = spent.as_secs_f64() * 1e6 / f64::from(outcome.count);
        Ok((outcome, per_token))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn drive(rounds: &str, millis: &str, folder: &str) -> anyhow::Result<()> {
    let (rounds, time): (usize, u64) = (rounds.parse()?, millis.parse()?);
    let time = Duration::from_millis(time);
    let place = if folder.is_empty() { tempfile::tempdir()? } else { tempfile::tempdir_in(folder)? };
    let part = |name: &str| place.path().join(name).display().to_string();
    let bare = Server::start(&["serve", "bare"])?;
    let ours = Server::start(&["serve", "ours", &part("ours")])?;
    let mut report = report::Report::default();
    let warm = Duration::from_millis(300);
    for server in [&bare, &ours] {
        for alg in 0..ALGS.len() {
            server.run(alg, 16, warm)?;
        }
    }
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        let text = pinned("0", &["raw", &(millis.parse::<u64>()? / 4).to_string()])?.output()?.stdout;
        report.raw(&String::from_utf8(text)?);
        for connections in CONNECTIONS {
            for (at, alg) in ALGS.iter().enumerate() {
                report.pair(
                    connections,
                    alg.as_str(),
                    &bare.run(at, connections, time)?,
                    &ours.run(at, connections, time)?,
                );
            }
        }
    }
    report.print();
    println!("\nresident: bare {}, ours {}", Gauge::peak(bare.child.id())?, Gauge::peak(ours.child.id())?);
    drop((bare, ours));
    let text = pinned("0", &["parts", &part("parts")])?.output()?.stdout;
    println!("\nwhere the time goes, one request at a time unless said otherwise:\n{}", String::from_utf8(text)?);
    Ok(())
}
