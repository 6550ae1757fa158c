//! The sessions that run on this node, and how they are told to end.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::id::SessionId;
use crate::domain::session::{EndReason, SessionInfo};

type Running = HashMap<SessionId, Place>;

/// One session's entry.
#[derive(Debug)]
struct Place {
    info: SessionInfo,
    /// The `jti` of the token that it was opened with.
    token_id: String,
    end: watch::Sender<Option<EndReason>>,
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

    /// Puts a session on the list, with the `jti` of the token that opened it.
    pub fn open(&self, info: SessionInfo, token_id: &str) -> SessionHandle {
        let (end, ended) = watch::channel(None);
        let id = info.id.clone();
        self.lock().insert(id.clone(), Place { info, token_id: token_id.to_owned(), end });
        SessionHandle { sessions: self.clone(), id, ended }
    }

    /// What runs now, oldest first.
    pub fn list(&self) -> Vec<SessionInfo> {
        let mut list: Vec<_> = self.lock().values().map(|place| place.info.clone()).collect();
        list.sort_by(|left, right| left.id.cmp(&right.id));
        list
    }

    /// Tells one session to end; says whether it was there.
    pub fn kill(&self, id: &SessionId) -> bool {
        self.end_where(|info| info.id == *id, EndReason::Killed) > 0
    }

    /// Tells all sessions that `chosen` picks to end; says how many. A session keeps the first reason it was given.
    pub fn end_where(&self, chosen: impl Fn(&SessionInfo) -> bool, reason: EndReason) -> usize {
        self.end_places(|place| chosen(&place.info), reason)
    }

    /// Tells all sessions to end that were opened with one of these tokens; says how many.
    pub fn end_tokens(&self, token_ids: &HashSet<String>, reason: EndReason) -> usize {
        self.end_places(|place| token_ids.contains(&place.token_id), reason)
    }

    fn end_places(&self, chosen: impl Fn(&Place) -> bool, reason: EndReason) -> usize {
        let running = self.lock();
        let picked = running.values().filter(|place| chosen(place));
        picked
            .map(|place| place.end.send_if_modified(|state| state.is_none() && state.replace(reason).is_none()))
            .filter(|told| *told)
            .count()
    }
}
