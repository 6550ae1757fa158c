//! The mail gateway beside nginx's mail proxy, Dovecot's proxy, haproxy and a bare relay on our own stack, in front of the same
//! upstreams, in one run. `tests/bench/gateway` installs what is missing, builds and starts it.
//!
//! A proxy and what helps it run on CPU 0, the load and the upstream on CPU 1. Proxies are measured in turns, round by round, so that
//! what else the machine does touches all alike. CPU per operation holds on a busy machine too.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]

mod auth_http;
mod cells;
mod client;
mod dovecot;
mod load;
mod ours;
mod peer;
mod process;
mod relay;
mod report;
mod settings;
mod stub;
mod tls;
mod token;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::cells::{Cells, Plan};
use crate::peer::Upstream;
use crate::process::{Process, pinned};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match *words {
        ["stub", folder] => stub::serve(folder.as_ref()),
        ["relay", folder, imap, smtp] => relay::serve(folder.as_ref(), imap, smtp),
        ["auth-http", folder, imap, smtp, user, password] => {
            auth_http::serve(folder.as_ref(), imap, smtp, user, password)
        }
        ["drive", rounds, millis, sessions, folder] => drive(rounds, millis, sessions, folder),
        [] => begin("3", "400", "2000", ""),
        [rounds, millis, sessions] => begin(rounds, millis, sessions, ""),
        [rounds, millis, sessions, folder] => begin(rounds, millis, sessions, folder),
        _ => Err(anyhow::anyhow!("usage: tests/bench/gateway [ROUNDS MILLISECONDS SESSIONS [FOLDER]]")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn begin(rounds: &str, millis: &str, sessions: &str, folder: &str) -> anyhow::Result<()> {
    let own = std::env::current_exe()?;
    let status = pinned(process::LOAD_CPU, &own).args(["drive", rounds, millis, sessions, folder]).status()?;
    anyhow::ensure!(status.success(), "it ended early");
    Ok(())
}

fn drive(rounds: &str, millis: &str, sessions: &str, folder: &str) -> anyhow::Result<()> {
    let place = if folder.is_empty() { tempfile::tempdir()? } else { tempfile::tempdir_in(folder)? };
    let root = place.path();
    std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    tls::write_certificates(root)?;
    let plan =
        Plan { rounds: rounds.parse()?, time: Duration::from_millis(millis.parse()?), sessions: sessions.parse()? };

    let mut stub = Process::again(process::LOAD_CPU, &["stub", &root.display().to_string()])?;
    let ports = stub.ports(4)?;
    let upstream = Upstream::new(&ports, "user@example.com", "null-password")?;
    let capacity = measure(root, "stub", &upstream, &plan)?;
    drop(stub);

    let (dovecot, upstream) = dovecot::upstream(root)?;
    let felt = measure(root, "dovecot", &upstream, &plan)?;
    drop(dovecot);
    report::print(&capacity, &felt, plan.sessions);
    Ok(())
}

/// Every proxy in front of one upstream.
fn measure(root: &Path, name: &str, upstream: &Upstream, plan: &Plan) -> anyhow::Result<Cells> {
    let folder = root.join(format!("before-{name}"));
    std::fs::create_dir(&folder)?;
    let peers = peer::start_all(root, &folder, upstream)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(cells::run(name, upstream, peers, plan))
}
