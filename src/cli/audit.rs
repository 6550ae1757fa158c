//! `audit`: what happened, and whether the log is as it was written.

use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;

use crate::cli::api::Api;
use crate::cli::audit_offline::{self, FileCommand};
use crate::cli::manage::Common;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Events
    List {
        /// Only those with this code, such as token.issued
        #[arg(long)]
        code: Option<String>,
        /// Only those about this client: id or name
        #[arg(long)]
        client: Option<String>,
        /// Only those about this mailbox: id or address
        #[arg(long)]
        mailbox: Option<String>,
        /// Only those after this number
        #[arg(long, default_value_t = 0)]
        after: i64,
        /// At most so many
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Who has read, added or sent a message
    WhoRead {
        /// Its Message-ID, with or without angle brackets
        message_id: String,
        /// Only in this mailbox: id or address
        #[arg(long)]
        mailbox: Option<String>,
        /// Only events after this number
        #[arg(long, default_value_t = 0)]
        after: i64,
        /// At most so many; what one event tells is never divided
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    #[command(flatten)]
    File(FileCommand),
}

impl Audit {
    /// Does it: a call, an export that is read piece by piece, or a verification that needs no server.
    pub(super) async fn run(self, common: &Common) -> anyhow::Result<Value> {
        match self {
            Self::List { code, client, mailbox, after, limit } => {
                list(common, "/audit", [("code", code), ("client", client), ("mailbox", mailbox)], after, limit).await
            }
            Self::WhoRead { message_id, mailbox, after, limit } => {
                let asked = [("message_id", Some(message_id)), ("mailbox", mailbox)];
                list(common, "/audit/who-read", asked, after, limit).await
            }
            Self::File(FileCommand::Export { output }) => {
                audit_offline::export(&Api::new(&common.target)?, output.as_deref()).await?;
                Ok(Value::Null)
            }
            Self::File(FileCommand::Verify(verify)) => match verify.offline()? {
                Some(verified) => Ok(serde_json::to_value(verified)?),
                None => Api::new(&common.target)?.call(Method::GET, "/audit/verify", None).await,
            },
        }
    }
}

/// One page of what `asked` picks.
async fn list<const N: usize>(
    common: &Common,
    path: &str,
    asked: [(&str, Option<String>); N],
    after: i64,
    limit: u32,
) -> anyhow::Result<Value> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(asked.iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
    query.append_pair("after", &after.to_string()).append_pair("limit", &limit.to_string());
    Api::new(&common.target)?.call(Method::GET, &format!("{path}?{}", query.finish()), None).await
}
