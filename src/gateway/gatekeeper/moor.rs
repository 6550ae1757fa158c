//! A session's connection to its mailbox's upstream: one that is logged in already, or else a new login; and what becomes of it when the
//! session ends.
//!
//! That a session began is on record before it is given either (`login.accepted`). `credential.used` says that the credential was opened and
//! shown, which a connection at rest does not need: who logged it in is on record there, and `session.ended` tells which of the two a
//! session had. So a session that finds a connection waits for no record of its own but the one that let it in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::domain::fault::Fault;
use crate::domain::mailbox::{Endpoint, Health};
use crate::gateway::gatekeeper::{Gatekeeper, Refusal, Session};
use crate::policy::Denial;
use crate::policy::charge::LOGIN;
use crate::upstream::berths::{Kind, Resting, Taken, say_goodbye};
use crate::upstream::wire::Wire;
use crate::upstream::{imap, smtp};

/// How long a login waits for its turn at the upstream.
const PATIENCE: Duration = Duration::from_secs(20);

/// What connections a session had.
#[derive(Debug, Default)]
pub(super) struct Had {
    new: AtomicBool,
    kept: AtomicBool,
}

impl Had {
    /// The word in the audit log.
    pub(super) fn as_str(&self) -> &'static str {
        match (self.new.load(Ordering::Relaxed), self.kept.load(Ordering::Relaxed)) {
            (true, true) => "new and kept",
            (true, false) => "new",
            (false, true) => "kept",
            (false, false) => "none",
        }
    }
}

impl Gatekeeper {
    /// A connection to the mailbox's IMAP upstream, logged in. Its berth comes with it: who wants another lets go of this one first.
    pub async fn imap(&self, session: &Session) -> Result<imap::Connection, Refusal> {
        let (wire, capabilities) = self.moor(session, Kind::Imap, LOGIN).await?;
        Ok(imap::Connection { wire, capabilities })
    }

    /// A connection to the mailbox's submission upstream, logged in.
    pub async fn smtp(&self, session: &Session) -> Result<smtp::Connection, Refusal> {
        let (wire, keywords) = self.moor(session, Kind::Smtp, "MAIL FROM").await?;
        Ok(smtp::Connection { wire, keywords })
    }

    /// `asked` is the command that needs it.
    async fn moor(&self, session: &Session, kind: Kind, asked: &str) -> Result<(Wire, Vec<String>), Refusal> {
        let Some(endpoint) = session.mailbox.upstream.endpoint(session.info.protocol) else {
            return Err(self.turn_back(session, Fault::Denied, &Denial::no_upstream(asked)).await);
        };
        let Some((mut berth, resting)) = self.berth(session, kind).await? else {
            return Err(self.turn_back(session, Fault::Throttled, &Denial::connections(asked)).await);
        };
        if let Some(mut resting) = resting
            && self.is_good(session, kind, endpoint, &mut resting).await
        {
            session.had.kept.store(true, Ordering::Relaxed);
            berth.logged_in(resting.login);
            resting.wire.take_berth(berth);
            return Ok((resting.wire, resting.abilities));
        }
        let found = self.log_in(session, kind, endpoint, berth).await?;
        session.had.new.store(true, Ordering::Relaxed);
        Ok(found)
    }

    async fn turn_back(&self, session: &Session, fault: Fault, denial: &Denial) -> Refusal {
        match self.deny(session, denial).await {
            Ok(verdict) => Refusal { text: format!("{} (verdict {verdict})", denial.text), ..Refusal::of(fault) },
            Err(refusal) => refusal,
        }
    }

    /// Waits for a berth; `None`: there was none in time. Neither a slot of the breaker nor a turn to log in is held meanwhile.
    async fn berth(&self, session: &Session, kind: Kind) -> Result<Option<Taken>, Refusal> {
        let info = &session.info;
        let taking = self.0.registry.berths().take(&info.mailbox_id, kind, &info.client_id);
        let mut ended = session.ended();
        tokio::select! {
            biased;
            _ = ended.wait_for(Option::is_some) => Err(Refusal::of(Fault::Unavailable)),
            taken = tokio::time::timeout(PATIENCE, taking) => Ok(taken.ok()),
        }
    }

    /// Whether a connection at rest is what a new login would give now.
    async fn is_good(&self, session: &Session, kind: Kind, endpoint: &Endpoint, resting: &mut Resting) -> bool {
        let (mailbox, login) = (&session.mailbox, &resting.login);
        let is_same = login.endpoint == *endpoint && login.username == mailbox.upstream.username;
        // Asked of the database now: it may have been rotated at another node.
        let is_current = match self.0.vault.credential_version(&mailbox.id).await {
            Ok(version) => version == Some(login.version),
            // The new login will say what is wrong.
            Err(_) => false,
        };
        if !is_same || !is_current || mailbox.health != Health::Good {
            self.0.registry.berths().close(&mailbox.id);
            return false;
        }
        resting.is_alive(kind, &self.tags().next()).await
    }

    /// The session is over in good order: its connection rests for the next one, unless a folder is open that cannot be left.
    pub async fn part_with_imap(&self, mut connection: imap::Connection, has_folder: bool) {
        let is_clean = self.0.registry.berths().keeps()
            && (!has_folder || imap::leave_folder(&mut connection, &self.tags().next()).await);
        self.part(Kind::Imap, is_clean, connection.wire, connection.capabilities).await;
    }

    /// The same after submission.
    pub async fn part_with_smtp(&self, mut connection: smtp::Connection) {
        let is_clean = self.0.registry.berths().keeps() && smtp::clear(&mut connection.wire).await;
        self.part(Kind::Smtp, is_clean, connection.wire, connection.keywords).await;
    }

    async fn part(&self, kind: Kind, is_clean: bool, wire: Wire, abilities: Vec<String>) {
        let left = if is_clean { self.0.registry.berths().rest(wire, abilities) } else { Some(wire) };
        if let Some(wire) = left {
            say_goodbye(kind, wire).await;
        }
    }

    /// The session was told to end, or something went wrong: nothing rests that was opened for its mailbox (GW-11).
    pub fn break_off(&self, session: &Session) {
        self.0.registry.berths().close(&session.mailbox.id);
    }
}
