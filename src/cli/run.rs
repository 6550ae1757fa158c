//! `run -- CMD`: a program with a token of its own, which ends with the program.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context;
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::oauth::{Issued, OauthClient};
use crate::cli::tool::{Asking, MailProtocol, SECRET, SECRET_FILE};
use crate::config;
use crate::crypto::encoding::hex;
use crate::crypto::random;

/// Where a program looks for its token.
const TOKEN: &str = "MAILWARDEN_TOKEN";
const TOKEN_FILE: &str = "MAILWARDEN_TOKEN_FILE";

#[derive(Debug, Args)]
#[command(
    after_help = "CMD finds the token in MAILWARDEN_TOKEN (or --env NAME), or with --file in the file that MAILWARDEN_TOKEN_FILE \
    names. Neither the client secret nor an operator token is passed on to it.\n\nWhen CMD ends, the token is revoked where the service \
    offers that (revocation_endpoint in its metadata); elsewhere it ends by its lifetime. It is not renewed: a program that logs in again \
    and again for longer than that is better served by `mailwarden agent`.\n\nExit code: CMD's own; 128 and the number of the signal that \
    ended it; 2 when it could not be started or no token was given."
)]
pub(super) struct Run {
    #[command(flatten)]
    asking: Asking,
    /// Hand over a handle instead of a signed token
    #[arg(long, requires = "protocol")]
    handle: bool,
    /// The one protocol of the handle
    #[arg(long, value_enum, requires = "handle")]
    protocol: Option<MailProtocol>,
    /// The variable that holds the token
    #[arg(long, value_name = "NAME", default_value = TOKEN, conflicts_with = "file")]
    env: String,
    /// Hand it over in a file that only its owner can read, not in a variable
    #[arg(long)]
    file: bool,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Run {
    pub(super) async fn execute(self) -> anyhow::Result<ExitCode> {
        let (client, issued) = self.asking.ask(self.protocol.map(Into::into)).await?;
        let status = self.supervised(&issued).await;
        revoke(&client, &issued).await;
        Ok(exit_code(status?))
    }

    async fn supervised(&self, issued: &Issued) -> anyhow::Result<ExitStatus> {
        let (program, arguments) = self.command.split_first().context("no program is named")?;
        let mut command = Command::new(program);
        command.args(arguments);
        for secret in [SECRET, SECRET_FILE, "MAILWARDEN_OPERATOR_TOKEN"] {
            command.env_remove(secret);
        }
        let file = if self.file { Some(TokenFile::write(issued)?) } else { None };
        match &file {
            Some(file) => command.env(TOKEN_FILE, &file.path),
            None => command.env(&self.env, issued.token.expose_text(str::to_owned).unwrap_or_default()),
        };
        // Heard from before the program starts, so that none is lost.
        let mut signals = Signals::listen()?;
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        loop {
            tokio::select! {
                status = child.wait() => return Ok(status?),
                received = signals.next() => pass_on(&child, received),
            }
        }
    }
}

/// The child is not reaped before `wait` is done, so its number is still its own.
fn pass_on(child: &Child, received: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended this moment.
        let _ = kill_process(pid, received);
    }
}

#[expect(clippy::print_stderr, reason = "the program's exit code is passed on; this is said beside it")]
async fn revoke(client: &OauthClient, issued: &Issued) {
    if let Err(error) = client.revoke(&issued.token).await {
        eprintln!("mailwarden: the token was not revoked and ends by its lifetime: {error}");
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(2))
}

/// The signals that mean the program and not us.
struct Signals(Vec<(tokio::signal::unix::Signal, Signal)>);

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let mut kinds = vec![
            (SignalKind::terminate(), Signal::TERM),
            (SignalKind::hangup(), Signal::HUP),
            (SignalKind::user_defined1(), Signal::USR1),
            (SignalKind::user_defined2(), Signal::USR2),
            (SignalKind::interrupt(), Signal::INT),
            (SignalKind::quit(), Signal::QUIT),
        ];
        let heard: std::io::Result<Vec<_>> = kinds.drain(..).map(|(kind, name)| Ok((signal(kind)?, name))).collect();
        Ok(Self(heard.context("cannot listen to signals")?))
    }

    /// The next one to pass on. What is typed at a terminal reaches the program by itself; twice would be once too often.
    async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (heard, name) in &mut self.0 {
                while let std::task::Poll::Ready(Some(())) = heard.poll_recv(context) {
                    let is_typed = [Signal::INT, Signal::QUIT].contains(name) && std::io::stdin().is_terminal();
                    if !is_typed {
                        return std::task::Poll::Ready(*name);
                    }
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// A token in a file of its own in a folder of its own; both go with this value.
struct TokenFile {
    folder: PathBuf,
    path: PathBuf,
}

impl TokenFile {
    fn write(issued: &Issued) -> anyhow::Result<Self> {
        let environment = config::environment();
        // In memory, where the system has such a place for its users.
        let runtime = environment.iter().find(|(name, _)| name == "XDG_RUNTIME_DIR").map(|(_, value)| value);
        let parent = runtime.filter(|path| !path.is_empty()).map_or_else(std::env::temp_dir, PathBuf::from);
        let folder = parent.join(format!("mailwarden-{}", hex(&random::system().bytes::<16>())));
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.with_context(|| format!("cannot make a folder for the token in {}", parent.display()))?;
        let file = Self { path: folder.join("token"), folder };
        let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file.path)?;
        issued.token.expose(|bytes| open.write_all(bytes)).context("cannot write the token")?;
        Ok(file)
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        // The program may have removed it already.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
