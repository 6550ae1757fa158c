//! `token`, `handle`, `run` and `agent`: what a tool runs. They speak OAuth, with the tool's own id and secret.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use zeroize::Zeroizing;

use crate::agent::https;
use crate::agent::oauth::{Issued, OauthClient, Wanted};
use crate::cli::agent::Agent;
use crate::cli::api::Target;
use crate::cli::out;
use crate::cli::output::Format;
use crate::cli::run::Run;
use crate::config;
use crate::domain::address::MailAddress;
use crate::domain::secret::{ClientSecret, Secret};
use crate::domain::session::Protocol;

/// The variable that holds the secret.
pub(super) const SECRET: &str = "MAILWARDEN_CLIENT_SECRET";
/// The variable that names a file with it.
pub(super) const SECRET_FILE: &str = "MAILWARDEN_CLIENT_SECRET_FILE";

#[derive(Debug, Subcommand)]
pub(super) enum Tool {
    /// Print an access token, for settings such as mbsync's PassCmd
    Token {
        #[command(flatten)]
        asking: Asking,
        /// table: the token alone; json: the whole answer of the token endpoint
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Print a handle: a token in 42 characters, for programs that cut long passwords
    Handle {
        /// The one protocol that it opens the mailbox by
        #[arg(long, value_enum)]
        protocol: MailProtocol,
        #[command(flatten)]
        asking: Asking,
        /// table: the handle alone; json: the whole answer of the token endpoint
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Run a program with an access token, and end the token when the program ends
    Run(Run),
    /// Serve IMAP, POP3 and SMTP on loopback to programs that can only store one fixed password
    Agent(Agent),
}

/// Who asks, and for what.
#[derive(Debug, Args)]
pub(super) struct Asking {
    #[command(flatten)]
    pub(super) who: Who,
    /// The mailbox; may be left out by a client with one grant or a default mailbox
    #[arg(long)]
    mailbox: Option<MailAddress>,
    /// Scopes, separated by spaces [default: all that are granted]
    #[arg(long)]
    scope: Option<String>,
}

/// The registered tool. Its secret is never an argument: those are seen by everybody on the machine.
#[derive(Debug, Args)]
#[command(after_help = "The secret of the client stands in MAILWARDEN_CLIENT_SECRET, or in a file.")]
pub(super) struct Who {
    #[command(flatten)]
    target: Target,
    /// The tool's client_id
    #[arg(long, env = "MAILWARDEN_CLIENT_ID")]
    client_id: String,
    /// File with its client_secret [default: what MAILWARDEN_CLIENT_SECRET holds]
    #[arg(long, env = SECRET_FILE)]
    client_secret_file: Option<PathBuf>,
}

/// A protocol, as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum MailProtocol {
    Imap,
    Smtp,
    Pop3,
}

impl From<MailProtocol> for Protocol {
    fn from(protocol: MailProtocol) -> Self {
        match protocol {
            MailProtocol::Imap => Self::Imap,
            MailProtocol::Smtp => Self::Smtp,
            MailProtocol::Pop3 => Self::Pop3,
        }
    }
}

pub(super) async fn execute(tool: Tool) -> anyhow::Result<ExitCode> {
    let (asking, protocol, format) = match tool {
        Tool::Token { asking, format } => (asking, None, format),
        Tool::Handle { protocol, asking, format } => (asking, Some(protocol.into()), format),
        Tool::Run(run) => return run.execute().await,
        Tool::Agent(agent) => return agent.execute().await.map(|()| ExitCode::SUCCESS),
    };
    let (_, issued) = asking.ask(protocol).await?;
    let printed = if format == Format::Json { &issued.answer } else { &issued.token };
    printed.expose_text(|text| out(text.trim()));
    Ok(ExitCode::SUCCESS)
}

impl Asking {
    /// Gets a token, or a handle for a protocol.
    pub(super) async fn ask(&self, handle: Option<Protocol>) -> anyhow::Result<(OauthClient, Issued)> {
        let client = self.who.discover().await?;
        let wanted = Wanted { mailbox: self.mailbox.clone(), scope: self.scope.clone(), handle };
        let issued = client.token(&wanted).await?;
        Ok((client, issued))
    }
}

impl Who {
    /// Finds the token endpoint.
    pub(super) async fn discover(&self) -> anyhow::Result<OauthClient> {
        let origin = https::origin(&self.target.url)?;
        let http = https::client(self.target.ca.as_deref())?;
        Ok(OauthClient::discover(http, origin, self.client_id.clone(), self.secret()?).await?)
    }

    /// The URL of the service.
    pub(super) fn url(&self) -> &str {
        &self.target.url
    }

    /// The file of its CA.
    pub(super) fn ca(&self) -> Option<&PathBuf> {
        self.target.ca.as_ref()
    }

    fn secret(&self) -> anyhow::Result<Secret<ClientSecret>> {
        let text = if let Some(path) = &self.client_secret_file {
            let text = std::fs::read_to_string(path);
            Zeroizing::new(text.with_context(|| format!("cannot read the client secret from {}", path.display()))?)
        } else {
            let known = config::secret(SECRET);
            known.with_context(|| format!("set {SECRET}, or {SECRET_FILE} to a file that holds it"))?
        };
        let text = text.trim();
        if text.is_empty() {
            bail!("the client secret is empty");
        }
        Ok(Secret::from_text(text.to_owned()))
    }
}
