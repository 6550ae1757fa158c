//! The file that `apply` reads: what shall be there. It holds no secret, only where one is found.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::cli::apply::fields::{self, Reference};
use crate::domain::address::MailAddress;
use crate::domain::bounds::Bounds;
use crate::domain::client::TokenAlg;
use crate::domain::clock::Timestamp;
use crate::domain::grant::{Grant as Standing, SessionTtl};
use crate::domain::mailbox::{Connector, Endpoint, TlsMode, Upstream};
use crate::domain::scope::{Preset, ScopeSet};

/// Larger than any installation needs, and harmless to read.
const LARGEST: u64 = 1 << 20;

/// What shall be there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    pub(super) mailboxes: Vec<Mailbox>,
    #[serde(default)]
    pub(super) clients: Vec<Client>,
    #[serde(default)]
    pub(super) grants: Vec<Grant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mailbox {
    pub(super) address: MailAddress,
    username: Option<String>,
    #[serde(default, deserialize_with = "fields::host_port")]
    imap: Option<(String, u16)>,
    imap_tls: Option<TlsMode>,
    #[serde(default, deserialize_with = "fields::host_port")]
    smtp: Option<(String, u16)>,
    smtp_tls: Option<TlsMode>,
    ca_file: Option<String>,
    pub(super) password: Option<Reference>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    pub(super) name: String,
    pub(super) token_alg: Option<TokenAlg>,
    pub(super) default_mailbox: Option<MailAddress>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grant {
    pub(super) client: String,
    pub(super) mailbox: MailAddress,
    #[serde(default, deserialize_with = "fields::preset")]
    preset: Option<Preset>,
    #[serde(default, deserialize_with = "fields::scopes")]
    scopes: Option<ScopeSet>,
    #[serde(default)]
    bounds: Bounds,
    token_ttl: Option<u32>,
    session_ttl: Option<u32>,
    #[serde(default, deserialize_with = "fields::moment")]
    expires: Option<Timestamp>,
}

/// What a grant says beside who and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) scopes: ScopeSet,
    pub(super) bounds: Bounds,
    pub(super) token_ttl: u32,
    /// 0: ends with its token.
    pub(super) session_ttl: u32,
    pub(super) expires: Option<Timestamp>,
}

/// Reads the file and checks all that can be checked without the service.
pub(super) fn read(path: &Path) -> anyhow::Result<Wanted> {
    let name = path.display();
    let mut text = String::new();
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    file.take(LARGEST + 1).read_to_string(&mut text).with_context(|| format!("cannot read {name}"))?;
    ensure!(text.len() as u64 <= LARGEST, "{name} is larger than {LARGEST} bytes");
    parse(&text, path)
}

/// The same with the text of the file.
pub(super) fn parse(text: &str, path: &Path) -> anyhow::Result<Wanted> {
    let name = path.display();
    let wanted: Wanted = match path.extension().and_then(|ending| ending.to_str()) {
        Some("toml") => toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            // Without the line itself, which may hold what does not belong there.
            let message = error.message();
            anyhow::anyhow!("{name}: line {}: {message}", before.matches('\n').count() + 1)
        })?,
        Some("yaml" | "yml") => yaml(text).map_err(|error| anyhow::anyhow!("{name}: {error}"))?,
        _ => bail!("{name}: the name must end in .toml, .yaml or .yml"),
    };
    wanted.check().with_context(|| name.to_string())?;
    Ok(wanted)
}

/// One document without anchors: what is read is what stands there.
fn yaml(text: &str) -> Result<Wanted, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_anchors: 0, max_aliases: 0, max_merge_keys: 0, max_documents: 1 },
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options)
}

impl Wanted {
    fn check(&self) -> anyhow::Result<()> {
        once("mailboxes", self.mailboxes.iter().map(|one| &one.address))?;
        once("clients", self.clients.iter().map(|one| &one.name))?;
        once("grants", self.grants.iter().map(|one| format!("{} × {}", one.client, one.mailbox)))?;
        for one in &self.clients {
            let fits = (1..=100).contains(&one.name.chars().count());
            let is_visible = !one.name.chars().any(char::is_control) && one.name.trim() == one.name;
            ensure!(fits && is_visible, "client {:?}: a name has 1 to 100 visible characters", one.name);
        }
        for one in &self.mailboxes {
            let address = &one.address;
            ensure!(one.imap.is_some() || one.smtp.is_some(), "mailbox {address}: give imap, smtp or both");
            ensure!(one.imap.is_some() || one.imap_tls.is_none(), "mailbox {address}: imap_tls without imap");
            ensure!(one.smtp.is_some() || one.smtp_tls.is_none(), "mailbox {address}: smtp_tls without smtp");
        }
        for one in &self.grants {
            one.terms().with_context(|| format!("grant {:?} × {}", one.client, one.mailbox))?;
        }
        Ok(())
    }
}

/// Nothing is said twice; names where it is.
fn once<T: Ord + Display>(what: &str, entries: impl Iterator<Item = T>) -> anyhow::Result<()> {
    let mut seen = BTreeMap::new();
    for (at, entry) in (1..).zip(entries) {
        if let Some(first) = seen.get(&entry) {
            bail!("{what}: entries {first} and {at} are both for {:?}", entry.to_string());
        }
        seen.insert(entry, at);
    }
    Ok(())
}

impl Mailbox {
    /// Where it logs in; the CA file is looked for beside `file`.
    pub(super) fn upstream(&self, file: &Path) -> anyhow::Result<Upstream> {
        let ca_pem = match &self.ca_file {
            Some(name) => Some(fields::text_file(&fields::beside(file, name))?),
            None => None,
        };
        let endpoint = |at: &Option<(String, u16)>, tls: Option<TlsMode>| {
            let (tls, ca_pem) = (tls.unwrap_or(TlsMode::Implicit), ca_pem.clone());
            at.clone().map(|(host, port)| Endpoint { host, port, tls, ca_pem })
        };
        Ok(Upstream {
            connector: Connector::Imap,
            username: self.username.clone().unwrap_or_else(|| self.address.to_string()),
            imap: endpoint(&self.imap, self.imap_tls),
            smtp: endpoint(&self.smtp, self.smtp_tls),
        })
    }
}

impl Grant {
    /// What it says; what it leaves out has its default.
    pub(super) fn terms(&self) -> anyhow::Result<Terms> {
        let scopes = match (self.preset, self.scopes) {
            (Some(preset), None) => preset.scopes(),
            (None, Some(scopes)) if !scopes.is_empty() => scopes,
            _ => bail!("give a preset or scopes, one of the two"),
        };
        let token_ttl = self.token_ttl.unwrap_or(Standing::DEFAULT_TOKEN_TTL_SECS);
        let longest = Standing::MAX_TOKEN_TTL_SECS;
        ensure!((1..=longest).contains(&token_ttl), "token_ttl must be 1 to {longest} seconds");
        let session_ttl = match self.session_ttl {
            Some(secs) => secs,
            None => u32::try_from(SessionTtl::DEFAULT.to_secs())?,
        };
        let longest = SessionTtl::MAX_SECS;
        ensure!(session_ttl <= longest, "session_ttl must be 0 (ends with its token) to {longest} seconds");
        Ok(Terms { scopes, bounds: self.bounds.clone(), token_ttl, session_ttl, expires: self.expires })
    }
}
