//! What a command would find of its grant's budgets at this moment. It is looked at, and nothing is taken.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::budget::{Budgets, Span, Used};
use crate::domain::grant::Grant;
use crate::http::problem::Problem;
use crate::policy::charge::{Account, Charge, LOGIN};
use crate::policy::{Denial, budget};
use crate::registry::Registry;

/// A limit of the grant's budgets, as it stands now. What running sessions have taken ahead counts as used.
#[derive(Serialize, ToSchema)]
pub(super) struct BudgetUse {
    /// What is counted: `messages_sent`, `recipients`, `messages_read`, `bytes`, `folders` or `sessions`.
    what: &'static str,
    /// In which span of UTC: `hour` or `day`; `null` for sessions, which are counted at a time.
    span: Option<&'static str>,
    limit: u64,
    used: u64,
    left: u64,
    /// When the next hour or day begins, with nothing used.
    #[schema(format = DateTime)]
    renewed_at: Option<String>,
}

impl BudgetUse {
    fn of(account: Account, used: &Used) -> Self {
        Self {
            what: account.what.as_str(),
            span: Some(account.span.as_str()),
            limit: account.limit,
            used: account.used,
            left: account.left(),
            renewed_at: Some(account.span.end(used.at).to_rfc3339()),
        }
    }
}

/// What a command finds, and what it is told.
pub(super) struct Finding {
    pub(super) accounts: Vec<Account>,
    pub(super) shown: Vec<BudgetUse>,
    pub(super) decided: Result<(), Denial>,
}

/// What of a grant's budgets a command counts on.
pub(super) async fn look(registry: &Registry, grant: &Grant, charge: &Charge) -> Result<Finding, Problem> {
    let mut found = Finding { accounts: Vec::new(), shown: Vec::new(), decided: Ok(()) };
    let Some(budgets) = grant.bounds.budgets else { return Ok(found) };
    if let Some(most) = budgets.sessions {
        let (limit, used) = (u64::from(most), registry.seats_taken(&grant.id).await?);
        let left = limit.saturating_sub(used);
        found.shown.push(BudgetUse { what: "sessions", span: None, limit, used, left, renewed_at: None });
        // A session that runs has its place; a new one needs one.
        if left == 0 && (used == 0 || charge.asked == LOGIN) {
            found.decided = Err(budget::no_seat(&charge.asked, most));
        }
    }
    let used = registry.budget_used(&grant.id).await?;
    let counted = counted(registry, grant, &budgets, charge, &used).await?;
    found.accounts = charge.accounts(&budgets, &used, &counted);
    found.shown.extend(found.accounts.iter().map(|account| BudgetUse::of(*account, &used)));
    found.decided = found.decided.and_then(|()| charge.settle(&found.accounts));
    Ok(found)
}

/// The spans in which the command's folder was counted already.
async fn counted(
    registry: &Registry,
    grant: &Grant,
    budgets: &Budgets,
    charge: &Charge,
    used: &Used,
) -> Result<Vec<Span>, Problem> {
    match &charge.folder {
        Some(folder) if budgets.folders.is_some() => Ok(registry.folder_counted(&grant.id, folder, used.at).await?),
        _ => Ok(Vec::new()),
    }
}
