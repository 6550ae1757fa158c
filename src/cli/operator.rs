//! `operator`: a token is printed once, by the command that makes it.

use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use crate::cli::manage::{Call, segment};

#[derive(Debug, Subcommand)]
pub(super) enum Operator {
    /// Register an operator; prints the token once
    Add {
        name: String,
        #[arg(long, value_parser = ["admin", "security", "auditor"])]
        role: String,
    },
    /// All operators
    List,
    /// Remove one
    Remove { id: String },
}

impl Operator {
    /// The call that it stands for.
    pub(super) fn call(self) -> Call {
        match self {
            Self::Add { name, role } => {
                (Method::POST, "/operators".to_owned(), Some(json!({ "name": name, "role": role })))
            }
            Self::List => (Method::GET, "/operators".to_owned(), None),
            Self::Remove { id } => (Method::DELETE, format!("/operators/{}", segment(&id)), None),
        }
    }
}
