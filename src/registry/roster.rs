//! The roster: which sessions run on which node, in the database, so that every node can list and end the sessions of all.
//!
//! A session's way in does not wait for it. Twice a second each node writes down what began and ended since; a node that has not been
//! seen for a while is taken for dead, and its sessions with it.

use std::collections::BTreeSet;

use crate::domain::clock::Timestamp;
use crate::domain::freeze::Target;
use crate::domain::id::{ClientId, MailboxId, NodeId, SessionId};
use crate::domain::session::{EndReason, Protocol, SessionInfo};
use crate::registry::{Registry, RegistryError};
use crate::store::sql;
use crate::store::value::Row;

/// How often a node says that it lives.
const BEAT_MILLIS: i64 = 5_000;
/// A node that has not said so for this long is dead.
const DEAD_MILLIS: i64 = 20_000;

/// What this node has written into the roster.
#[derive(Debug, Default)]
pub(in crate::registry) struct Written {
    sessions: BTreeSet<SessionId>,
    beat_at: Option<Timestamp>,
}

impl Registry {
    /// The running sessions of all nodes, oldest first, each with its node.
    pub async fn list_sessions(&self) -> Result<Vec<(NodeId, SessionInfo)>, RegistryError> {
        let mut list: Vec<_> = self.sessions.list().into_iter().map(|info| (self.node.clone(), info)).collect();
        let alive = self.clock.now().plus_millis(-DEAD_MILLIS);
        for row in self.store.rows(sql::SESSION_OTHERS, &[self.node.as_str().into(), alive.0.into()]).await? {
            list.extend(read(&row));
        }
        // Ids know the second alone.
        list.sort_by(|(_, left), (_, right)| (left.started_at, &left.id).cmp(&(right.started_at, &right.id)));
        Ok(list)
    }

    /// Ends one session, on whichever node it runs; says whether it was there. Another node hears of it with the policy epoch.
    pub async fn kill_session(&self, id: &SessionId) -> Result<bool, RegistryError> {
        if self.sessions.kill(id) {
            self.berths.close_all();
            return Ok(true);
        }
        let now = self.clock.now();
        let args = [id.as_str().into(), now.0.into(), now.plus_millis(-DEAD_MILLIS).0.into()];
        let mut tx = self.store.begin().await?;
        if tx.execute(sql::SESSION_KILL, &args).await? == 0 {
            return Ok(false);
        }
        self.commit(tx).await?;
        Ok(true)
    }

    /// Ends all sessions that `target` reaches, on every node; says how many were told. A session of another node that began less than
    /// half a second ago is not on the roster yet, and goes on: a freeze keeps such from beginning.
    pub async fn kill_sessions(&self, target: &Target) -> Result<usize, RegistryError> {
        let is_meant = |info: &SessionInfo| target.reaches(&info.client_id, &info.mailbox_id, info.protocol);
        let here = self.sessions.end_where(is_meant, EndReason::Killed);
        self.berths.close_all();
        let now = self.clock.now();
        let args = [
            now.0.into(),
            self.node.as_str().into(),
            now.plus_millis(-DEAD_MILLIS).0.into(),
            target.client.as_ref().map(ClientId::as_str).into(),
            target.mailbox.as_ref().map(MailboxId::as_str).into(),
            target.protocol.map(Protocol::as_str).into(),
        ];
        let mut tx = self.store.begin().await?;
        let elsewhere = tx.execute(sql::SESSION_KILL_WHERE, &args).await?;
        if elsewhere > 0 {
            self.commit(tx).await?;
        }
        Ok(here + usize::try_from(elsewhere).unwrap_or(usize::MAX))
    }

    /// Takes this node's sessions off the roster, at its stop.
    pub async fn leave_roster(&self) -> Result<(), RegistryError> {
        let mut tx = self.store.begin().await?;
        tx.execute(sql::SESSION_FORGET, &[self.node.as_str().into()]).await?;
        Ok(tx.commit().await?)
    }

    /// Writes down what began and ended since the last time, and that this node lives. Costs nothing while nothing happens.
    pub(in crate::registry) async fn keep_roster(&self, written: &mut Written) -> Result<(), RegistryError> {
        let now = self.clock.now();
        let running = self.sessions.list();
        let ids: BTreeSet<SessionId> = running.iter().map(|info| info.id.clone()).collect();
        let begun: Vec<_> = running.iter().filter(|info| !written.sessions.contains(&info.id)).collect();
        let ended: Vec<_> = written.sessions.difference(&ids).collect();
        let is_due = !ids.is_empty() && written.beat_at.is_none_or(|beat| beat.plus_millis(BEAT_MILLIS) <= now);
        if begun.is_empty() && ended.is_empty() && !is_due {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        for info in begun {
            tx.execute(sql::SESSION_ADD, &self.row(info, now)).await?;
        }
        for id in ended {
            tx.execute(sql::SESSION_REMOVE, &[id.as_str().into()]).await?;
        }
        let mut seen = ids.len() as u64;
        if is_due {
            seen = tx.execute(sql::SESSION_SEEN, &[self.node.as_str().into(), now.0.into()]).await?;
            tx.execute(sql::SESSION_STALE, &[now.plus_millis(-2 * DEAD_MILLIS).0.into()]).await?;
        }
        tx.commit().await?;
        // Rows that others took for dead while this node slept are written anew next time.
        written.sessions = if seen == ids.len() as u64 { ids } else { BTreeSet::new() };
        if is_due {
            written.beat_at = Some(now);
        }
        Ok(())
    }

    /// Ends the sessions of this node that another node was told to end.
    pub(in crate::registry) async fn heed_kills(&self) -> Result<(), RegistryError> {
        for row in self.store.rows(sql::SESSION_KILLED, &[self.node.as_str().into()]).await? {
            if let Ok(id) = row.text(0)?.parse::<SessionId>() {
                self.sessions.end_where(|info| info.id == id, EndReason::Killed);
            }
        }
        Ok(())
    }

    fn row(&self, info: &SessionInfo, now: Timestamp) -> [crate::store::value::Value; 11] {
        [
            info.id.as_str().into(),
            self.node.as_str().into(),
            info.client_id.as_str().into(),
            info.mailbox_id.as_str().into(),
            info.mailbox.as_str().into(),
            info.grant_id.as_str().into(),
            info.protocol.as_str().into(),
            info.source.to_string().as_str().into(),
            info.started_at.0.into(),
            info.ends_at.0.into(),
            now.0.into(),
        ]
    }
}

/// A row of the roster; `None` for what a newer version may have written there.
fn read(row: &Row) -> Option<(NodeId, SessionInfo)> {
    let text = |at| row.text(at).ok();
    let protocol = text(6)?;
    let info = SessionInfo {
        id: text(0)?.parse().ok()?,
        client_id: text(2)?.parse().ok()?,
        mailbox_id: text(3)?.parse().ok()?,
        mailbox: text(4)?.parse().ok()?,
        grant_id: text(5)?.parse().ok()?,
        protocol: Protocol::parse(&protocol)?,
        source: text(7)?.parse().ok()?,
        started_at: Timestamp(row.int(8).ok()?),
        ends_at: Timestamp(row.int(9).ok()?),
    };
    Some((text(1)?.parse().ok()?, info))
}
