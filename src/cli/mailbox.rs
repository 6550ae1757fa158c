//! `mailbox`: passwords come by standard input or file, never as an argument.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::manage::{Call, segment};

#[derive(Debug, Subcommand)]
pub(super) enum Mailbox {
    /// Register a mailbox; its login is proven before anything is stored
    Add(Box<NewMailbox>),
    /// All mailboxes
    List,
    /// One mailbox
    Show { mailbox: String },
    /// Try its login, IMAP and SMTP apart; 2 when one was refused
    Test { mailbox: String },
    /// Replace its password; the new one is proven by login before the old one goes
    SetCredential {
        mailbox: String,
        #[command(flatten)]
        password: Password,
    },
    /// Remove it and shred its credential
    Remove { mailbox: String },
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

impl Mailbox {
    /// The call that it stands for.
    pub(super) fn call(self) -> anyhow::Result<Call> {
        Ok(match self {
            Self::Add(new) => (Method::POST, "/mailboxes".to_owned(), Some(new.body()?)),
            Self::List => (Method::GET, "/mailboxes".to_owned(), None),
            Self::Show { mailbox } => (Method::GET, format!("/mailboxes/{}", segment(&mailbox)), None),
            Self::Test { mailbox } => (Method::POST, format!("/mailboxes/{}/test", segment(&mailbox)), None),
            Self::SetCredential { mailbox, password } => {
                let body = json!({ "password": password.read()? });
                (Method::PUT, format!("/mailboxes/{}/credential", segment(&mailbox)), Some(body))
            }
            Self::Remove { mailbox } => (Method::DELETE, format!("/mailboxes/{}", segment(&mailbox)), None),
        })
    }
}

impl NewMailbox {
    fn body(&self) -> anyhow::Result<Value> {
        let ca_pem = match &self.ca_file {
            None => None,
            Some(path) => {
                Some(std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?)
            }
        };
        let imap = endpoint(self.imap.as_deref(), &self.imap_tls, ca_pem.as_deref())?;
        let smtp = endpoint(self.smtp.as_deref(), &self.smtp_tls, ca_pem.as_deref())?;
        if imap.is_none() && smtp.is_none() {
            bail!("give --imap HOST:PORT, --smtp HOST:PORT, or both");
        }
        let username = self.username.as_ref().unwrap_or(&self.address);
        let upstream = json!({ "connector": "imap", "username": username, "imap": imap, "smtp": smtp });
        Ok(json!({ "address": self.address, "upstream": upstream, "password": self.password.read()? }))
    }
}

fn endpoint(text: Option<&str>, tls: &str, ca_pem: Option<&str>) -> anyhow::Result<Option<Value>> {
    let Some(text) = text else { return Ok(None) };
    let (host, port) = text.rsplit_once(':').with_context(|| format!("{text} is not HOST:PORT"))?;
    let port: u16 = port.parse().with_context(|| format!("{text} is not HOST:PORT"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(Some(json!({ "host": host, "port": port, "tls": tls, "ca_pem": ca_pem })))
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
        Ok(one_line(text)?.to_string())
    }
}

/// A password as it was typed: one line end is the shell's, not the password's.
pub(super) fn one_line(mut text: String) -> anyhow::Result<Zeroizing<String>> {
    let end = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).map_or(text.len(), str::len);
    text.truncate(end);
    if text.is_empty() {
        bail!("the password is empty");
    }
    Ok(Zeroizing::new(text))
}
