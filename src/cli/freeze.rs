//! `freeze` and `thaw`: the graded kill switch.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use crate::cli::manage::{Call, segment};
use crate::domain::freeze::Level;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[group(id = "freezing")]
pub(super) struct Freeze {
    #[command(subcommand)]
    command: Option<FreezeCommand>,
    #[command(flatten)]
    reached: Reached,
    /// no-new-tokens, read-only, drain or cut
    #[arg(long, required = true, value_parser = level)]
    level: Option<Level>,
    /// How long, as 90s, 15m, 2h or 7d; until `thaw` when absent
    #[arg(long = "for", value_name = "DURATION", value_parser = seconds)]
    lasts: Option<i64>,
    /// Why: kept in the audit log and shown in the list
    #[arg(long, required = true)]
    reason: Option<String>,
}

#[derive(Debug, Subcommand)]
enum FreezeCommand {
    /// The freezes in force
    List,
}

/// What is reached: what all that is named has in common, or everything.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Reached {
    /// Client: id or name
    #[arg(long)]
    client: Option<String>,
    /// Mailbox: id or address
    #[arg(long)]
    mailbox: Option<String>,
    /// imap, smtp or pop3
    #[arg(long)]
    protocol: Option<String>,
    /// Everything
    #[arg(long, conflicts_with_all = ["client", "mailbox", "protocol"])]
    all: bool,
}

#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false)]
pub(super) struct Thaw {
    /// Id of a freeze
    id: Option<String>,
    /// All of them
    #[arg(long)]
    all: bool,
}

impl Freeze {
    /// The call that it stands for.
    pub(super) fn call(self) -> Call {
        let Reached { client, mailbox, protocol, all } = self.reached;
        match self.command {
            Some(FreezeCommand::List) => (Method::GET, "/freezes".to_owned(), None),
            None => (
                Method::POST,
                "/freezes".to_owned(),
                Some(json!({
                    "level": self.level, "client": client, "mailbox": mailbox, "protocol": protocol, "all": all,
                    "reason": self.reason, "thaw_after_secs": self.lasts,
                })),
            ),
        }
    }
}

impl Thaw {
    /// The call that it stands for.
    pub(super) fn call(self) -> Call {
        match self.id {
            Some(id) => (Method::DELETE, format!("/freezes/{}", segment(&id)), None),
            None => (Method::DELETE, "/freezes".to_owned(), None),
        }
    }
}

fn level(name: &str) -> Result<Level, String> {
    Level::parse(name).ok_or_else(|| format!("there are {}", Level::ALL.map(Level::as_str).join(", ")))
}

/// A number and its unit.
fn seconds(text: &str) -> Result<i64, String> {
    let wrong = || "write a number and s, m, h or d, as in 15m".to_owned();
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let number = text.get(..text.len() - 1).and_then(|digits| digits.parse::<u32>().ok()).ok_or_else(wrong)?;
    Ok(i64::from(number) * unit)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn a_duration_is_a_number_and_its_unit() {
        for (text, secs) in [("90s", 90), ("15m", 900), ("2h", 7_200), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(seconds(text), Ok(secs));
        }
        for wrong in ["", "s", "15", "-1m", "1.5h", "1 h", "1w", "5é"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
