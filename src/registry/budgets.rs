//! The counters of budgets, in the database: what all nodes together use under one grant in one hour or day. What may be used is
//! taken off them before it is used.

use crate::crypto::hash::sha256;
use crate::domain::budget::{Allowance, Budgeted, Budgets, Span, Used};
use crate::domain::clock::Timestamp;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::freeze::{Level, Target};
use crate::domain::id::GrantId;
use crate::domain::session::SessionInfo;
use crate::registry::freezes::NewFreeze;
use crate::registry::{Registry, RegistryError};
use crate::store::value::Value;
use crate::store::{Tx, sql};

/// How much longer a counter is kept than it counts: another node's clock may be behind this one's.
const LONGER_MILLIS: i64 = 3_600_000;
/// So much of what is left is taken ahead at most, so that it can be used by others.
const SHARE: u64 = 8;

/// A budget that has too little left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// Of what.
    pub what: Budgeted,
    /// In which span.
    pub span: Span,
    /// How much there is in such a span.
    pub limit: u64,
}

impl Registry {
    /// Takes `need` of `what` off a grant's counters, and up to `ahead` more where there is plenty. Gives how much was taken: for good,
    /// unless it is put back.
    pub(in crate::registry) async fn draw(
        &self,
        info: &SessionInfo,
        (what, allowance): (Budgeted, Allowance),
        (need, ahead): (u64, u64),
        now: Timestamp,
        freezes: bool,
    ) -> Result<Result<u64, Exhausted>, RegistryError> {
        let mut amount = need.saturating_add(ahead);
        let mut tx = self.store.begin().await?;
        for (span, limit) in allowance.limits() {
            let left = limit.saturating_sub(used(&mut tx, &info.grant_id, what, span, now).await?);
            if left < need {
                return self.refuse(tx, info, Exhausted { what, span, limit }, now, freezes).await.map(Err);
            }
            amount = amount.min(need.saturating_add((left - need) / SHARE));
        }
        for (span, _) in allowance.limits() {
            add(&mut tx, &info.grant_id, what, span, now, signed(amount)).await?;
        }
        tx.commit().await?;
        Ok(Ok(amount))
    }

    /// Counts a folder once in each span.
    pub(in crate::registry) async fn draw_folder(
        &self,
        info: &SessionInfo,
        allowance: Allowance,
        folder: &str,
        now: Timestamp,
        freezes: bool,
    ) -> Result<Result<(), Exhausted>, RegistryError> {
        let (grant, what, folder) = (&info.grant_id, Budgeted::Folders, digest(folder));
        let mark = |span| mark(grant, span, now, &folder);
        let mut new = Vec::new();
        let mut tx = self.store.begin().await?;
        for (span, limit) in allowance.limits() {
            let used = used(&mut tx, grant, what, span, now).await?;
            if tx.row(sql::BUDGET_FOLDER_FIND, &mark(span)).await?.is_some() {
                continue;
            }
            if used >= limit {
                return self.refuse(tx, info, Exhausted { what, span, limit }, now, freezes).await.map(Err);
            }
            new.push(span);
        }
        for span in new {
            tx.execute(sql::BUDGET_FOLDER_ADD, &mark(span)).await?;
            add(&mut tx, grant, what, span, now, 1).await?;
        }
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// Adds what was used without having been taken before, or takes back what was not used (negative), in the spans of `at`.
    pub(in crate::registry) async fn count(
        &self,
        grant: &GrantId,
        (what, allowance): (Budgeted, Allowance),
        amount: i64,
        at: Timestamp,
    ) -> Result<(), RegistryError> {
        let mut tx = self.store.begin().await?;
        for (span, _) in allowance.limits() {
            used(&mut tx, grant, what, span, at).await?;
            add(&mut tx, grant, what, span, at, amount).await?;
        }
        Ok(tx.commit().await?)
    }

    /// The limits of `budgets`, each with what is left of it now.
    pub async fn budget_left(&self, grant: &GrantId, budgets: &Budgets) -> Result<Budgets, RegistryError> {
        Ok(budgets.less(&self.budget_used(grant).await?))
    }

    /// What is used under a grant in this hour and day, with what running sessions have taken ahead. Nothing is taken.
    pub async fn budget_used(&self, grant: &GrantId) -> Result<Used, RegistryError> {
        let now = self.clock.now();
        let mut args = vec![grant.as_str().into()];
        args.extend(Span::ALL.iter().flat_map(|span| [span.millis().into(), span.begin(now).0.into()]));
        let mut counters = Vec::new();
        for row in self.store.rows(sql::BUDGET_USES, &args).await? {
            let (name, millis, used) = (row.text(0)?, row.int(1)?, row.int(2)?);
            let what = Budgeted::ALL.into_iter().find(|what| what.as_str() == name);
            let span = Span::ALL.into_iter().find(|span| span.millis() == millis);
            counters.extend(what.zip(span).map(|(what, span)| (what, span, u64::try_from(used).unwrap_or_default())));
        }
        Ok(Used::new(now, counters))
    }

    /// The spans of `at` in which a folder was counted already. Nothing is counted.
    pub async fn folder_counted(
        &self,
        grant: &GrantId,
        folder: &str,
        at: Timestamp,
    ) -> Result<Vec<Span>, RegistryError> {
        let mut counted = Vec::new();
        for span in Span::ALL {
            if self.store.row(sql::BUDGET_FOLDER_FIND, &mark(grant, span, at, &digest(folder))).await?.is_some() {
                counted.push(span);
            }
        }
        Ok(counted)
    }

    /// Forgets counters of hours and days that are over on every node, and seats of nodes that are long dead.
    pub(in crate::registry) async fn sweep_budgets(&self) -> Result<u64, RegistryError> {
        let before = [self.clock.now().plus_millis(-LONGER_MILLIS).0.into()];
        let mut tx = self.store.begin().await?;
        let swept = tx.execute(sql::BUDGET_SWEEP, &before).await?;
        let swept = swept + tx.execute(sql::BUDGET_FOLDER_SWEEP, &before).await?;
        let swept = swept + tx.execute(sql::SEAT_SWEEP, &before).await?;
        tx.commit().await?;
        Ok(swept)
    }

    async fn refuse(
        &self,
        mut tx: Tx,
        info: &SessionInfo,
        exhausted: Exhausted,
        now: Timestamp,
        freezes: bool,
    ) -> Result<Exhausted, RegistryError> {
        let Exhausted { what, span, .. } = exhausted;
        let is_news = tx.execute(sql::BUDGET_TELL, &key(&info.grant_id, what, span, now)).await? == 1;
        tx.commit().await?;
        if is_news && let Err(error) = self.on_exhausted(info, exhausted, freezes).await {
            // The next one that is refused sees to it.
            let mut tx = self.store.begin().await?;
            tx.execute(sql::BUDGET_UNTELL, &key(&info.grant_id, what, span, now)).await?;
            tx.commit().await?;
            return Err(error);
        }
        Ok(exhausted)
    }

    /// What happens when a budget is used up, once for each hour or day, on the node that met it first.
    async fn on_exhausted(&self, info: &SessionInfo, exhausted: Exhausted, freezes: bool) -> Result<(), RegistryError> {
        let event = AuditEvent::new(EventCode::BudgetExhausted, Actor::Client(info.client_id.clone()), Outcome::Denied)
            .client(&info.client_id)
            .mailbox(&info.mailbox_id)
            .grant(&info.grant_id)
            .session(&info.id)
            .source(info.source)
            .detail("budget", exhausted.what.as_str())
            .detail("span", exhausted.span.as_str())
            .detail("limit", exhausted.limit.to_string());
        self.record(event).await?;
        if !freezes {
            return Ok(());
        }
        let Exhausted { what, span, limit } = exhausted;
        let freeze = NewFreeze {
            level: Level::Cut,
            target: Target {
                client: Some(info.client_id.clone()),
                mailbox: Some(info.mailbox_id.clone()),
                protocol: None,
            },
            reason: format!("budget {}={limit}/{} of grant {} is used up", what.as_str(), span.as_str(), info.grant_id),
            thaw_after_secs: None,
        };
        match self.add_freeze(&Actor::System, freeze).await {
            Err(RegistryError::Conflict(reason)) => {
                tracing::error!(reason, client = %info.client_id, "a used-up budget could not freeze its client");
                Ok(())
            }
            outcome => outcome.map(drop),
        }
    }
}

/// What was used by now; nobody else changes it before `tx` ends.
async fn used(tx: &mut Tx, grant: &GrantId, what: Budgeted, span: Span, now: Timestamp) -> Result<u64, RegistryError> {
    let row = tx.row(sql::BUDGET_LOCK, &key(grant, what, span, now)).await?;
    let row = row.ok_or(RegistryError::Internal("a budget's counter is missing"))?;
    Ok(u64::try_from(row.int(0)?).unwrap_or_default())
}

async fn add(
    tx: &mut Tx,
    grant: &GrantId,
    what: Budgeted,
    span: Span,
    now: Timestamp,
    amount: i64,
) -> Result<(), RegistryError> {
    let mut args = key(grant, what, span, now).to_vec();
    args.push(amount.into());
    tx.execute(sql::BUDGET_ADD, &args).await?;
    Ok(())
}

fn key(grant: &GrantId, what: Budgeted, span: Span, now: Timestamp) -> [Value; 4] {
    [grant.as_str().into(), what.as_str().into(), span.millis().into(), span.begin(now).0.into()]
}

/// What stands for a folder's name.
fn digest(folder: &str) -> [u8; 32] {
    sha256(folder.as_bytes())
}

fn mark(grant: &GrantId, span: Span, now: Timestamp, folder: &[u8]) -> [Value; 4] {
    [grant.as_str().into(), span.millis().into(), span.begin(now).0.into(), folder.into()]
}

pub(in crate::registry) fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
