//! The sessions that run on this node, and how they are told to end.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use ipnet::IpNet;

use crate::domain::bounds::Bounds;
use crate::domain::clock::Timestamp;
use crate::domain::grant::Grant;
use crate::domain::id::SessionId;
use crate::domain::scope::ScopeSet;
use crate::domain::session::{EndReason, SessionInfo};

type Running = HashMap<SessionId, Entry>;

#[derive(Debug)]
struct Entry {
    info: SessionInfo,
    standing: Standing,
    told: watch::Sender<Option<EndReason>>,
}

/// What a session was let in with, and works with until its end.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What it may do.
    pub scopes: ScopeSet,
    /// Within which limits.
    pub bounds: Bounds,
    /// When the token that opened it ends.
    pub token_end: Timestamp,
    /// That token's `jti`.
    pub token_id: String,
}

impl Standing {
    /// Whether `grant` still gives all that the session has; a grant that gives more changes nothing for it.
    pub(in crate::registry) fn is_given_by(&self, grant: &Grant, info: &SessionInfo) -> bool {
        let bounds = Bounds {
            // Of these a session has one each.
            networks: Some(vec![IpNet::from(info.source.to_canonical())]),
            protocols: Some(vec![info.protocol]),
            ..self.bounds.clone()
        };
        grant.scopes.covers(self.scopes) && grant.bounds.cover(&bounds, &info.mailbox)
    }
}

/// The running sessions; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Sessions(Arc<Mutex<Running>>);

/// A running session's place in the list; dropping it takes the session off.
#[derive(Debug)]
pub struct SessionHandle {
    sessions: Sessions,
    id: SessionId,
    ended: watch::Receiver<Option<EndReason>>,
}

impl SessionHandle {
    /// Turns `Some` when the session must end.
    pub fn ended(&self) -> watch::Receiver<Option<EndReason>> {
        self.ended.clone()
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.id);
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a session on the list.
    pub fn open(&self, info: SessionInfo, standing: Standing) -> SessionHandle {
        let (told, ended) = watch::channel(None);
        let id = info.id.clone();
        self.lock().insert(id.clone(), Entry { info, standing, told });
        SessionHandle { sessions: self.clone(), id, ended }
    }

    /// What runs now, in no order.
    pub fn list(&self) -> Vec<SessionInfo> {
        self.lock().values().map(|entry| entry.info.clone()).collect()
    }

    /// What runs now, each with what it was let in with.
    pub(in crate::registry) fn standing(&self) -> Vec<(SessionInfo, Standing)> {
        self.lock().values().map(|entry| (entry.info.clone(), entry.standing.clone())).collect()
    }

    /// Lets a session end at `end`, unless it ends before.
    pub(in crate::registry) fn shorten(&self, id: &SessionId, end: Timestamp) {
        if let Some(entry) = self.lock().get_mut(id) {
            entry.info.ends_at = entry.info.ends_at.min(end);
        }
    }

    /// Tells one session to end; says whether it was there.
    pub fn kill(&self, id: &SessionId) -> bool {
        self.end_where(|info| info.id == *id, EndReason::Killed) > 0
    }

    /// Tells all sessions that `chosen` picks to end; says how many. A session keeps the first reason it was given.
    pub fn end_where(&self, chosen: impl Fn(&SessionInfo) -> bool, reason: EndReason) -> usize {
        self.end_entries(|entry| chosen(&entry.info), reason)
    }

    /// Tells all sessions to end that were opened with one of these tokens; says how many.
    pub fn end_tokens(&self, token_ids: &HashSet<String>, reason: EndReason) -> usize {
        self.end_entries(|entry| token_ids.contains(&entry.standing.token_id), reason)
    }

    fn end_entries(&self, chosen: impl Fn(&Entry) -> bool, reason: EndReason) -> usize {
        let running = self.lock();
        let picked = running.values().filter(|entry| chosen(entry));
        picked
            .map(|entry| entry.told.send_if_modified(|state| state.is_none() && state.replace(reason).is_none()))
            .filter(|told| *told)
            .count()
    }
}
