//! `key`: the keys that sign access tokens.

use clap::Subcommand;
use reqwest::Method;

use crate::cli::manage::Call;

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// All keys in force, without the keys
    List,
}

impl Key {
    /// The call that it stands for.
    pub(super) fn call(self) -> Call {
        match self {
            Self::List => (Method::GET, "/keys".to_owned(), None),
        }
    }
}
