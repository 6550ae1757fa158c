//! Management commands: each is one call of the API, made by its noun's own file.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use crate::cli::api::{Api, Target};
use crate::cli::apply::Apply;
use crate::cli::audit::Audit;
use crate::cli::client::Client;
use crate::cli::freeze::{Freeze, Thaw};
use crate::cli::grant::Grant;
use crate::cli::key::Key;
use crate::cli::mailbox::Mailbox;
use crate::cli::operator::Operator;
use crate::cli::output::{Format, print};
use crate::cli::session::{Revoke, Session};

/// Where the API is, and how to print.
#[derive(Debug, Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) target: Target,
    /// How to print
    #[arg(long, value_enum, default_value = "table", global = true)]
    format: Format,
}

impl Common {
    /// How to print.
    pub(super) fn format(&self) -> Format {
        self.format
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Manage {
    /// Shared mailboxes
    Mailbox {
        #[command(subcommand)]
        command: Mailbox,
        #[command(flatten)]
        common: Common,
    },
    /// Registered tools
    Client {
        #[command(subcommand)]
        command: Client,
        #[command(flatten)]
        common: Common,
    },
    /// Who may do what, where
    Grant {
        #[command(subcommand)]
        command: Grant,
        #[command(flatten)]
        common: Common,
    },
    /// People and automation who manage
    Operator {
        #[command(subcommand)]
        command: Operator,
        #[command(flatten)]
        common: Common,
    },
    /// Running sessions
    Session {
        #[command(subcommand)]
        command: Session,
        #[command(flatten)]
        common: Common,
    },
    /// End all tokens and sessions of a client or mailbox, or one token and its sessions, at once
    Revoke {
        #[command(flatten)]
        revoke: Revoke,
        #[command(flatten)]
        common: Common,
    },
    /// Stop what tools do: no new tokens, reading only, no new sessions, or everything at once
    Freeze {
        #[command(flatten)]
        freeze: Freeze,
        #[command(flatten)]
        common: Common,
    },
    /// End freezes
    Thaw {
        #[command(flatten)]
        thaw: Thaw,
        #[command(flatten)]
        common: Common,
    },
    /// The keys that sign access tokens
    Key {
        #[command(subcommand)]
        command: Key,
        #[command(flatten)]
        common: Common,
    },
    /// Make mailboxes, clients and grants what a file says: shows what changes, asks, does it
    Apply {
        #[command(flatten)]
        apply: Box<Apply>,
        #[command(flatten)]
        common: Common,
    },
    /// The audit log
    Audit {
        #[command(subcommand)]
        command: Audit,
        #[command(flatten)]
        common: Common,
    },
}

/// A request of the API: method, path below `/api/v1`, JSON body.
pub(super) type Call = (Method, String, Option<Value>);

pub(super) async fn execute(command: Manage) -> anyhow::Result<()> {
    let is_test = matches!(command, Manage::Mailbox { command: Mailbox::Test { .. }, .. });
    let (common, call): (Common, Call) = match command {
        Manage::Mailbox { command, common } => (common, command.call()?),
        Manage::Client { command, common } => (common, command.call()?),
        Manage::Grant { command, common } => {
            print(common.format, &command.run(&common).await?);
            return Ok(());
        }
        Manage::Operator { command, common } => (common, command.call()),
        Manage::Session { command, common } => (common, command.call()),
        Manage::Revoke { revoke, common } => (common, revoke.call()),
        Manage::Freeze { freeze, common } => (common, freeze.call()),
        Manage::Thaw { thaw, common } => (common, thaw.call()),
        Manage::Key { command, common } => (common, command.call()),
        Manage::Apply { apply, common } => return apply.run(&common).await,
        Manage::Audit { command, common } => {
            print(common.format, &command.run(&common).await?);
            return Ok(());
        }
    };
    let (method, path, body) = call;
    let answer = Api::new(&common.target)?.call(method, &path, body).await?;
    print(common.format, &answer);
    // The report is the answer; whether the logins went well is for scripts.
    let logins = answer.as_object().into_iter().flat_map(serde_json::Map::values);
    let refused = logins.filter(|login| is_test && login.as_str().is_some_and(|word| word != "ok")).count();
    anyhow::ensure!(refused == 0, "a login failed");
    Ok(())
}

/// One path segment, escaped.
pub(super) fn segment(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
