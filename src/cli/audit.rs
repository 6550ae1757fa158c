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
        /// Only those after this number
        #[arg(long, default_value_t = 0)]
        after: i64,
        /// At most so many
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
            Self::List { after, limit } => {
                Api::new(&common.target)?.call(Method::GET, &format!("/audit?after={after}&limit={limit}"), None).await
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
