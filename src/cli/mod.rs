//! The command line. Management commands speak to the HTTP API; `dev`, `serve` and `init` start things here.

mod agent;
mod api;
pub mod apply;
mod audit;
mod audit_offline;
mod budget;
mod client;
mod client_auth;
mod freeze;
mod grant;
mod grant_widen;
mod key;
mod mailbox;
mod manage;
mod operator;
mod output;
mod run;
mod session;
mod tool;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app;

/// Keeps the credentials of shared mailboxes and lets registered tools in without them.
#[derive(Debug, Parser)]
#[command(
    name = "mailwarden",
    version,
    about,
    after_help = "First steps: `mailwarden dev` runs everything on loopback with sample mail."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole on loopback with a built-in upstream and sample mail, and print lines to try
    Dev {
        /// Where its state is kept between runs
        #[arg(long, default_value = ".mailwarden-dev")]
        data: PathBuf,
        /// Port of OAuth and API (0: any free one; so for all ports)
        #[arg(long, default_value_t = 8443)]
        https_port: u16,
        /// Port of IMAP with TLS
        #[arg(long, default_value_t = 1993)]
        imaps_port: u16,
        /// Port of submission with TLS
        #[arg(long, default_value_t = 1465)]
        smtps_port: u16,
        /// Port of submission with STARTTLS
        #[arg(long, default_value_t = 1587)]
        submission_port: u16,
        /// Port of POP3 with TLS
        #[arg(long, default_value_t = 1995)]
        pop3s_port: u16,
    },
    /// Run the service
    Serve(ConfigFile),
    /// Make the key encryption key, the database and the first operator; prints its token once
    Init(ConfigFile),
    /// Bring the database's schema up to this version
    Migrate(ConfigFile),
    /// Look at all that must be right, without changing anything; 2 when something is not
    Doctor(ConfigFile),
    /// Look at the settings
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    #[command(flatten)]
    Tool(tool::Tool),
    #[command(flatten)]
    Manage(manage::Manage),
}

#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// Settings file [default: /etc/mailwarden/mailwarden.toml if it exists]
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether the settings can be used, without starting anything
    Check(ConfigFile),
}

/// Runs the program. Exit codes: 0 done, 1 wrong usage, 2 refused or failed.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let is_failure = error.use_stderr();
            // Nowhere to tell of a failure to print.
            let _ = error.print();
            return if is_failure { ExitCode::from(1) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    match runtime.block_on(execute(cli.command)) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the one line that says what went wrong")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("mailwarden: {error:#}");
    ExitCode::from(2)
}

async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Tool(tool) => return tool::execute(tool).await,
        Command::Dev { data, https_port, imaps_port, smtps_port, submission_port, pop3s_port } => {
            app::dev(app::DevOptions { data, https_port, imaps_port, smtps_port, submission_port, pop3s_port }).await
        }
        Command::Serve(file) => app::serve(app::ServeOptions { config: file.config }).await,
        Command::Init(file) => {
            let made = app::init(file.config).await?;
            if let Some(path) = made.kek_file {
                out(&format!("# key encryption key made in {}: back it up apart from the database", path.display()));
            }
            made.token.expose_text(|token| out(&format!("MAILWARDEN_OPERATOR_TOKEN={token}")));
            Ok(())
        }
        Command::Migrate(file) => app::migrate(file.config).await,
        Command::Doctor(file) => {
            let checks = app::doctor(file.config).await;
            for check in &checks {
                match &check.outcome {
                    Ok(found) => out(&format!("ok    {}: {found}", check.name)),
                    Err(error) => out(&format!("wrong {}: {error:#}", check.name)),
                }
            }
            let wrong = checks.iter().filter(|check| check.outcome.is_err()).count();
            anyhow::ensure!(wrong == 0, "{wrong} of {} checks found something wrong", checks.len());
            Ok(())
        }
        Command::Config { command: ConfigCommand::Check(file) } => {
            app::check_config(file.config)?;
            out("the settings can be used");
            Ok(())
        }
        Command::Manage(command) => manage::execute(command).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the one place that prints what was asked for")]
fn out(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn ids_that_begin_with_a_hyphen_are_no_options() {
        for line in [["key", "revoke", "-Ab_9x"].as_slice(), &["revoke", "--token", "-3ugOwM69Shn0ritb-FFikA"]] {
            let words = std::iter::once("mailwarden").chain(line.iter().copied());
            super::Cli::command().try_get_matches_from(words).unwrap();
        }
    }
}
