//! The plan: what to do, in an order in which each step finds what it stands on, so that what is there becomes what the file says.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::cli::apply::cells::{self, Cell};
use crate::cli::apply::fields::Reference;
use crate::cli::apply::file::{self, Terms, Wanted};
use crate::cli::apply::state::{self, Current};
use crate::cli::apply::words;
use crate::domain::address::MailAddress;
use crate::domain::client::TokenAlg;
use crate::domain::clock::Timestamp;
use crate::domain::mailbox::Upstream;

#[derive(Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Not in the file, and not removed.
    pub(super) kept: Vec<String>,
    pub(super) cells: Vec<Cell>,
}

pub(super) struct Step {
    pub(super) kind: &'static str,
    pub(super) name: String,
    /// What is made, or how it changes.
    pub(super) what: String,
    pub(super) deed: Deed,
}

pub(super) enum Deed {
    AddMailbox { address: MailAddress, upstream: Box<Upstream>, password: Reference },
    AddClient { name: String, body: Value },
    AddGrant { client: String, mailbox: MailAddress, terms: Value },
    Change { path: String, version: String, body: Value },
    Remove { path: String },
}

impl Plan {
    /// Compares. `file` is where relative paths begin.
    pub(super) fn make(
        wanted: &Wanted,
        current: &Current,
        prune: bool,
        file: &Path,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let mut plan = Self::default();
        for mailbox in &wanted.mailboxes {
            plan.mailbox(mailbox, current, file).with_context(|| format!("mailbox {}", mailbox.address))?;
        }
        for client in &wanted.clients {
            if let Some(mailbox) = &client.default_mailbox {
                known_mailbox(mailbox, wanted, current, prune).with_context(|| format!("client {:?}", client.name))?;
            }
            plan.client(client, current);
        }
        let mut rest = Rest::of(wanted, current);
        if prune {
            plan.steps.append(&mut rest.grants);
        }
        for grant in &wanted.grants {
            let cell = format!("grant {} × {}", grant.client, grant.mailbox);
            known_mailbox(&grant.mailbox, wanted, current, prune).with_context(|| cell.clone())?;
            let in_file = wanted.clients.iter().any(|one| one.name == grant.client);
            let is_there = !prune && current.clients.iter().any(|one| one.name == grant.client);
            ensure!(in_file || is_there, "{cell}: there is no client of this name, in the file or otherwise");
            plan.grant(grant, current, now).with_context(|| cell)?;
        }
        if prune {
            plan.steps.append(&mut rest.clients);
            plan.steps.append(&mut rest.mailboxes);
        } else {
            let all = rest.grants.iter().chain(&rest.clients).chain(&rest.mailboxes);
            plan.kept = all.map(|step| format!("{} {}", step.kind, step.name)).collect();
        }
        Ok(plan)
    }

    fn add(&mut self, kind: &'static str, name: String, what: String, deed: Deed) {
        self.steps.push(Step { kind, name, what, deed });
    }

    fn mailbox(&mut self, wanted: &file::Mailbox, current: &Current, file: &Path) -> anyhow::Result<()> {
        let upstream = wanted.upstream(file)?;
        if let Some(there) = current.mailboxes.iter().find(|one| one.address == wanted.address) {
            // A stored password must not be pointed at another host by whoever can edit a file.
            ensure!(
                there.upstream == upstream,
                "its upstream differs ({}); apply does not point a stored password elsewhere. To register it anew: \
                 `mailwarden mailbox remove {}`, then apply again with a password reference",
                words::upstreams(&there.upstream, &upstream),
                there.id
            );
            return Ok(());
        }
        let password = wanted
            .password
            .clone()
            .context("it is new and needs password = \"file:PATH\", \"env:NAME\" or \"stdin\"")?;
        let is_second = |step: &Step| matches!(&step.deed, Deed::AddMailbox { password: Reference::Stdin, .. });
        if password == Reference::Stdin && self.steps.iter().any(is_second) {
            bail!("standard input holds one password; another new mailbox reads it already");
        }
        let what = format!("{}, password from {password}", words::upstream(&upstream));
        let deed = Deed::AddMailbox { address: wanted.address.clone(), upstream: Box::new(upstream), password };
        self.add("mailbox", wanted.address.to_string(), what, deed);
        Ok(())
    }

    fn client(&mut self, wanted: &file::Client, current: &Current) {
        let alg = wanted.token_alg.unwrap_or(TokenAlg::EdDsa);
        let default = wanted.default_mailbox.as_ref().map(MailAddress::as_str);
        let body = json!({ "name": wanted.name, "token_alg": alg, "default_mailbox": default });
        let Some(there) = current.clients.iter().find(|one| one.name == wanted.name) else {
            let mut what = format!("token_alg {}", alg.as_str());
            what.extend(default.map(|mailbox| format!("; default_mailbox {mailbox}")));
            return self.add("client", wanted.name.clone(), what, Deed::AddClient { name: wanted.name.clone(), body });
        };
        let default_there = there.default_mailbox.as_deref().map(|id| current.mailbox_name(id));
        let changes = words::changes(&[
            ("token_alg", there.token_alg.as_str().to_owned(), alg.as_str().to_owned()),
            ("default_mailbox", default_there.unwrap_or("none").to_owned(), default.unwrap_or("none").to_owned()),
        ]);
        if !changes.is_empty() {
            let (path, version) = (format!("/clients/{}", there.id), there.version.clone());
            self.add("client", wanted.name.clone(), changes, Deed::Change { path, version, body });
        }
    }

    fn grant(&mut self, wanted: &file::Grant, current: &Current, now: Timestamp) -> anyhow::Result<()> {
        let terms = wanted.terms()?;
        let name = format!("{} × {}", wanted.client, wanted.mailbox);
        let there = current.grants.iter().find(|one| current.cell(one) == (&*wanted.client, wanted.mailbox.as_str()));
        let before = there.map(state::Grant::terms);
        if before.as_ref() == Some(&terms) {
            return Ok(());
        }
        ensure!(terms.expires.is_none_or(|end| now < end), "its end has passed");
        let in_force = before.as_ref().filter(|before| before.expires.is_none_or(|end| now < end));
        self.cells.extend(cells::opened(&wanted.client, &wanted.mailbox, in_force, &terms));
        let (what, deed) = if let Some((there, before)) = there.zip(before) {
            let (path, version) = (format!("/grants/{}", there.id), there.version.clone());
            (words::terms_changed(&before, &terms), Deed::Change { path, version, body: body(&terms) })
        } else {
            let (client, mailbox) = (wanted.client.clone(), wanted.mailbox.clone());
            (words::terms(&terms), Deed::AddGrant { client, mailbox, terms: body(&terms) })
        };
        self.add("grant", name, what, deed);
        Ok(())
    }
}

/// What is there and not in the file, as removals.
struct Rest {
    grants: Vec<Step>,
    clients: Vec<Step>,
    mailboxes: Vec<Step>,
}

impl Rest {
    fn of(wanted: &Wanted, current: &Current) -> Self {
        let step = |kind, name: &str, what: &str, path| Step {
            kind,
            name: name.to_owned(),
            what: what.to_owned(),
            deed: Deed::Remove { path },
        };
        let grants = current.grants.iter().filter_map(|one| {
            let (client, mailbox) = current.cell(one);
            let is_wanted =
                wanted.grants.iter().any(|grant| (&*grant.client, grant.mailbox.as_str()) == (client, mailbox));
            let name = format!("{client} × {mailbox}");
            (!is_wanted).then(|| step("grant", &name, "its sessions end", format!("/grants/{}", one.id)))
        });
        let clients = current.clients.iter().filter(|one| wanted.clients.iter().all(|client| client.name != one.name));
        let mailboxes = current
            .mailboxes
            .iter()
            .filter(|one| wanted.mailboxes.iter().all(|mailbox| mailbox.address != one.address));
        Self {
            grants: grants.collect(),
            clients: clients
                .map(|one| step("client", &one.name, "its secrets end", format!("/clients/{}", one.id)))
                .collect(),
            mailboxes: mailboxes
                .map(|one| {
                    step(
                        "mailbox",
                        one.address.as_str(),
                        "its credential is shredded",
                        format!("/mailboxes/{}", one.id),
                    )
                })
                .collect(),
        }
    }
}

fn known_mailbox(address: &MailAddress, wanted: &Wanted, current: &Current, prune: bool) -> anyhow::Result<()> {
    let in_file = wanted.mailboxes.iter().any(|one| one.address == *address);
    let is_there = !prune && current.mailboxes.iter().any(|one| one.address == *address);
    ensure!(in_file || is_there, "there is no mailbox {address}, in the file or otherwise");
    Ok(())
}

/// A grant's terms as the API takes them.
fn body(terms: &Terms) -> Value {
    json!({
        "scope": terms.scopes, "bounds": terms.bounds, "token_ttl_secs": terms.token_ttl,
        "session_ttl_secs": terms.session_ttl, "expires_at": terms.expires.map(Timestamp::to_rfc3339),
    })
}
