//! From upstream to tool: lines told apart and let through or not, literals streamed, never held.

use futures_util::FutureExt;
use tokio::time::timeout;

use crate::domain::folder::FolderPath;
use crate::gateway::imap::session::Desk;
use crate::gateway::imap::{End, budget, enable, upstream_lost};
use crate::protocol::imap::framing::{BadLiteral, Literal, Pieces};
use crate::protocol::imap::mutf7;
use crate::protocol::imap::response::{self, Kind};
use crate::upstream::PATIENCE;
use crate::upstream::wire::Part;

/// Most of a line that is held at a time (IM-15). What has to be read whole may be no longer.
pub(super) const MAX_LINE: usize = 64 * 1024;
/// Longest LIST or STATUS response with its literals.
const MAX_LISTED: usize = 16 * 1024;
/// Enough of a line's end to see a literal announced.
const LITERAL_ROOM: usize = 16;

/// The literal that a line announces at its end.
type Announced = Result<Option<Literal>, BadLiteral>;

/// Relays until the tagged answer to `ours`, which the tool gets under its own `tag`. Gives whether it was OK.
pub(super) async fn answer(desk: &mut Desk, tag: &str, ours: &str) -> Result<bool, End> {
    loop {
        let line = next(desk).await?;
        match response::kind(&line.bytes) {
            Kind::Tagged(found, status, text) if found == ours => {
                return tagged(desk, tag, status, text, line.is_last).await;
            }
            // An answer to what was not asked (IM-06).
            Kind::Tagged(..) | Kind::Continuation | Kind::Malformed => return Err(upstream_lost()),
            _ => untagged(desk, line).await?,
        }
    }
}

/// Waits for the upstream's leave to go on. When it says no instead, the tool hears that, and `false` comes back.
pub(super) async fn continuation(desk: &mut Desk, tag: &str, ours: &str) -> Result<bool, End> {
    loop {
        let line = next(desk).await?;
        match response::kind(&line.bytes) {
            Kind::Continuation if line.is_last => return Ok(true),
            // It cannot have done what it has not heard yet: an OK here would be a false one.
            Kind::Tagged(found, status, text) if found == ours && !status.eq_ignore_ascii_case("OK") => {
                return tagged(desk, tag, status, text, line.is_last).await;
            }
            Kind::Tagged(..) | Kind::Malformed | Kind::Continuation => return Err(upstream_lost()),
            _ => untagged(desk, line).await?,
        }
    }
}

/// Hands a tagged answer to the tool. Gives whether it was OK.
async fn tagged(desk: &mut Desk, tag: &str, status: &str, text: &[u8], is_whole: bool) -> Result<bool, End> {
    let text = response::without_upstream_codes(text).ok_or_else(upstream_lost)?;
    // What the upstream refused is on record before the tool hears of it, and what was read, if its time has come.
    desk.settle().await?;
    desk.client.queue(format!("{tag} {} ", status.to_ascii_uppercase()).as_bytes()).await?;
    desk.client.queue(text).await?;
    text_to_end(desk, is_whole).await?;
    desk.client.flush().await?;
    Ok(status.eq_ignore_ascii_case("OK"))
}

/// Passes on what is left of a status text, and its line end.
async fn text_to_end(desk: &mut Desk, is_whole: bool) -> Result<(), End> {
    if is_whole {
        return Ok(desk.client.queue(b"\r\n").await?);
    }
    desk.mid_response = true;
    let rest = next(desk).await?;
    let _ = pass(desk, rest, true).await?;
    desk.mid_response = false;
    Ok(())
}

/// Relays one line that came while nothing was asked. `false` when none has arrived.
pub(super) async fn unasked(desk: &mut Desk) -> Result<bool, End> {
    let Some(line) = desk.upstream.take_part(MAX_LINE).map_err(|_| upstream_lost())? else { return Ok(false) };
    match response::kind(&line.bytes) {
        Kind::Tagged(..) | Kind::Continuation | Kind::Malformed => Err(upstream_lost()),
        // It goes, and was not asked for anything.
        Kind::Bye => Err(End::Gone),
        // In a box: a session that waits does not hold what this needs.
        _ => Box::pin(untagged(desk, line)).await.map(|()| true),
    }
}

/// The next line, or part of a long one.
async fn next(desk: &mut Desk) -> Result<Part, End> {
    loop {
        if let Some(part) = desk.upstream.take_part(MAX_LINE).map_err(|_| upstream_lost())? {
            return Ok(part);
        }
        wait(desk).await?;
        desk.upstream.fill().await.map_err(|_| upstream_lost())?;
    }
}

/// Waits for more of the upstream, for as long as it may be silent and the tool is there to hear it.
async fn wait(desk: &mut Desk) -> Result<(), End> {
    if let Some(more) = desk.upstream.more().now_or_never() {
        return more.map_err(|_| upstream_lost());
    }
    // Nothing more at hand: let the tool see what there is while we wait.
    desk.client.flush().await?;
    let Desk { client, upstream, .. } = desk;
    tokio::select! {
        biased;
        more = timeout(PATIENCE, upstream.more()) => match more {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(upstream_lost()),
        },
        () = client.gone() => Err(End::Quiet),
    }
}

/// One untagged response, literals included.
pub(super) async fn untagged(desk: &mut Desk, line: Part) -> Result<(), End> {
    if desk.is_selected
        && let Some(folder) = &mut desk.folder
    {
        folder.heard(&line.bytes, line.is_last);
    }
    match response::kind(&line.bytes) {
        Kind::Bye => Err(upstream_lost()),
        Kind::Message | Kind::Selected if desk.is_selected => counted(desk, line).await,
        Kind::Vanished if desk.is_selected && desk.enabled.qresync => counted(desk, line).await,
        Kind::Found if desk.is_selected => found(desk, line).await,
        // It speaks of folders outside the bounds too.
        Kind::Quota if desk.session.bounds().folders.is_none() => stream(desk, line, true).await,
        Kind::Enabled => match enable::enabled(desk, &whole(line)?) {
            Some(kept) => Ok(desk.client.queue(&[kept.as_bytes(), b"\r\n"].concat()).await?),
            None => Ok(()),
        },
        Kind::Status => {
            desk.reads.status(&line.bytes);
            let text = line.bytes.get(2..).unwrap_or_default();
            let (word, text) = text.split_at(text.iter().position(|byte| *byte == b' ').unwrap_or(text.len()));
            let kept = response::without_upstream_codes(text).ok_or_else(upstream_lost)?;
            desk.client.queue(&[b"* ", word, b" ", kept].concat()).await?;
            text_to_end(desk, line.is_last).await
        }
        Kind::List | Kind::FolderStatus => listed(desk, whole(line)?).await,
        Kind::Namespace => match response::personal_namespace(&with_literals(desk, whole(line)?).await?) {
            Some(kept) => Ok(desk.client.queue(&[kept.as_slice(), b"\r\n"].concat()).await?),
            None => Ok(()),
        },
        _ => stream(desk, line, false).await,
    }
}

/// What speaks of the folder that is open, within the session's budgets.
async fn counted(desk: &mut Desk, line: Part) -> Result<(), End> {
    let is_content = budget::begin(desk, &line).await?;
    stream(desk, line, true).await?;
    if is_content { budget::settle(desk).await } else { Ok(()) }
}

/// What a search found, under the tool's own tag.
async fn found(desk: &mut Desk, line: Part) -> Result<(), End> {
    let shown = desk.under_way.as_ref().and_then(|(ours, tag)| response::found_for(&line.bytes, ours, tag));
    match shown {
        Some(bytes) => stream(desk, Part { bytes, ..line }, true).await,
        None => stream(desk, line, false).await,
    }
}

/// A line that is judged by all of it.
fn whole(line: Part) -> Result<Vec<u8>, End> {
    if line.is_last { Ok(line.bytes) } else { Err(answer_too_long()) }
}

fn answer_too_long() -> End {
    End::Bye("[UNAVAILABLE] an answer of the mail server is too long to be checked, reconnect".to_owned())
}

/// Passes a response on, or throws it away, without ever holding a literal or a long line.
pub(super) async fn stream(desk: &mut Desk, line: Part, is_shown: bool) -> Result<(), End> {
    let mut line = line;
    desk.mid_response = is_shown;
    if is_shown {
        desk.reads.begin(&line.bytes);
    }
    loop {
        let Some(literal) = pass(desk, line, is_shown).await?.map_err(|_| upstream_lost())? else {
            desk.mid_response = false;
            desk.reads.end();
            return if desk.reads.is_full() { desk.record_reads().await } else { Ok(()) };
        };
        let is_shown_too = desk.reads.literal();
        let mut rest = literal.length;
        while rest > 0 {
            if desk.upstream.buffered().is_empty() {
                wait(desk).await?;
            }
            let Desk { client, upstream, reads, .. } = &mut *desk;
            let pass = |chunk: &[u8]| {
                if is_shown {
                    reads.chunk(chunk);
                }
                (chunk.len() as u64, is_shown && is_shown_too && client.gather(chunk))
            };
            let (passed, is_enough) = upstream.piece(rest, pass).await.map_err(|_| upstream_lost())?;
            rest -= passed;
            if is_enough {
                client.flush().await?;
            }
        }
        desk.reads.literal_end();
        line = next(desk).await?;
    }
}

/// Passes a line on to its end, however long it is, or throws it away. Gives the literal that its last octets announce.
async fn pass(desk: &mut Desk, part: Part, is_shown: bool) -> Result<Announced, End> {
    let (mut part, mut end) = (part, Vec::new());
    loop {
        end.extend_from_slice(part.bytes.get(part.bytes.len().saturating_sub(LITERAL_ROOM)..).unwrap_or_default());
        end.drain(..end.len().saturating_sub(LITERAL_ROOM));
        if is_shown {
            desk.reads.part(&mut part.bytes);
            desk.client.queue(&part.bytes).await?;
        }
        if part.is_last {
            let announced = response::literal_at_end(&end);
            if is_shown && let Some(rest) = desk.reads.line_end(matches!(announced, Ok(Some(_)))) {
                desk.client.queue(&rest).await?;
                desk.client.queue(b"\r\n").await?;
            }
            return Ok(announced);
        }
        part = next(desk).await?;
    }
}

/// A response that names a folder: shown when the bounds allow the folder.
async fn listed(desk: &mut Desk, line: Vec<u8>) -> Result<(), End> {
    let whole = with_literals(desk, line).await?;
    if let Some(shown) = shown(desk, &whole) {
        desk.client.queue(&shown).await?;
        desk.client.queue(b"\r\n").await?;
    }
    Ok(())
}

/// A response that is judged by all of it, read to its end.
async fn with_literals(desk: &mut Desk, line: Vec<u8>) -> Result<Vec<u8>, End> {
    let mut whole = Pieces::new(line);
    while let Some(literal) = response::literal_in(&whole).map_err(|_| upstream_lost())? {
        if whole.bytes().len() as u64 + literal.length > MAX_LISTED as u64 {
            return Err(answer_too_long());
        }
        while (desk.upstream.buffered().len() as u64) < literal.length {
            wait(desk).await?;
            desk.upstream.fill().await.map_err(|_| upstream_lost())?;
        }
        whole.push_literal(&desk.upstream.exactly(literal.length).await.map_err(|_| upstream_lost())?);
        whole.push_line(&self::whole(next(desk).await?)?);
    }
    Ok(whole.into_bytes())
}

/// The response as the tool may see it.
fn shown(desk: &Desk, whole: &[u8]) -> Option<Vec<u8>> {
    let bounds = desk.session.bounds();
    if bounds.folders.is_none() {
        return Some(whole.to_vec());
    }
    let listed = response::listed(whole)?;
    if listed.name.is_empty() {
        // The answer to LIST "" "": the delimiter and no folder.
        return Some(whole.to_vec());
    }
    let delimiter = listed.delimiter.or(desk.state.delimiter);
    let path = FolderPath::from_name(&mutf7::decode(&listed.name)?, delimiter)?;
    if bounds.allow_folder(&path) {
        // What follows the name of a LIST may speak of other folders (RFC 5258 section 3.5, RFC 9051 section 7.3.1).
        let end = if listed.word == "STATUS" { whole.len() } else { listed.end };
        return whole.get(..end).map(<[u8]>::to_vec);
    }
    if listed.word != "STATUS" && bounds.leads_to_allowed(&path) {
        // Shown so that a tool can walk down to what it may see; only what the bounds themselves say.
        let end = whole.iter().position(|byte| *byte == b')')?;
        let head = format!("* {} (\\Noselect", listed.word);
        return Some([head.as_bytes(), whole.get(end..listed.end)?].concat());
    }
    None
}
