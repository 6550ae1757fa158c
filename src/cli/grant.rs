//! `grant`: who may do what, where, and why a command was refused.

use anyhow::Context;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::cli::api::Api;
use crate::cli::budget;
use crate::cli::grant_widen::Widen;
use crate::cli::manage::{Call, Common, segment};
use crate::domain::mechanism::Mechanism;
use crate::domain::privacy::RecipientDetail;
use crate::domain::scope::Preset;

#[derive(Debug, Subcommand)]
pub(super) enum Grant {
    /// Let a client into a mailbox
    Add(Box<NewGrant>),
    /// All grants
    List,
    /// One grant
    Show { id: String },
    /// Add scopes, or entries to its lists
    Widen(Widen),
    /// What was asked, which rule refused it, what would let it through and who may give that
    Explain {
        /// The verdict id of a refusal
        #[arg(long, conflicts_with_all = ["client", "mailbox", "command"])]
        verdict: Option<String>,
        #[arg(long, required_unless_present = "verdict")]
        client: Option<String>,
        #[arg(long, required_unless_present = "verdict")]
        mailbox: Option<String>,
        /// An IMAP command without tag, e.g. 'STORE 1 +FLAGS (\Deleted)' or 'APPEND INBOX {310}', a POP3 command, 'MAIL
        /// FROM:<address>', 'RCPT TO:<address>', DATA, or login for a new session
        #[arg(long, required_unless_present = "verdict")]
        command: Option<String>,
    },
    /// Remove it; its sessions end
    Remove { id: String },
}

#[derive(Debug, Args)]
pub(super) struct NewGrant {
    /// Client: id or name
    #[arg(long)]
    client: String,
    /// Mailbox: id or address
    #[arg(long)]
    mailbox: String,
    /// backup, archive, restore, marketing, helpdesk or full
    #[arg(long, required_unless_present = "scope", conflicts_with = "scope")]
    preset: Option<String>,
    #[command(flatten)]
    lists: Lists,
    /// OAUTHBEARER, XOAUTH2, PLAIN or LOGIN: how a token may be presented at the mail doors; may be repeated
    #[arg(long, value_parser = mechanism)]
    mechanism: Vec<Mechanism>,
    /// A token works only from the address that it was asked for from
    #[arg(long)]
    pin_source: bool,
    /// A token opens one session, once
    #[arg(long)]
    pin_once: bool,
    /// What DELE does in POP3: refuse (without mail.delete), or virtual (out of this tool's sight, and nothing else)
    #[arg(long, value_name = "refuse|virtual")]
    pop3_delete: Option<String>,
    /// How much may be used up: NAME=NUMBER/hour or /day of `messages_sent`, recipients, `messages_read`, bytes or folders; or
    /// sessions=NUMBER at a time; may be repeated. `on_exhausted=freeze`: the first time in an hour or day that one is used up (but
    /// sessions) cuts the client off from the mailbox until an operator thaws it
    #[arg(long, value_name = "NAME=NUMBER/SPAN", value_parser = budget::limit)]
    budget: Vec<budget::Limit>,
    /// What the audit log tells of recipients: full, domain, digest or none
    #[arg(long, value_parser = recipient_detail)]
    audit_recipients: Option<RecipientDetail>,
    /// Life of a token in seconds
    #[arg(long)]
    token_ttl: Option<u32>,
    /// Longest session in seconds; 0: ends with its token
    #[arg(long)]
    session_ttl: Option<u32>,
    /// When it ends by itself, RFC 3339
    #[arg(long)]
    expires: Option<String>,
}

/// What `grant widen` can add to.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Lists {
    /// A scope; may be repeated
    #[arg(long)]
    pub(super) scope: Vec<String>,
    /// A folder, or FOLDER/* for everything below; may be repeated
    #[arg(long)]
    pub(super) folder: Vec<String>,
    /// An address or @domain that mail may come from; may be repeated
    #[arg(long)]
    pub(super) sender: Vec<String>,
    /// An address or @domain that mail may go to; may be repeated
    #[arg(long)]
    pub(super) recipient: Vec<String>,
    /// A network that the tool may come from; may be repeated
    #[arg(long)]
    pub(super) network: Vec<String>,
    /// imap, smtp or pop3; may be repeated
    #[arg(long)]
    pub(super) protocol: Vec<String>,
}

impl Grant {
    /// Does it.
    pub(super) async fn run(self, common: &Common) -> anyhow::Result<Value> {
        let api = Api::new(&common.target)?;
        if let Self::Widen(widen) = self {
            return widen.run(&api).await;
        }
        let (method, path, body) = self.call()?;
        api.call(method, &path, body).await
    }

    fn call(self) -> anyhow::Result<Call> {
        Ok(match self {
            Self::Widen(_) => anyhow::bail!("it takes more than one call"),
            Self::Add(new) => (Method::POST, "/grants".to_owned(), Some(new.body()?)),
            Self::List => (Method::GET, "/grants".to_owned(), None),
            Self::Show { id } => (Method::GET, format!("/grants/{}", segment(&id)), None),
            Self::Explain { verdict, client, mailbox, command } => {
                let mut query = form_urlencoded::Serializer::new(String::new());
                for (name, value) in
                    [("verdict", verdict), ("client", client), ("mailbox", mailbox), ("command", command)]
                {
                    if let Some(value) = value {
                        query.append_pair(name, &value);
                    }
                }
                (Method::GET, format!("/grants/explain?{}", query.finish()), None)
            }
            Self::Remove { id } => (Method::DELETE, format!("/grants/{}", segment(&id)), None),
        })
    }
}

impl NewGrant {
    fn body(&self) -> anyhow::Result<Value> {
        let scope = match &self.preset {
            Some(name) => {
                let preset: Preset = name.parse().ok().with_context(|| {
                    format!("unknown preset {name}; there are {}", Preset::ALL.map(Preset::as_str).join(", "))
                })?;
                note(&format!("{name}: {}", preset.caution()));
                preset.scopes().to_string()
            }
            None => self.lists.scope.join(" "),
        };
        let mut bounds = Map::new();
        for (name, list) in self.lists.bounds() {
            if !list.is_empty() {
                bounds.insert(name.to_owned(), json!(list));
            }
        }
        if !self.mechanism.is_empty() {
            bounds.insert("mechanisms".to_owned(), json!(self.mechanism));
        }
        if !self.budget.is_empty() {
            bounds.insert("budgets".to_owned(), budget::bound(&self.budget)?);
        }
        if let Some(detail) = self.audit_recipients {
            bounds.insert("audit_recipients".to_owned(), json!(detail));
        }
        if self.pin_source || self.pin_once {
            let pin = json!({ "source": self.pin_source, "single_connection": self.pin_once });
            bounds.insert("pin".to_owned(), pin);
        }
        if let Some(word) = &self.pop3_delete {
            bounds.insert("pop3_delete".to_owned(), json!(word));
        }
        Ok(json!({
            "client": self.client, "mailbox": self.mailbox, "scope": scope, "bounds": bounds,
            "token_ttl_secs": self.token_ttl, "session_ttl_secs": self.session_ttl, "expires_at": self.expires,
        }))
    }
}

impl Lists {
    /// The bounds among them, by name.
    pub(super) fn bounds(&self) -> [(&'static str, &Vec<String>); 5] {
        [
            ("folders", &self.folder),
            ("senders", &self.sender),
            ("recipients", &self.recipient),
            ("networks", &self.network),
            ("protocols", &self.protocol),
        ]
    }
}

fn recipient_detail(name: &str) -> Result<RecipientDetail, String> {
    RecipientDetail::parse(name)
        .ok_or_else(|| format!("there are {}", RecipientDetail::ALL.map(RecipientDetail::as_str).join(", ")))
}

fn mechanism(name: &str) -> Result<Mechanism, String> {
    Mechanism::parse(name).ok_or_else(|| format!("there are {}", Mechanism::ALL.map(Mechanism::as_str).join(", ")))
}

#[expect(clippy::print_stderr, reason = "a remark beside the output")]
fn note(text: &str) {
    eprintln!("{text}");
}
