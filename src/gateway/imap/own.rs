//! Commands that the gateway gives of its own accord, between two of the tool's or while the tool is in IDLE: the tool sees none of
//! their answers, and all that the upstream says beside them.

use std::time::Duration;

use imap_codec::encode::Fragment;
use tokio::time::timeout;

use crate::gateway::imap::relay::{self, MAX_LINE};
use crate::gateway::imap::session::Desk;
use crate::gateway::imap::{End, folder, upstream_lost};
use crate::protocol::imap::found::{self, Found};
use crate::protocol::imap::response::{self, Kind};
use crate::protocol::imap::uid_set::UidSet;
use crate::upstream::wire::Part;

/// How long the upstream may think about one of them.
const PATIENCE: Duration = Duration::from_secs(60);

/// What becomes of an untagged response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is ours alone.
    Taken,
    /// It is ours alone, and of a long line the rest is wanted too.
    Read,
    /// It is the tool's.
    Shown,
}

/// The tagged answer.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) status: String,
    pub(super) text: Vec<u8>,
}

impl Outcome {
    pub(super) fn is_ok(&self) -> bool {
        self.status == "OK"
    }
}

impl Desk {
    /// Bounds speak of paths, so they need to know what separates them.
    pub(super) async fn learn_delimiter(&mut self) -> Result<(), End> {
        if self.session.bounds().folders.is_none() {
            return Ok(());
        }
        let tag = self.tag();
        self.upstream.send(format!("{tag} LIST \"\" \"\"\r\n").as_bytes()).await.map_err(|_| upstream_lost())?;
        for _ in 0..100 {
            let line = timeout(PATIENCE, self.upstream.line(MAX_LINE)).await.map_err(|_| upstream_lost())?;
            let line = line.map_err(|_| upstream_lost())?;
            match response::kind(&line) {
                Kind::Tagged(ours, ..) if ours == tag => return Ok(()),
                Kind::List => {
                    if let Some(listed) = response::listed(&line) {
                        self.state.delimiter = listed.delimiter;
                    }
                }
                Kind::Tagged(..) | Kind::Continuation | Kind::Malformed => break,
                _ => (),
            }
        }
        Err(upstream_lost())
    }
}

/// Sends a command that has no literal that must be waited for.
pub(super) async fn send(desk: &mut Desk, fragments: Vec<Fragment>) -> Result<(), End> {
    for fragment in fragments {
        let (Fragment::Line { data } | Fragment::Literal { data, .. }) = fragment;
        desk.upstream.queue(&data).await.map_err(|_| desk.gone())?;
    }
    desk.upstream.flush().await.map_err(|_| desk.gone())
}

/// Sends a command of one line under a tag of its own, which it gives.
pub(super) async fn say(desk: &mut Desk, text: &str) -> Result<String, End> {
    let tag = desk.tag();
    desk.upstream.send(format!("{tag} {text}\r\n").as_bytes()).await.map_err(|_| desk.gone())?;
    Ok(tag)
}

/// Reads to the tagged answer.
pub(super) async fn outcome(
    desk: &mut Desk,
    ours: &str,
    mut judge: impl FnMut(&mut Desk, &Part) -> Result<Fate, End>,
) -> Result<Outcome, End> {
    loop {
        let line = next(desk).await?;
        match response::kind(&line.bytes) {
            Kind::Tagged(found, status, text) if found == ours && line.is_last => {
                return Ok(Outcome { status: status.to_ascii_uppercase(), text: text.to_vec() });
            }
            Kind::Tagged(..) | Kind::Continuation | Kind::Malformed => return Err(upstream_lost()),
            Kind::Bye => return Err(End::Gone),
            _ => match judge(desk, &line)? {
                Fate::Taken => relay::stream(desk, line, false).await?,
                Fate::Read => {
                    let mut line = line;
                    while !line.is_last {
                        line = next(desk).await?;
                        judge(desk, &line)?;
                    }
                }
                Fate::Shown => Box::pin(relay::untagged(desk, line)).await?,
            },
        }
    }
}

/// Begins IDLE upstream; gives its tag.
pub(super) async fn idle(desk: &mut Desk) -> Result<String, End> {
    let ours = say(desk, "IDLE").await?;
    loop {
        let line = next(desk).await?;
        match response::kind(&line.bytes) {
            Kind::Continuation if line.is_last => return Ok(ours),
            Kind::Tagged(..) | Kind::Continuation | Kind::Malformed => return Err(upstream_lost()),
            Kind::Bye => return Err(End::Gone),
            _ => Box::pin(relay::untagged(desk, line)).await?,
        }
    }
}

/// Ends the IDLE that was begun under `ours`.
pub(super) async fn done(desk: &mut Desk, ours: &str) -> Result<Outcome, End> {
    desk.upstream.send(b"DONE\r\n").await.map_err(|_| desk.gone())?;
    outcome(desk, ours, |_, _| Ok(Fate::Shown)).await
}

/// Whether there are messages of which the upstream could tell the UIDs, and with them enough to go by.
pub(super) fn is_behind(desk: &Desk) -> bool {
    let can_tell = ["ESEARCH", "CONDSTORE"].iter().all(|name| desk.has(name));
    let folder = desk.folder.as_ref().filter(|folder| folder.validity.is_some());
    desk.is_selected && can_tell && folder.is_some_and(|folder| folder.view.whole().is_none())
}

/// Asks for the UIDs of all messages where they are not known.
pub(super) async fn learn_uids(desk: &mut Desk) -> Result<(), End> {
    if !is_behind(desk) {
        return Ok(());
    }
    let ours = say(desk, "UID SEARCH RETURN (ALL) ALL").await?;
    let tag = ours.clone();
    outcome(desk, &ours, move |desk, line| {
        let Some(uids) = folder::found(&line.bytes, &tag).filter(|_| line.is_last) else { return Ok(Fate::Shown) };
        if let Some(folder) = &mut desk.folder {
            folder.view.found(uids);
        }
        Ok(Fate::Taken)
    })
    .await
    .map(drop)
}

/// The UIDs of the messages that a search finds; `None` when the upstream does not tell them.
pub(super) async fn search(desk: &mut Desk, keys: &str) -> Result<Option<UidSet>, End> {
    let how = if desk.has("ESEARCH") { "RETURN (ALL) " } else { "" };
    let ours = say(desk, &format!("UID SEARCH {how}{keys}")).await?;
    let (mut found, mut is_told, mut is_within) = (Found::default(), false, false);
    let tag = ours.clone();
    let outcome = outcome(desk, &ours, |_, line| {
        if let Some(uids) = folder::found(&line.bytes, &tag).filter(|_| line.is_last && !is_within) {
            found.add_all(&uids);
            is_told = true;
            return Ok(Fate::Taken);
        }
        let head = line.bytes.get(..WORD.len()).filter(|head| !is_within && head.eq_ignore_ascii_case(WORD));
        if head.is_none() && !is_within {
            return Ok(Fate::Shown);
        }
        found.part(line.bytes.get(head.map_or(0, <[u8]>::len)..).unwrap_or_default());
        if line.is_last {
            found.line_end();
        }
        (is_told, is_within) = (true, !line.is_last);
        Ok(Fate::Read)
    })
    .await?;
    Ok(found.finish().filter(|_| is_told && outcome.is_ok()))
}

const WORD: &[u8] = b"* SEARCH";

/// The UIDs of the messages with these numbers; `None` when the upstream does not tell them. By a FETCH, since that alone moves no
/// numbers (RFC 3501 section 7.4.1): the tool's next command means the same messages.
pub(super) async fn fetch_uids(desk: &mut Desk, numbers: &str) -> Result<Option<UidSet>, End> {
    let ours = say(desk, &format!("FETCH {numbers} (UID)")).await?;
    let mut uids = Found::default();
    let outcome = outcome(desk, &ours, |_, line| {
        if let Some(uid) = found::only_uid(&line.bytes).filter(|_| line.is_last) {
            uids.add(uid);
            return Ok(Fate::Taken);
        }
        // Were it shown, the tool's command would go to other messages than it means.
        if response::kind(&line.bytes) == Kind::Vanished || found::is_expunge(&line.bytes) {
            return Err(upstream_lost());
        }
        Ok(Fate::Shown)
    })
    .await?;
    Ok(uids.finish().filter(|uids| outcome.is_ok() && !uids.is_empty()))
}

/// The next line, or part of a long one.
async fn next(desk: &mut Desk) -> Result<Part, End> {
    loop {
        if let Some(part) = desk.upstream.take_part(MAX_LINE).map_err(|_| upstream_lost())? {
            return Ok(part);
        }
        desk.client.flush().await?;
        // A connection that died in silence is found out here.
        let filled = timeout(PATIENCE, desk.upstream.fill()).await;
        if !matches!(filled, Ok(Ok(()))) {
            return Err(desk.gone());
        }
    }
}
