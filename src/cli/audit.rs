//! `audit`: what happened, and whether the log is as it was written.

use clap::Subcommand;
use reqwest::Method;

use crate::cli::manage::Call;

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
    /// Walk the whole chain
    Verify,
}

impl Audit {
    /// The call that it stands for.
    pub(super) fn call(self) -> Call {
        match self {
            Self::List { after, limit } => (Method::GET, format!("/audit?after={after}&limit={limit}"), None),
            Self::Verify => (Method::GET, "/audit/verify".to_owned(), None),
        }
    }
}
