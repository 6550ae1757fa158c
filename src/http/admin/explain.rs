//! `/api/v1/grants/explain`: what was asked, which rule refused it, what would let it through, and who may give that.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::audit::record::Record;
use crate::domain::client::{Client, Status};
use crate::domain::fault::Fault;
use crate::domain::freeze::{Act, Freezes};
use crate::domain::grant::Grant;
use crate::domain::id::{GrantId, VerdictId};
use crate::domain::mailbox::Mailbox;
use crate::domain::operator::{Operator, Role};
use crate::domain::scope::{Preset, Scope};
use crate::http::HttpState;
use crate::http::admin::budget_use::{BudgetUse, look};
use crate::http::admin::caller::{Admins, Caller, Guards, Readers, Roles};
use crate::http::admin::input::Query;
use crate::http::problem::Problem;
use crate::policy::charge::{Account, Charge, LOGIN};
use crate::policy::remedy::{Refused, Remedy, Who, remedy, thaw};
use crate::policy::{self, Denial, Rights, budget};
use crate::registry::{Registry, RegistryError};

/// Either the id of a verdict, or client, mailbox and command.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// The verdict id of a refusal.
    verdict: Option<String>,
    /// Id or name.
    client: Option<String>,
    /// Id or address.
    mailbox: Option<String>,
    /// An IMAP command without its tag (`APPEND INBOX {310}` with the announcement of its message), a POP3 command,
    /// `MAIL FROM:<address>`, `RCPT TO:<address>`, `DATA`, or `login` for a new session.
    command: Option<String>,
}

/// What was asked, which rule refused it, what would let it through, and who may give that.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct Explanation {
    permitted: bool,
    /// The verdict, and when it was given; `null`: what the command would get now.
    verdict_id: Option<String>,
    #[schema(format = DateTime)]
    at: Option<String>,
    /// The client's name, or its id when it is gone.
    client: Option<String>,
    /// The mailbox's address, or its id when it is gone.
    mailbox: Option<String>,
    /// The grant that it stands on; `null`: none.
    grant_id: Option<String>,
    session_id: Option<String>,
    source: Option<String>,
    protocol: Option<String>,
    /// What was asked for.
    asked: Option<String>,
    /// The folder or address that it was asked for, where the rule is about one.
    object: Option<String>,
    /// The rule that refuses it.
    rule: Option<String>,
    /// The scope that is missing.
    needs: Option<String>,
    /// The rule in words.
    text: Option<String>,
    /// Of a command that would come now: what of the grant's budgets it counts on. Those of a message stand at `MAIL FROM` too, and
    /// are charged at `DATA`.
    budgets: Vec<BudgetUse>,
    #[serde(skip)]
    accounts: Vec<Account>,
    /// What would let it through, by the grant as it is now.
    remedy: Option<String>,
    /// The command that does it.
    command: Option<String>,
    /// Presets that would allow it too, and all that the grant gives now.
    presets: Vec<&'static str>,
    /// Roles that may do it; `null`: nobody has to permit it, or nobody can.
    roles: Option<Vec<Role>>,
    /// Operators in those roles now, by name.
    operators: Option<Vec<String>>,
    /// Who else can help: the `tool` itself, the `keeper` of the service's settings, or `nobody`.
    who: Option<&'static str>,
}

/// Why a command or login was refused, or what a command would get
#[utoipa::path(get, path = "/grants/explain", operation_id = "grant_explain", tag = "grant", params(Asked),
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))),
    responses((status = 200, body = Explanation), (status = 404)))]
pub(super) async fn explain(caller: Caller<Readers>, Query(asked): Query<Asked>) -> Result<Json<Explanation>, Problem> {
    let registry = caller.registry();
    let explanation = match (asked.verdict, asked.client, asked.mailbox, asked.command) {
        (Some(verdict), None, None, None) => {
            let form = "a verdict id has the form vrd_xxxxxxxxxxxx, as a refusal says it";
            let verdict: VerdictId = verdict.parse().map_err(|_| Problem::new(Fault::Invalid, form))?;
            let record = caller.state.audit.find_verdict(&verdict).await?;
            let unknown = "no such verdict here: it is another installation's, or not in this audit log";
            recorded(registry, record.ok_or_else(|| Problem::new(Fault::NotFound, unknown))?).await?
        }
        (None, Some(client), Some(mailbox), Some(command)) => now(&caller, &client, &mailbox, &command).await?,
        _ => return Err(Problem::new(Fault::Invalid, "give verdict, or client, mailbox and command")),
    };
    Ok(Json(explanation))
}

/// What was recorded of a refusal, and what would let it through now.
async fn recorded(registry: &Registry, record: Record) -> Result<Explanation, Problem> {
    let mut detail = record.detail;
    let grant = match record.grant_id.as_deref().and_then(|id| id.parse::<GrantId>().ok()) {
        Some(id) => found(registry.find_grant(&id).await)?,
        None => None,
    };
    let client = match record.client_id.as_deref() {
        Some(id) => found(registry.find_client(id).await)?,
        None => None,
    };
    let mailbox_name = record.mailbox_id.clone().or_else(|| detail.remove("mailbox"));
    let mailbox = match mailbox_name.as_deref() {
        Some(name) => found(registry.find_mailbox(name).await)?,
        None => None,
    };
    // A login that was refused names no grant: the one that there is now is meant.
    let grant = match (grant, &client, &mailbox) {
        (None, Some(client), Some(mailbox)) => {
            let grants = registry.grants_of_client(&client.id).await?;
            grants.into_iter().find(|grant| grant.mailbox_id == mailbox.id)
        }
        (grant, ..) => grant,
    };
    let grant = grant.filter(|grant| grant.status == Status::Active);
    let mut explanation = Explanation {
        verdict_id: record.verdict_id,
        at: Some(record.at.to_rfc3339()),
        client: client.map(|client| client.name).or(record.client_id),
        mailbox: mailbox.as_ref().map(|mailbox| mailbox.address.to_string()).or(mailbox_name),
        grant_id: grant.as_ref().map(|grant| grant.id.to_string()).or(record.grant_id),
        session_id: record.session_id,
        source: record.source,
        protocol: detail.remove("protocol"),
        asked: detail.remove("asked"),
        object: detail.remove("object"),
        rule: detail.remove("rule"),
        needs: detail.remove("needs"),
        text: detail.remove("text").or_else(|| detail.remove("reason")),
        ..Explanation::default()
    };
    if let (Some(budget::RULE), Some(object), Some(grant)) = (explanation.rule.as_deref(), &explanation.object, &grant)
    {
        let used = registry.budget_used(&grant.id).await?;
        explanation.accounts = budget::account(object, &used).into_iter().collect();
    }
    explanation.with_remedy(registry, grant.as_ref().zip(mailbox.as_ref())).await
}

/// What there is of it.
fn found<T>(result: Result<T, RegistryError>) -> Result<Option<T>, Problem> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(RegistryError::NotFound(_) | RegistryError::Denied) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a command would get.
async fn now(caller: &Caller<Readers>, client: &str, mailbox: &str, command: &str) -> Result<Explanation, Problem> {
    let registry = caller.registry();
    let client = registry.find_client(client).await?;
    let mailbox = registry.find_mailbox(mailbox).await?;
    let mut explanation = Explanation {
        client: Some(client.name.clone()),
        mailbox: Some(mailbox.address.to_string()),
        asked: Some(command.to_owned()),
        ..Explanation::default()
    };
    let grant = match registry.grant_for(&client.id, &mailbox.address).await {
        Ok((_, _, grant)) => grant,
        Err(RegistryError::Denied) => {
            explanation.rule = Some("grant".to_owned());
            explanation.text = Some("no grant in force for this client and mailbox".to_owned());
            return explanation.with_remedy(registry, None).await;
        }
        Err(error) => return Err(error.into()),
    };
    let rights = Rights { scopes: grant.scopes, bounds: grant.bounds.clone(), mailbox: mailbox.address.clone() };
    explanation.grant_id = Some(grant.id.to_string());
    let freezes: Freezes = registry.list_freezes().await?.into_iter().collect();
    let decided = match judged(&caller.state, &freezes, (&client, &mailbox), &rights, command) {
        Ok(charge) => {
            let found = look(registry, &grant, &charge).await?;
            (explanation.accounts, explanation.budgets) = (found.accounts, found.shown);
            found.decided
        }
        Err(denial) => Err(denial),
    };
    match decided {
        Ok(()) => Ok(Explanation { permitted: true, ..explanation }),
        Err(denial) => {
            explanation.rule = Some(denial.rule.to_owned());
            explanation.needs = denial.needs.map(|scope| scope.to_string());
            explanation.asked = Some(denial.asked);
            explanation.object = denial.object;
            explanation.text = Some(denial.text);
            explanation.with_remedy(registry, Some((&grant, &mailbox))).await
        }
    }
}

/// What scopes, bounds and freezes say, and what the command counts on of the grant's budgets.
fn judged(
    state: &HttpState,
    freezes: &Freezes,
    (client, mailbox): (&Client, &Mailbox),
    rights: &Rights,
    command: &str,
) -> Result<Charge, Denial> {
    let (now, place) = (state.clock.now(), (&client.id, &mailbox.id));
    if command.eq_ignore_ascii_case(LOGIN) {
        return match freezes.stopping_all(Act::OpenSession, place, now) {
            Some(freeze) => Err(policy::frozen_out(LOGIN, &freeze.id)),
            None => Ok(Charge::login()),
        };
    }
    let stopping = |act| {
        freezes.stopping(act, (&client.id, &mailbox.id, policy::protocol_of(command)), now).map(|freeze| &freeze.id)
    };
    if let Some(freeze) = stopping(Act::GoOn) {
        return Err(policy::frozen_out(command, freeze));
    }
    let explain = |rights: &Rights| policy::explain(rights, state.costly_search, command);
    let charge = match stopping(Act::Change) {
        Some(freeze) => policy::while_frozen(rights, freeze, explain),
        None => explain(rights),
    }?;
    match mailbox.upstream.endpoint(policy::protocol_of(command)) {
        Some(_) => Ok(charge),
        None => Err(Denial::no_upstream(command)),
    }
}

impl Explanation {
    async fn with_remedy(mut self, registry: &Registry, grant: Option<(&Grant, &Mailbox)>) -> Result<Self, Problem> {
        let refused = Refused {
            rule: self.rule.as_deref().unwrap_or_default(),
            needs: self.needs.as_deref().and_then(|scope| scope.parse::<Scope>().ok()),
            object: self.object.as_deref(),
            protocol: self.protocol.as_deref(),
            accounts: &self.accounts,
        };
        let operators = registry.list_operators().await?;
        let Remedy { who, text, options, presets } = match refused.rule {
            Denial::FROZEN => frozen(registry, refused.object, &operators).await?,
            _ => remedy(refused, grant),
        };
        if !options.is_empty() {
            let verb = match (grant, &self.client, &self.mailbox) {
                (Some((grant, _)), ..) => Some(format!("grant widen {}", grant.id)),
                (None, Some(client), Some(mailbox)) => {
                    Some(format!("grant add --client={} --mailbox={}", quoted(client), quoted(mailbox)))
                }
                (None, ..) => None,
            };
            let options: String = options.iter().map(|(name, value)| format!(" {name}={}", quoted(value))).collect();
            self.command = verb.map(|verb| format!("mailwarden {verb}{options}"));
        }
        if who == Who::Thawer {
            self.command = self.object.as_deref().map(|freeze| format!("mailwarden thaw {}", quoted(freeze)));
        }
        self.remedy = Some(text);
        self.presets = presets.into_iter().map(Preset::as_str).collect();
        let roles = match who {
            Who::Granter => Some(Admins::ALL),
            Who::Thawer => Some(Guards::ALL),
            Who::Keeper | Who::Tool | Who::Nobody => None,
        };
        if let Some(roles) = roles {
            let may = operators.into_iter().filter(|one| one.status == Status::Active && roles.contains(&one.role));
            self.operators = Some(may.map(|one| one.name).collect());
            self.roles = Some(roles.to_vec());
        }
        self.who = match who {
            Who::Granter | Who::Thawer => None,
            Who::Keeper => Some("keeper"),
            Who::Tool => Some("tool"),
            Who::Nobody => Some("nobody"),
        };
        Ok(self)
    }
}

/// What there is to say of the freeze with this id.
async fn frozen(registry: &Registry, id: Option<&str>, operators: &[Operator]) -> Result<Remedy, Problem> {
    let freezes = registry.list_freezes().await?;
    let freeze = freezes.iter().find(|freeze| Some(freeze.id.as_str()) == id);
    let made_by = freeze.map(|freeze| freeze.made_by.as_str()).unwrap_or_default();
    let name = operators.iter().find(|one| one.id.as_str() == made_by).map(|one| one.name.as_str());
    Ok(thaw(freeze, name.unwrap_or(made_by)))
}

/// A word of a POSIX shell. Tools choose names of folders, and somebody pastes this line.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._-:/+".contains(&byte);
    // At its start, some shells take it for the name of a program.
    let inner = |byte: u8| is_plain(byte) || byte == b'=';
    if word.bytes().next().is_some_and(is_plain) && word.bytes().all(inner) {
        return word.to_owned();
    }
    let shown: String = word.chars().map(|one| if one.is_control() { '?' } else { one }).collect();
    format!("'{}'", shown.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_line_to_paste_says_nothing_else_to_a_shell() {
        assert_eq!(quoted("Archive/2026"), "Archive/2026");
        assert_eq!(quoted("$(reboot) it's"), "'$(reboot) it'\\''s'");
        assert_eq!(quoted("a\r\nreboot"), "'a??reboot'");
        assert_eq!(quoted(""), "''");
        assert_eq!((quoted("bytes=1/day"), quoted("=ls")), ("bytes=1/day".to_owned(), "'=ls'".to_owned()));
    }
}
