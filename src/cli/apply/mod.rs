//! `apply`: makes mailboxes, clients and grants what a file says. Plan, show, ask, do; a second run finds nothing to do.

mod cells;
mod fields;
mod file;
mod plan;
mod secrets;
mod state;
mod words;

use std::collections::BTreeMap;
use std::io::{IsTerminal, stdin};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::api::Api;
use crate::cli::apply::fields::Reference;
use crate::cli::apply::plan::{Deed, Plan, Step};
use crate::cli::apply::secrets::Secrets;
use crate::cli::apply::state::Current;
use crate::cli::manage::Common;
use crate::cli::out;
use crate::cli::output::Format;
use crate::domain::address::MailAddress;
use crate::domain::clock::Clock;

/// What an existing mailbox's credential is, and where its upstream is, apply never changes: `mailbox set-credential` does the
/// one; for the other remove the mailbox and apply again. A grant that shrinks ends the sessions that need what it gave.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Apply {
    /// TOML or YAML; see config/apply.example.toml
    file: PathBuf,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove what is not in the file
    #[arg(long)]
    prune: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    keep: Keep,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct Keep {
    /// Print the secrets of new clients
    #[arg(long)]
    print_secrets: bool,
    /// Write each new client's secret to a file CLIENT_ID.secret there, for this user only
    #[arg(long)]
    secrets_dir: Option<PathBuf>,
}

/// Checks the text of a file called `path` as far as that can be done without the service and without what the file names.
pub fn check(text: &str, path: &Path) -> anyhow::Result<()> {
    file::parse(text, path).map(drop)
}

impl Apply {
    pub(super) async fn run(self, common: &Common) -> anyhow::Result<()> {
        let wanted = file::read(&self.file)?;
        let api = Api::new(&common.target)?;
        let current = Current::read(&api).await?;
        let plan = Plan::make(&wanted, &current, self.prune, &self.file, Clock::system().now())
            .with_context(|| self.file.display().to_string())?;
        let is_table = common.format() == Format::Table;
        if is_table {
            for line in words::lines(&plan) {
                out(&line);
            }
        }
        if self.dry_run || plan.steps.is_empty() {
            if !is_table {
                out(&words::data(&plan, 0, &[]).to_string());
            }
            return Ok(());
        }
        let secrets = self.secrets(&plan)?;
        let mut passwords = self.passwords(&plan, |reference| *reference != Reference::Stdin)?;
        self.ask(plan.steps.len())?;
        passwords.extend(self.passwords(&plan, |reference| *reference == Reference::Stdin)?);
        let mut run = Run { api, ids: BTreeMap::new(), passwords, secrets, is_table, shown: Vec::new() };
        run.ids.extend(current.clients.iter().map(|one| (one.name.clone(), one.id.clone())));
        let mut done = 0;
        let mut outcome = Ok(());
        for step in &plan.steps {
            outcome = run.take(step).await.with_context(|| {
                let all = plan.steps.len();
                format!("stopped at {} {}, {done} of {all} done; apply again goes on from there", step.kind, step.name)
            });
            if outcome.is_err() {
                break;
            }
            done += 1;
        }
        if !is_table {
            out(&words::data(&plan, done, &run.shown).to_string());
        } else if outcome.is_ok() {
            out(&format!("applied {done}"));
        }
        outcome
    }

    fn secrets(&self, plan: &Plan) -> anyhow::Result<Secrets> {
        match &self.keep.secrets_dir {
            Some(dir) => Secrets::into_files(dir),
            None if self.keep.print_secrets => Ok(Secrets::Shown),
            None => {
                let is_new = |step: &Step| matches!(step.deed, Deed::AddClient { .. });
                ensure!(
                    !plan.steps.iter().any(is_new),
                    "new clients have secrets: give --secrets-dir DIR or --print-secrets"
                );
                Ok(Secrets::Shown)
            }
        }
    }

    /// Reads all passwords before anything is done.
    fn passwords(
        &self,
        plan: &Plan,
        chosen: impl Fn(&Reference) -> bool,
    ) -> anyhow::Result<BTreeMap<MailAddress, Zeroizing<String>>> {
        let mut read = BTreeMap::new();
        for step in &plan.steps {
            if let Deed::AddMailbox { address, password, .. } = &step.deed
                && chosen(password)
            {
                let text = password.read(&self.file).with_context(|| format!("mailbox {address}"))?;
                read.insert(address.clone(), text);
            }
        }
        Ok(read)
    }

    fn ask(&self, changes: usize) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !stdin().is_terminal() {
            bail!(
                "{changes} changes are not made without --yes, as there is no terminal to ask at (--dry-run only shows them)"
            );
        }
        question("Apply? [y/N] ");
        let mut answer = String::new();
        stdin().read_line(&mut answer).context("cannot read the answer")?;
        ensure!(["y", "yes"].contains(&&*answer.trim().to_ascii_lowercase()), "nothing was changed");
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "a question beside the output")]
fn question(text: &str) {
    eprint!("{text}");
}

/// A plan being carried out.
struct Run {
    api: Api,
    ids: BTreeMap<String, String>,
    passwords: BTreeMap<MailAddress, Zeroizing<String>>,
    secrets: Secrets,
    is_table: bool,
    shown: Vec<Value>,
}

impl Run {
    async fn take(&mut self, step: &Step) -> anyhow::Result<()> {
        match &step.deed {
            Deed::AddMailbox { address, upstream, .. } => {
                let password = self.passwords.remove(address).context("its password was not read")?;
                let body = json!({ "address": address, "upstream": upstream, "password": *password });
                self.api.call(Method::POST, "/mailboxes", Some(body)).await?;
            }
            Deed::AddClient { name, body } => {
                let place = self.secrets.place()?;
                let made = self.api.call(Method::POST, "/clients", Some(body.clone())).await?;
                let text = |member: &str| made.get(member).and_then(Value::as_str).map(str::to_owned);
                let id = text("client_id").context("the service answered without an id")?;
                let secret =
                    text("client_secret").map(Zeroizing::new).context("the service answered without a secret")?;
                let (line, data) = place.keep(name, &id, &secret)?;
                if self.is_table {
                    out(&line);
                }
                self.shown.push(data);
                self.ids.insert(name.clone(), id);
            }
            Deed::AddGrant { client, mailbox, terms } => {
                let mut body = terms.clone();
                if let Some(members) = body.as_object_mut() {
                    members.insert("client".to_owned(), json!(self.ids.get(client).unwrap_or(client)));
                    members.insert("mailbox".to_owned(), json!(mailbox));
                }
                self.api.call(Method::POST, "/grants", Some(body)).await?;
            }
            Deed::Change { path, version, body } => self.api.replace(path, version, body).await?,
            Deed::Remove { path } => {
                self.api.call(Method::DELETE, path, None).await?;
            }
        }
        Ok(())
    }
}
