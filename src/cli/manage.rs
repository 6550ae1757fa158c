//! Management commands: each is one call of the API.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::api::{Api, Target};
use crate::cli::audit_offline::{self, FileCommand};
use crate::cli::out;
use crate::domain::scope::Preset;

/// Where the API is, and how to print.
#[derive(Debug, Args)]
pub(super) struct Common {
    #[command(flatten)]
    target: Target,
    /// How to print
    #[arg(long, value_enum, default_value = "table", global = true)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
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
    /// End all tokens and sessions of a client or mailbox, at once
    Revoke {
        /// Client: id or name
        #[arg(long, required_unless_present = "mailbox", conflicts_with = "mailbox")]
        client: Option<String>,
        /// Mailbox: id or address
        #[arg(long)]
        mailbox: Option<String>,
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

#[derive(Debug, Subcommand)]
pub(super) enum Mailbox {
    /// Register a mailbox; its login is proven before anything is stored
    Add(Box<NewMailbox>),
    /// All mailboxes
    List,
    /// One mailbox
    Show { mailbox: String },
    /// Try its login, IMAP and SMTP apart
    Test { mailbox: String },
    /// Replace its password; the new one is proven by login before the old one goes
    SetCredential {
        mailbox: String,
        #[command(flatten)]
        password: Password,
    },
    /// Remove it and shred its credential (by id)
    Remove { id: String },
}

#[derive(Debug, Args)]
pub(super) struct NewMailbox {
    /// Its mail address
    #[arg(long)]
    address: String,
    /// User name at the upstream [default: the address]
    #[arg(long)]
    username: Option<String>,
    /// IMAP upstream, HOST:PORT
    #[arg(long)]
    imap: Option<String>,
    /// How TLS starts there
    #[arg(long, default_value = "implicit", value_parser = ["implicit", "starttls"])]
    imap_tls: String,
    /// Submission upstream, HOST:PORT
    #[arg(long)]
    smtp: Option<String>,
    /// How TLS starts there
    #[arg(long, default_value = "implicit", value_parser = ["implicit", "starttls"])]
    smtp_tls: String,
    /// PEM file with the upstream's own CA
    #[arg(long)]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    password: Password,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Password {
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Read the password from a file
    #[arg(long)]
    password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Client {
    /// Register a tool; prints its secret once
    Add {
        name: String,
        /// EdDSA, or ES256 for libraries that know no EdDSA
        #[arg(long, default_value = "EdDSA")]
        token_alg: String,
        /// The mailbox meant when a token request names none
        #[arg(long)]
        default_mailbox: Option<String>,
    },
    /// All clients
    List,
    /// One client
    Show { client: String },
    /// Make a further secret; the older one works on for a while
    RotateSecret {
        client: String,
        /// Seconds that the older secret still works
        #[arg(long, default_value_t = 604_800)]
        overlap: u32,
    },
    /// End all secrets but the newest
    RetireSecrets { client: String },
    /// Remove it
    Remove { client: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum Grant {
    /// Let a client into a mailbox
    Add(Box<NewGrant>),
    /// All grants
    List,
    /// One grant
    Show { id: String },
    /// Why a command was refused, or what it would get
    Explain {
        /// The verdict id of a refusal
        #[arg(long, conflicts_with_all = ["client", "mailbox", "command"])]
        verdict: Option<String>,
        #[arg(long, required_unless_present = "verdict")]
        client: Option<String>,
        #[arg(long, required_unless_present = "verdict")]
        mailbox: Option<String>,
        /// An IMAP command without tag, e.g. 'STORE 1 +FLAGS (\Deleted)'
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
    /// A scope; may be repeated
    #[arg(long)]
    scope: Vec<String>,
    /// A folder, or FOLDER/* for everything below; may be repeated
    #[arg(long)]
    folder: Vec<String>,
    /// An address or @domain that mail may come from; may be repeated
    #[arg(long)]
    sender: Vec<String>,
    /// An address or @domain that mail may go to; may be repeated
    #[arg(long)]
    recipient: Vec<String>,
    /// A network that the tool may come from; may be repeated
    #[arg(long)]
    network: Vec<String>,
    /// imap or smtp; may be repeated
    #[arg(long)]
    protocol: Vec<String>,
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

#[derive(Debug, Subcommand)]
pub(super) enum Session {
    /// Running sessions of all nodes
    List,
    /// End one, at once
    Kill { id: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Events
    List {
        /// Only those after this number
        #[arg(long, default_value_t = 0)]
        after: i64,
        /// At most so many
        #[arg(long, default_value_t = 1000)]
        limit: i64,
    },
    #[command(flatten)]
    File(FileCommand),
}

type Call = (Method, String, Option<Value>);

pub(super) async fn execute(command: Manage) -> anyhow::Result<()> {
    let (common, call): (Common, Call) = match command {
        Manage::Mailbox { command, common } => (common, mailbox(command)?),
        Manage::Client { command, common } => (common, client(command)),
        Manage::Grant { command, common } => (common, grant(command)?),
        Manage::Operator { command, common } => (common, operator(command)),
        Manage::Session { command, common } => (common, session(command)),
        Manage::Revoke { client, mailbox, common } => {
            let path = match (client, mailbox) {
                (Some(client), _) => format!("/clients/{}/revoke", segment(&client)),
                (None, mailbox) => format!("/mailboxes/{}/revoke", segment(&mailbox.unwrap_or_default())),
            };
            (common, (Method::POST, path, None))
        }
        Manage::Audit { command: Audit::File(FileCommand::Export { output }), common } => {
            return audit_offline::export(&Api::new(&common.target)?, output.as_deref()).await;
        }
        Manage::Audit { command: Audit::File(FileCommand::Verify(verify)), common } => match verify.offline()? {
            Some(verified) => {
                print(common.format, &serde_json::to_value(verified)?);
                return Ok(());
            }
            None => (common, (Method::GET, "/audit/verify".to_owned(), None)),
        },
        Manage::Audit { command: Audit::List { after, limit }, common } => {
            (common, (Method::GET, format!("/audit?after={after}&limit={limit}"), None))
        }
    };
    let (method, path, body) = call;
    let answer = Api::new(&common.target)?.call(method, &path, body).await?;
    print(common.format, &answer);
    Ok(())
}

fn mailbox(command: Mailbox) -> anyhow::Result<Call> {
    Ok(match command {
        Mailbox::Add(new) => {
            let ca_pem = match &new.ca_file {
                None => None,
                Some(path) => {
                    Some(std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?)
                }
            };
            let endpoint = |text: &Option<String>, tls: &str| -> anyhow::Result<Option<Value>> {
                let Some(text) = text else { return Ok(None) };
                let (host, port) = text.rsplit_once(':').with_context(|| format!("{text} is not HOST:PORT"))?;
                let port: u16 = port.parse().with_context(|| format!("{text} is not HOST:PORT"))?;
                let host = host.trim_start_matches('[').trim_end_matches(']');
                Ok(Some(json!({ "host": host, "port": port, "tls": tls, "ca_pem": ca_pem })))
            };
            let (imap, smtp) = (endpoint(&new.imap, &new.imap_tls)?, endpoint(&new.smtp, &new.smtp_tls)?);
            if imap.is_none() && smtp.is_none() {
                bail!("give --imap HOST:PORT, --smtp HOST:PORT, or both");
            }
            let username = new.username.as_ref().unwrap_or(&new.address);
            let upstream = json!({ "connector": "imap", "username": username, "imap": imap, "smtp": smtp });
            let body = json!({ "address": new.address, "upstream": upstream, "password": new.password.read()? });
            (Method::POST, "/mailboxes".to_owned(), Some(body))
        }
        Mailbox::List => (Method::GET, "/mailboxes".to_owned(), None),
        Mailbox::Show { mailbox } => (Method::GET, format!("/mailboxes/{}", segment(&mailbox)), None),
        Mailbox::Test { mailbox } => (Method::POST, format!("/mailboxes/{}/test", segment(&mailbox)), None),
        Mailbox::SetCredential { mailbox, password } => {
            let body = json!({ "password": password.read()? });
            (Method::PUT, format!("/mailboxes/{}/credential", segment(&mailbox)), Some(body))
        }
        Mailbox::Remove { id } => (Method::DELETE, format!("/mailboxes/{}", segment(&id)), None),
    })
}

impl Password {
    fn read(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        match &self.password_file {
            Some(path) => {
                text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
            }
            None => {
                std::io::stdin().read_to_string(&mut text).context("cannot read the password from standard input")?;
            }
        }
        // One line end is the shell's, not the password's.
        let end = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).map_or(text.len(), str::len);
        text.truncate(end);
        if text.is_empty() {
            bail!("the password is empty");
        }
        Ok(text)
    }
}

fn client(command: Client) -> Call {
    match command {
        Client::Add { name, token_alg, default_mailbox } => {
            let body = json!({ "name": name, "token_alg": token_alg, "default_mailbox": default_mailbox });
            (Method::POST, "/clients".to_owned(), Some(body))
        }
        Client::List => (Method::GET, "/clients".to_owned(), None),
        Client::Show { client } => (Method::GET, format!("/clients/{}", segment(&client)), None),
        Client::RotateSecret { client, overlap } => {
            let body = json!({ "overlap_secs": overlap });
            (Method::POST, format!("/clients/{}/rotate-secret", segment(&client)), Some(body))
        }
        Client::RetireSecrets { client } => {
            (Method::POST, format!("/clients/{}/retire-secrets", segment(&client)), None)
        }
        Client::Remove { client } => (Method::DELETE, format!("/clients/{}", segment(&client)), None),
    }
}

fn grant(command: Grant) -> anyhow::Result<Call> {
    Ok(match command {
        Grant::Add(new) => {
            let scope = match &new.preset {
                Some(name) => {
                    let preset: Preset = name.parse().ok().with_context(|| {
                        format!("unknown preset {name}; there are {}", Preset::ALL.map(Preset::as_str).join(", "))
                    })?;
                    note(&format!("{name}: {}", preset.caution()));
                    preset.scopes().to_string()
                }
                None => new.scope.join(" "),
            };
            let mut bounds = serde_json::Map::new();
            for (name, list) in [
                ("folders", &new.folder),
                ("senders", &new.sender),
                ("recipients", &new.recipient),
                ("networks", &new.network),
                ("protocols", &new.protocol),
            ] {
                if !list.is_empty() {
                    bounds.insert(name.to_owned(), json!(list));
                }
            }
            let body = json!({
                "client": new.client, "mailbox": new.mailbox, "scope": scope, "bounds": bounds, "token_ttl_secs": new.token_ttl,
                "session_ttl_secs": new.session_ttl, "expires_at": new.expires,
            });
            (Method::POST, "/grants".to_owned(), Some(body))
        }
        Grant::List => (Method::GET, "/grants".to_owned(), None),
        Grant::Show { id } => (Method::GET, format!("/grants/{}", segment(&id)), None),
        Grant::Explain { verdict, client, mailbox, command } => {
            let mut query = form_urlencoded::Serializer::new(String::new());
            for (name, value) in [("verdict", verdict), ("client", client), ("mailbox", mailbox), ("command", command)]
            {
                if let Some(value) = value {
                    query.append_pair(name, &value);
                }
            }
            (Method::GET, format!("/grants/explain?{}", query.finish()), None)
        }
        Grant::Remove { id } => (Method::DELETE, format!("/grants/{}", segment(&id)), None),
    })
}

fn operator(command: Operator) -> Call {
    match command {
        Operator::Add { name, role } => {
            (Method::POST, "/operators".to_owned(), Some(json!({ "name": name, "role": role })))
        }
        Operator::List => (Method::GET, "/operators".to_owned(), None),
        Operator::Remove { id } => (Method::DELETE, format!("/operators/{}", segment(&id)), None),
    }
}

fn session(command: Session) -> Call {
    match command {
        Session::List => (Method::GET, "/sessions".to_owned(), None),
        Session::Kill { id } => (Method::DELETE, format!("/sessions/{}", segment(&id)), None),
    }
}

/// One path segment, escaped.
fn segment(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[expect(clippy::print_stderr, reason = "a remark beside the output")]
fn note(text: &str) {
    eprintln!("{text}");
}

fn print(format: Format, answer: &Value) {
    if format == Format::Json {
        return out(&answer.to_string());
    }
    match answer {
        Value::Null => out("done"),
        Value::Object(members) => {
            if let Some(Value::Array(rows)) = members.values().next()
                && members.len() == 1
            {
                for row in rows {
                    out(&line(row));
                }
                return;
            }
            for (name, value) in members {
                if !value.is_null() {
                    out(&format!("{name:<18} {}", plain(value)));
                }
            }
        }
        other => out(&plain(other)),
    }
}

/// One row: the members that are there, by name.
fn line(row: &Value) -> String {
    match row {
        Value::Object(members) => {
            let shown = members
                .iter()
                .filter(|(name, value)| !value.is_null() && !["upstream", "hash"].contains(&name.as_str()));
            shown.map(|(name, value)| format!("{name}={}", plain(value))).collect::<Vec<_>>().join("  ")
        }
        other => plain(other),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
