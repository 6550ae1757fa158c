//! From upstream to tool: lines told apart and let through or not, literals streamed through a fixed buffer.

use crate::domain::folder::FolderPath;
use crate::gateway::imap::session::Desk;
use crate::gateway::imap::{End, upstream_lost};
use crate::protocol::imap::response::{self, Kind};
use crate::protocol::imap::{framing, mutf7};

/// Longest line taken from an upstream (IM-15).
pub(super) const MAX_LINE: usize = 256 * 1024;
/// Longest LIST or STATUS response with its literals.
const MAX_LISTED: usize = 16 * 1024;

/// Relays until the tagged answer to `ours`, which the tool gets under its own `tag`. Gives whether it was OK.
pub(super) async fn answer(desk: &mut Desk, tag: &str, ours: &str) -> Result<bool, End> {
    loop {
        let line = next_line(desk).await?;
        match response::kind(&line) {
            Kind::Tagged(found, status, text) if found == ours => {
                let text = response::without_upstream_codes(text);
                desk.client.queue(format!("{tag} {} ", status.to_ascii_uppercase()).as_bytes()).await?;
                desk.client.queue(text).await?;
                desk.client.send(b"\r\n").await?;
                return Ok(status.eq_ignore_ascii_case("OK"));
            }
            // An answer to what was not asked (IM-06).
            Kind::Tagged(..) | Kind::Continuation | Kind::Malformed => return Err(upstream_lost()),
            _ => untagged(desk, line).await?,
        }
    }
}

/// Waits for the upstream's leave to send a literal. When it says no instead, the tool hears that, and `false` comes back.
pub(super) async fn continuation(desk: &mut Desk, tag: &str, ours: &str) -> Result<bool, End> {
    loop {
        let line = next_line(desk).await?;
        match response::kind(&line) {
            Kind::Continuation => return Ok(true),
            Kind::Tagged(found, status, text) if found == ours => {
                let text = String::from_utf8_lossy(response::without_upstream_codes(text)).into_owned();
                desk.answer(&format!("{tag} {} {text}", status.to_ascii_uppercase())).await?;
                return Ok(false);
            }
            Kind::Tagged(..) | Kind::Malformed => return Err(upstream_lost()),
            _ => untagged(desk, line).await?,
        }
    }
}

/// Relays one line that came while nothing was asked. `false` when none has arrived.
pub(super) async fn unasked(desk: &mut Desk) -> Result<bool, End> {
    let Some(line) = desk.upstream.take_line(MAX_LINE).map_err(|_| upstream_lost())? else { return Ok(false) };
    match response::kind(&line) {
        Kind::Tagged(..) | Kind::Continuation | Kind::Malformed => Err(upstream_lost()),
        _ => untagged(desk, line).await.map(|()| true),
    }
}

async fn next_line(desk: &mut Desk) -> Result<Vec<u8>, End> {
    loop {
        if let Some(line) = desk.upstream.take_line(MAX_LINE).map_err(|_| upstream_lost())? {
            return Ok(line);
        }
        // Nothing more at hand: let the tool see what there is while we wait.
        desk.client.flush().await?;
        desk.upstream.fill().await.map_err(|_| upstream_lost())?;
    }
}

/// One untagged response, literals included.
pub(super) async fn untagged(desk: &mut Desk, line: Vec<u8>) -> Result<(), End> {
    match response::kind(&line) {
        Kind::Bye => Err(upstream_lost()),
        Kind::Message | Kind::Selected if desk.is_selected => stream(desk, line, true).await,
        Kind::Status => {
            let text = line.get(2..).unwrap_or_default();
            let (word, text) = text.split_at(text.iter().position(|byte| *byte == b' ').unwrap_or(text.len()));
            let kept = response::without_upstream_codes(text.trim_ascii_start());
            Ok(desk.client.queue(&[b"* ", word, b" ", kept, b"\r\n"].concat()).await?)
        }
        Kind::List | Kind::FolderStatus => listed(desk, line).await,
        Kind::Namespace => match response::personal_namespace(&line) {
            Some(kept) => Ok(desk.client.queue(&[kept.as_slice(), b"\r\n"].concat()).await?),
            None => Ok(()),
        },
        _ => stream(desk, line, false).await,
    }
}

/// Passes a response on, or throws it away, without ever holding a literal.
async fn stream(desk: &mut Desk, line: Vec<u8>, is_shown: bool) -> Result<(), End> {
    let mut line = line;
    desk.mid_response = is_shown;
    loop {
        if is_shown {
            desk.client.queue(&line).await?;
            desk.client.queue(b"\r\n").await?;
        }
        let Some(literal) = framing::literal_at_end(&line).unwrap_or(None) else {
            desk.mid_response = false;
            return Ok(());
        };
        let mut rest = literal.length;
        while rest > 0 {
            let chunk = desk.upstream.some(rest).await.map_err(|_| upstream_lost())?;
            rest -= chunk.len() as u64;
            if is_shown {
                desk.client.queue(&chunk).await?;
            }
        }
        line = next_line(desk).await?;
    }
}

/// A response that names a folder: shown when the bounds allow the folder.
async fn listed(desk: &mut Desk, line: Vec<u8>) -> Result<(), End> {
    let mut whole = line;
    while let Some(literal) = framing::literal_at_end(&whole).unwrap_or(None) {
        if whole.len() as u64 + literal.length > MAX_LISTED as u64 {
            return Err(upstream_lost());
        }
        whole.extend_from_slice(b"\r\n");
        whole.extend(desk.upstream.exactly(literal.length).await.map_err(|_| upstream_lost())?);
        whole.extend(next_line(desk).await?);
    }
    if let Some(shown) = shown(desk, &whole) {
        desk.client.queue(&shown).await?;
        desk.client.queue(b"\r\n").await?;
    }
    Ok(())
}

/// The response as the tool may see it.
fn shown(desk: &Desk, whole: &[u8]) -> Option<Vec<u8>> {
    let bounds = &desk.session.rights.bounds;
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
        return Some(whole.to_vec());
    }
    if listed.word != "STATUS" && bounds.leads_to_allowed(&path) {
        // Shown so that a tool can walk down to what it may see; only what the bounds themselves say.
        let end = whole.iter().position(|byte| *byte == b')')?;
        let head = format!("* {} (\\Noselect", listed.word);
        return Some([head.as_bytes(), whole.get(end..)?].concat());
    }
    None
}
