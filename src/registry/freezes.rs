//! Freezes: made, ended, and heeded by this node's sessions. A row that somebody changed freezes everything: whom it reached and how
//! much it stopped is not known any more.

use std::sync::Arc;

use crate::domain::client::Client;
use crate::domain::clock::Timestamp;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::freeze::{Act, Freeze, Freezes, Level, Target};
use crate::domain::id::FreezeId;
use crate::domain::mailbox::Mailbox;
use crate::domain::session::{EndReason, Protocol, SessionInfo};
use crate::registry::freeze_board::FreezeBoard;
use crate::registry::{Registry, RegistryError, rows};
use crate::store::sql;
use crate::store::value::Row;

/// Most freezes at a time: each is looked at before every command.
const MAX_FREEZES: usize = 200;
/// Longest reason in characters.
const MAX_REASON: usize = 300;
/// If the node that found a freeze over dies before the row is gone, another one may take over after this long.
const TAKE_OVER_SECS: i64 = 60;

/// What a new freeze shall do.
#[derive(Clone, Debug)]
pub struct NewFreeze {
    /// What it stops.
    pub level: Level,
    /// Whom it reaches.
    pub target: Target,
    /// Why.
    pub reason: String,
    /// After how many seconds it ends by itself.
    pub thaw_after_secs: Option<i64>,
}

impl Registry {
    /// Freezes. When this returns, no token is issued and no command passes on this node that the freeze stops; other nodes follow
    /// within a second.
    pub async fn add_freeze(&self, by: &Actor, new: NewFreeze) -> Result<Freeze, RegistryError> {
        let created_at = self.clock.now();
        let is_visible = !new.reason.trim().is_empty() && !new.reason.chars().any(char::is_control);
        if !is_visible || new.reason.chars().count() > MAX_REASON {
            return Err(RegistryError::Invalid("a reason has 1 to 300 visible characters"));
        }
        if new.thaw_after_secs.is_some_and(|secs| !(1..=Freeze::MAX_SECS).contains(&secs)) {
            return Err(RegistryError::Invalid("a freeze lasts 1 second to 30 days, or until it is ended"));
        }
        if self.freezes_now().await?.iter().count() >= MAX_FREEZES {
            return Err(RegistryError::Conflict("there are 200 freezes already; end some, or freeze more at once"));
        }
        let freeze = Freeze {
            id: FreezeId::new(&self.clock, &self.entropy),
            level: new.level,
            target: new.target,
            reason: new.reason,
            made_by: by.as_text().to_owned(),
            created_at,
            thaws_at: new.thaw_after_secs.map(|secs| created_at.plus_secs(secs)),
        };
        self.record(freeze_event(EventCode::FreezeAdded, by, &freeze)).await?;
        let mut tx = self.store.begin().await?;
        self.add(&mut tx, &freeze).await?;
        self.commit(tx).await?;
        self.obey_freezes().await?;
        // A session that the freeze cuts may have come and gone since the commit.
        self.berths.close_all();
        Ok(freeze)
    }

    /// The freezes in force.
    pub async fn list_freezes(&self) -> Result<Vec<Freeze>, RegistryError> {
        let now = self.clock.now();
        Ok(self.freezes_now().await?.iter().filter(|freeze| freeze.is_in_force(now)).cloned().collect())
    }

    /// Ends one freeze.
    pub async fn end_freeze(&self, by: &Actor, id: &FreezeId) -> Result<(), RegistryError> {
        let now = self.clock.now();
        let freezes = self.freezes_now().await?;
        let found = freezes.iter().find(|freeze| freeze.id == *id && freeze.is_in_force(now));
        self.thaw(by, found.ok_or(RegistryError::NotFound("freeze"))?, "operator").await
    }

    /// Ends all freezes in force; says how many there were.
    pub async fn end_all_freezes(&self, by: &Actor) -> Result<usize, RegistryError> {
        let freezes = self.list_freezes().await?;
        for freeze in &freezes {
            self.thaw(by, freeze, "operator").await?;
        }
        Ok(freezes.len())
    }

    async fn thaw(&self, by: &Actor, freeze: &Freeze, ended_by: &str) -> Result<(), RegistryError> {
        self.record(freeze_event(EventCode::FreezeEnded, by, freeze).detail("ended_by", ended_by)).await?;
        let mut ids = vec![freeze.id.as_str().to_owned()];
        if freeze.id.as_str() == NAMELESS {
            let rows = self.store.rows(sql::FREEZE_LIST, &[]).await?;
            ids = rows.iter().filter_map(|row| row.text(0).ok()).filter(|id| id.parse::<FreezeId>().is_err()).collect();
        }
        let mut tx = self.store.begin().await?;
        for id in &ids {
            tx.execute(sql::FREEZE_END, &[id.as_str().into()]).await?;
        }
        self.commit(tx).await?;
        self.obey_freezes().await
    }

    /// Where running sessions look.
    pub fn freeze_board(&self) -> &FreezeBoard {
        self.view.freezes()
    }

    /// Whether this client may get a token for this mailbox that works by these protocols; `None`: by all.
    pub async fn may_take_token(
        &self,
        client: &Client,
        mailbox: &Mailbox,
        protocols: Option<&[Protocol]>,
    ) -> Result<(), RegistryError> {
        let stopping = |freezes: &Freezes| {
            freezes.stopping_token(&client.id, &mailbox.id, protocols, self.clock.now()).map(|freeze| freeze.id.clone())
        };
        if stopping(&*self.freezes_seen().await?).is_none() {
            return Ok(());
        }
        stopping(&*self.freezes_now().await?).map_or(Ok(()), |id| Err(RegistryError::Frozen(id)))
    }

    /// What was read a moment ago, which will do for a yes: see the head of `view`.
    pub(in crate::registry) async fn freezes_seen(&self) -> Result<Arc<Freezes>, RegistryError> {
        match self.view.freezes().lately() {
            Some(freezes) => Ok(freezes),
            None => self.freezes_now().await,
        }
    }

    /// What the database holds at this moment; also goes on the board.
    pub(in crate::registry) async fn freezes_now(&self) -> Result<Arc<Freezes>, RegistryError> {
        let board = self.view.freezes();
        let ticket = board.ticket();
        let mut found = Vec::new();
        for row in self.store.rows(sql::FREEZE_LIST, &[]).await? {
            found.push(match rows::read::<Freeze>(&row, self.vault.row_mac()) {
                Ok((freeze, _)) => freeze,
                Err(_) => self.unreadable(&row).await?,
            });
        }
        let freezes: Arc<Freezes> = Arc::new(found.into_iter().collect());
        board.post(&ticket, &freezes);
        Ok(freezes)
    }

    /// What a row that somebody changed does: it cuts everything until it is ended, and raises one alarm.
    async fn unreadable(&self, row: &Row) -> Result<Freeze, RegistryError> {
        let id = row.text(0).unwrap_or_default();
        if self.view.freezes().is_news(row.blob(9).unwrap_or_default()) {
            tracing::error!(table = "freezes", %id, "stored row was changed by somebody else: everything is frozen");
            let event = AuditEvent::new(EventCode::TamperingDetected, Actor::System, Outcome::Denied);
            self.record(event.detail("table", "freezes").detail("row", id.clone())).await?;
        }
        let id = id.parse().or_else(|_| NAMELESS.parse());
        Ok(Freeze {
            id: id.map_err(|_| RegistryError::Internal("an id is malformed"))?,
            level: Level::Cut,
            target: Target::default(),
            reason: "the stored freeze was changed by somebody else, so everything is frozen until it is ended"
                .to_owned(),
            made_by: Actor::System.as_text().to_owned(),
            created_at: Timestamp(0),
            thaws_at: None,
        })
    }

    /// Puts on the board what the database holds, and ends the sessions of this node that a freeze cuts.
    pub(in crate::registry) async fn obey_freezes(&self) -> Result<(), RegistryError> {
        let freezes = self.freezes_now().await?;
        let now = self.clock.now();
        if freezes.iter().next().is_some() {
            let is_cut = |info: &SessionInfo| {
                freezes.stopping(Act::GoOn, (&info.client_id, &info.mailbox_id, info.protocol), now).is_some()
            };
            self.sessions.end_where(is_cut, EndReason::Frozen);
        }
        Ok(())
    }

    /// Takes away what is over, by what is on the board. One of all nodes records that.
    pub(in crate::registry) async fn end_freezes(&self) -> Result<(), RegistryError> {
        let now = self.clock.now();
        let freezes = self.view.freezes().posted();
        for over in freezes.iter().filter(|freeze| !freeze.is_in_force(now)) {
            if self.first_use("thaw", "freeze", over.id.as_str(), now.plus_secs(TAKE_OVER_SECS)).await? {
                self.thaw(&Actor::System, over, "timer").await?;
            }
        }
        Ok(())
    }
}

/// Stands for all ids that somebody made unreadable.
const NAMELESS: &str = "frz_000000000000";

fn freeze_event(code: EventCode, by: &Actor, freeze: &Freeze) -> AuditEvent {
    let target = &freeze.target;
    let mut event = Registry::event(code, by)
        .detail("freeze", freeze.id.as_str())
        .detail("level", freeze.level.as_str())
        .detail("protocol", target.protocol.map_or("all", Protocol::as_str))
        .detail("reason", freeze.reason.clone());
    if let Some(end) = freeze.thaws_at {
        event = event.detail("thaws_at", end.to_rfc3339());
    }
    event.client_id.clone_from(&target.client);
    event.mailbox_id.clone_from(&target.mailbox);
    event
}
