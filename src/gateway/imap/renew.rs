//! Another upstream connection in the place of a lost one, behind the tool's back. With no folder open nothing is missed. In IDLE the
//! folder is opened again, and the tool is told what happened meanwhile, when it is certain what that is: the same UIDVALIDITY,
//! mod-sequences that went on where they are told, and the UID of every message that it knows. In all other cases the tool hears BYE: outside of a command no
//! server may say that a message is gone (RFC 3501 section 7.4.1), and a number would then mean another message.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::domain::fault::Fault;
use crate::gateway::imap::folder::{self, Folder, View};
use crate::gateway::imap::input::Budget;
use crate::gateway::imap::leave::Wake;
use crate::gateway::imap::own::{self, Fate};
use crate::gateway::imap::session::Desk;
use crate::gateway::imap::{End, capability, upstream_lost};
use crate::policy::imap::decide;
use crate::protocol::imap::command;
use crate::protocol::imap::response::{self, Kind};
use crate::protocol::imap::uid_set::UidSet;
use crate::upstream::imap::Connection;
use crate::upstream::wire::Wire;

/// How long the first pause before a login is, and the longest. Each is cut short by a random part, so that the sessions of a mailbox
/// do not come all at once.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// So long a new connection has to live for the upstream to be taken for well again.
const LIFE: Duration = Duration::from_secs(60);
/// After so many in a row that lived shorter, the tool is told to reconnect: an upstream that lets in and hangs up is not to be helped by
/// further logins.
const MOST_SHORT: u32 = 3;

/// Most messages whose flags are told anew when the upstream cannot be asked which have changed.
const MOST_FLAGS: u32 = 10_000;

/// Most messages that are told to be gone: as many lines are held.
const MOST_GONE: u64 = 100_000;

/// Octets of a VANISHED that is told.
const VANISHED_LINE: usize = 1000;

/// What the tool shall know has changed since.
struct Change {
    opened: Folder,
    /// Mod-sequences above it are of changes that the tool may not know; `None`: any flags may have changed.
    base: Option<u64>,
}

/// What a session remembers of the connections that took a lost one's place.
#[derive(Debug)]
pub(super) struct Renewals {
    /// How long the next pause before a login is.
    pause: Duration,
    /// When the last of them began.
    began: Option<Instant>,
    /// How many in a row did not live long.
    short: u32,
}

impl Default for Renewals {
    fn default() -> Self {
        Self { pause: FIRST_PAUSE, began: None, short: 0 }
    }
}

impl Renewals {
    /// A connection was lost. `false`: no other one shall take its place.
    fn lost(&mut self) -> bool {
        match self.began.take() {
            Some(began) if began.elapsed() < LIFE => self.short += 1,
            Some(_) => *self = Self::default(),
            // The login's own, or none came about.
            None => (),
        }
        self.short < MOST_SHORT
    }

    /// The pause before the next login, which makes the one after it longer.
    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

/// The upstream was lost between two commands.
pub(super) async fn between_commands(desk: &mut Desk) -> Result<(), End> {
    if desk.is_selected {
        return Err(upstream_lost());
    }
    let deadline = Instant::now() + desk.gatekeeper.endurance().relogin;
    loop {
        if !desk.renewals.lost() {
            return Err(upstream_lost());
        }
        match log_in(desk, deadline).await {
            Err(End::Gone) => (),
            outcome => return outcome,
        }
    }
}

/// The upstream was lost while the tool is in IDLE. Gives the tag of the new IDLE.
pub(super) async fn in_idle(desk: &mut Desk) -> Result<String, End> {
    let deadline = Instant::now() + desk.gatekeeper.endurance().relogin;
    loop {
        let is_unknown = desk.is_selected && desk.folder.as_ref().and_then(Folder::proof).is_none();
        if is_unknown || !desk.renewals.lost() {
            return Err(upstream_lost());
        }
        // Whatever was told by then was noted: lost again, the rest is told from there.
        match resume(desk, deadline).await {
            Err(End::Gone) => (),
            outcome => return outcome,
        }
    }
}

async fn resume(desk: &mut Desk, deadline: Instant) -> Result<String, End> {
    log_in(desk, deadline).await?;
    if desk.is_selected {
        let change = reopen(desk).await?;
        tell(desk, change).await?;
        own::learn_uids(desk).await?;
    }
    own::idle(desk).await
}

/// Logs in and switches on what was on.
async fn log_in(desk: &mut Desk, deadline: Instant) -> Result<(), End> {
    let told = capability::after_login(&desk.capabilities, desk.state.costly_search);
    // Its place is free before another one is asked for.
    desk.upstream = Wire::new(Box::new(tokio::io::empty()));
    let Connection { wire, capabilities, .. } = connect(desk, deadline).await?;
    desk.upstream = wire;
    desk.wake = Wake { is_changed: desk.enabled.condstore, ..Wake::default() };
    let shown = capability::after_login(&capabilities, desk.state.costly_search);
    if !told.split(' ').all(|name| shown.split(' ').any(|other| other == name)) {
        return Err(upstream_lost());
    }
    desk.capabilities = capabilities;
    let delimiter = desk.state.delimiter;
    desk.learn_delimiter().await?;
    if desk.state.delimiter != delimiter {
        return Err(upstream_lost());
    }
    let enabled = if desk.enabled.qresync { "QRESYNC" } else { "CONDSTORE" };
    if desk.enabled.condstore && desk.has("ENABLE") {
        let ours = own::say(desk, &format!("ENABLE {enabled}")).await?;
        if !own::outcome(desk, &ours, |_, _| Ok(Fate::Taken)).await?.is_ok() {
            return Err(upstream_lost());
        }
    }
    tracing::info!(mailbox = %desk.session.mailbox.id, "a lost upstream connection was replaced");
    Ok(())
}

/// Tries until it is let in. The tool's commands wait in its buffers meanwhile; when it goes, this ends.
async fn connect(desk: &mut Desk, deadline: Instant) -> Result<Connection, End> {
    loop {
        let pause = desk.renewals.next_pause();
        let quarters = u32::from(u8::from_be_bytes(desk.gatekeeper.entropy().bytes()));
        let attempt = async {
            sleep(pause.mul_f64(f64::from(quarters + 256) / 512.0)).await;
            desk.gatekeeper.imap(&desk.session).await
        };
        let leaving = async {
            while desk.client.buffered().len() < Budget::AFTER_LOGIN.octets {
                desk.client.fill().await?;
            }
            std::future::pending::<Result<(), End>>().await
        };
        let attempted = tokio::select! {
            attempted = timeout_at(deadline, attempt) => attempted,
            left = leaving => return Err(left.err().unwrap_or(End::Quiet)),
        };
        match attempted {
            Ok(Ok(connection)) => {
                desk.renewals.began = Some(Instant::now());
                return Ok(connection);
            }
            Ok(Err(refusal)) if matches!(refusal.fault, Fault::Unavailable | Fault::Throttled) => (),
            // The credential was refused, or there is no time left.
            Ok(Err(_)) | Err(_) => return Err(upstream_lost()),
        }
    }
}

/// Opens the tool's folder on the new connection. Nothing that is said there is for the tool yet.
async fn reopen(desk: &mut Desk) -> Result<Change, End> {
    let known = desk.folder.as_ref().and_then(|folder| Some((folder.opener.clone(), folder.proof()?.0, folder.modseq)));
    let (opener, validity, base) = known.ok_or_else(upstream_lost)?;
    let permit = desk.session.judge(|rights| decide(rights, desk.state, opener.clone()));
    let mut opened = Folder::new(&opener).ok_or_else(upstream_lost)?;
    if permit.ok().is_none_or(|permit| *permit.get() != opener) {
        return Err(upstream_lost());
    }
    desk.wake.has_folder = true;
    let ours = desk.tag();
    let fragments = command::serialise(&ours, opener).ok_or_else(upstream_lost)?;
    let outcome = if fragments.len() == 1 || desk.has("LITERAL+") {
        own::send(desk, fragments).await?;
        own::outcome(desk, &ours, |_, line| {
            opened.heard(&line.bytes, line.is_last);
            // Keywords that are new are announced before a message bears them.
            let is_flags = response::kind(&line.bytes) == Kind::Selected;
            Ok(if is_flags { Fate::Shown } else { Fate::Taken })
        })
        .await?
    } else {
        return Err(upstream_lost());
    };
    // Where mod-sequences are told, they have to be told again, and never less: less is a state of before, as a backup has it.
    if !outcome.is_ok() || opened.validity != Some(validity) || opened.modseq < base {
        return Err(upstream_lost());
    }
    let ours = own::say(desk, "UID SEARCH RETURN (ALL) ALL").await?;
    own::outcome(desk, &ours, |_, line| {
        match folder::found(&line.bytes, &ours).filter(|_| line.is_last) {
            Some(uids) => opened.view.found(uids),
            None => opened.heard(&line.bytes, line.is_last),
        }
        Ok(Fate::Taken)
    })
    .await?;
    Ok(Change { opened, base })
}

/// Tells the tool what has changed: first what is gone, then how many there are, then the flags.
async fn tell(desk: &mut Desk, change: Change) -> Result<(), End> {
    let Change { mut opened, base } = change;
    let folder = desk.folder.as_ref().ok_or_else(upstream_lost)?;
    let (_, known) = folder.proof().ok_or_else(upstream_lost)?;
    let news = news(known, &opened.view, desk.enabled.qresync).ok_or_else(upstream_lost)?;
    let (exists, modseq) = (opened.view.exists, opened.modseq);
    for line in news {
        desk.client.queue(line.as_bytes()).await?;
    }
    opened.modseq = base;
    desk.folder = Some(opened);
    desk.client.flush().await?;
    if exists > 0 && (base.is_none() || modseq != base) {
        let asked = match base {
            Some(base) if desk.enabled.condstore => format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {base})"),
            // CHANGEDSINCE would switch on mod-sequences, which this tool does not know.
            _ if exists <= MOST_FLAGS && !desk.enabled.condstore => "UID FETCH 1:* (FLAGS)".to_owned(),
            _ => return Err(upstream_lost()),
        };
        let ours = own::say(desk, &asked).await?;
        if !own::outcome(desk, &ours, |_, _| Ok(Fate::Shown)).await?.is_ok() {
            return Err(upstream_lost());
        }
    }
    if let Some(folder) = &mut desk.folder {
        folder.modseq = modseq;
    }
    Ok(())
}

/// The responses that lead from the `known` messages to the `present` ones. `None` when none do for certain.
fn news(known: &UidSet, present: &View, by_uid: bool) -> Option<Vec<String>> {
    let uids = present.known()?;
    let gone = known.minus(uids);
    let arrived = uids.minus(known);
    // UIDs only grow: one below the highest was there, or this is another folder.
    if arrived.first().is_some_and(|first| known.last().is_some_and(|last| first < last)) {
        return None;
    }
    if gone.len() > MOST_GONE {
        return None;
    }
    let mut lines: Vec<String> = if by_uid {
        gone.texts(VANISHED_LINE).into_iter().map(|set| format!("* VANISHED {set}\r\n")).collect()
    } else {
        known.places_without(uids).map(|place| format!("* {place} EXPUNGE\r\n")).collect()
    };
    if u64::from(present.exists) != known.len() - gone.len() {
        lines.push(format!("* {} EXISTS\r\n", present.exists));
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FIRST_PAUSE, LIFE, LONGEST_PAUSE, Renewals, news};
    use crate::gateway::imap::folder::View;
    use crate::protocol::imap::uid_set::UidSet;

    fn told(known: &str, present: &str, exists: u32, by_uid: bool) -> Option<String> {
        let set =
            |text: &str| if text.is_empty() { UidSet::default() } else { UidSet::parse(text.as_bytes()).unwrap() };
        let mut view = View::default();
        view.exists = u32::try_from(set(present).len()).unwrap();
        view.found(set(present));
        view.exists = exists;
        news(&set(known), &view, by_uid).map(|lines| lines.concat().replace("* ", "").replace("\r\n", ";"))
    }

    #[test]
    fn what_is_gone_is_told_before_what_has_come() {
        let cases = [
            ("3,5:6,9", "3,5:6,9", 4, "", ""),
            ("3,5:6,9", "3,9", 2, "3 EXPUNGE;2 EXPUNGE;", "VANISHED 5:6;"),
            ("3,5:6,9", "3,9,12", 3, "3 EXPUNGE;2 EXPUNGE;3 EXISTS;", "VANISHED 5:6;3 EXISTS;"),
            ("", "7", 1, "1 EXISTS;", "1 EXISTS;"),
            ("7", "", 0, "1 EXPUNGE;", "VANISHED 7;"),
            ("7", "7,8", 3, "3 EXISTS;", "3 EXISTS;"),
        ];
        for (known, present, exists, places, uids) in cases {
            assert_eq!(told(known, present, exists, false).as_deref(), Some(places), "{known} -> {present}");
            assert_eq!(told(known, present, exists, true).as_deref(), Some(uids), "{known} -> {present}");
        }
        for (known, present) in [("3,9", "3,5,9"), ("3", "1,3"), ("9", "8"), ("1:4294967295", "")] {
            assert_eq!(told(known, present, 3, false), None, "{known} -> {present}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_three_short_lives_are_the_last_until_one_is_long() {
        let mut renewals = Renewals::default();
        let lives = async |renewals: &mut Renewals, life: Duration| {
            renewals.began = Some(tokio::time::Instant::now());
            tokio::time::sleep(life).await;
        };
        assert!(renewals.lost() && renewals.lost(), "the login's own connection is none of them");
        for number in 0..2 {
            assert_eq!(renewals.next_pause(), FIRST_PAUSE * (1 << number));
            lives(&mut renewals, LIFE.mul_f64(0.9)).await;
            assert!(renewals.lost());
        }
        assert_eq!(renewals.next_pause(), Duration::from_secs(1));
        lives(&mut renewals, LIFE).await;
        assert!(renewals.lost());
        assert_eq!(renewals.next_pause(), FIRST_PAUSE, "it was well again");
        for number in 0..3 {
            lives(&mut renewals, Duration::from_secs(1)).await;
            assert_eq!(renewals.lost(), number < 2);
        }
        for _ in 0..9 {
            renewals.next_pause();
        }
        assert_eq!(renewals.next_pause(), LONGEST_PAUSE);
    }
}
