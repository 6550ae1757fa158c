//! RETR and TOP: a message's octets from the upstream's literal to the tool, through a fixed buffer. Nothing is marked (PEEK). The line
//! that ends a message is sent when the upstream said that it was whole, and not before (PO-03).

use crate::gateway::pop3::maildrop::{Maildrop, Message, Trouble};
use crate::gateway::pop3::session::Desk;
use crate::gateway::pop3::{End, upstream_lost};
use crate::protocol::imap::fetched::{Content, Fetched};
use crate::protocol::pop3::stuffing::Stuffer;

/// How much is asked for at a time where not all is wanted.
const PIECE: u64 = 32 * 1024;

/// Sends a message, or its header and so many `lines`.
pub(super) async fn run(
    desk: &mut Desk,
    maildrop: &mut Maildrop,
    message: Message,
    lines: Option<u32>,
) -> Result<(), End> {
    let mut stuffer = lines.map_or_else(Stuffer::whole, Stuffer::top);
    let mut offset = 0;
    loop {
        let part = lines.map_or_else(String::new, |_| format!("<{offset}.{PIECE}>"));
        let tag = maildrop.ask(&format!("UID FETCH {} (UID BODY.PEEK[]{part})", message.uid)).await?;
        match piece(desk, maildrop, &mut stuffer, (&tag, message.uid, lines)).await {
            Ok(Some(length)) if lines.is_some() && length == PIECE && !stuffer.is_full() => offset += length,
            Ok(Some(_)) => break,
            // Gone since, and the tool has heard nothing yet. Otherwise it must not take what it has for the whole.
            Ok(None) if !desk.mid_response => return desk.answer("-ERR this message is not there any more").await,
            Err(Trouble::Refused { .. }) if !desk.mid_response => {
                return desk.answer("-ERR [SYS/TEMP] the mail server does not give this message").await;
            }
            Ok(None) | Err(_) => return Err(upstream_lost()),
        }
    }
    desk.reads.end();
    if desk.reads.is_due() {
        // Before the tool hears that it has all of it.
        desk.record_reads().await?;
    }
    desk.client.queue(stuffer.end()).await?;
    desk.client.flush().await?;
    desk.mid_response = false;
    Ok(())
}

/// Passes one answer to FETCH on. Gives the length of the content, if there was any.
async fn piece(
    desk: &mut Desk,
    maildrop: &mut Maildrop,
    stuffer: &mut Stuffer,
    (tag, uid, lines): (&str, u32, Option<u32>),
) -> Result<Option<u64>, Trouble> {
    let most = if lines.is_some() { PIECE } else { u64::MAX };
    let mut length = None;
    while let Some(line) = maildrop.answer(tag).await? {
        let Some(mut found) = Fetched::read(&line) else {
            // News of other messages have no literals; what has would have to be read to stay in step.
            if line.ends_with(b"}") {
                return Err(Trouble::Lost);
            }
            continue;
        };
        let is_another = found.uid.is_some_and(|other| other != uid);
        let Some(content) = found.content.clone() else { continue };
        let here = match &content {
            Content::Nil => continue,
            Content::Literal(announced) => *announced,
            Content::Here(octets) => octets.len() as u64,
        };
        if is_another || length.is_some() || here > most {
            return Err(Trouble::Lost);
        }
        length = Some(here);
        begin(desk, here, uid, lines).await?;
        match content {
            Content::Literal(_) => {
                let mut rest = here;
                while rest > 0 {
                    let octets = maildrop.octets(rest).await?;
                    rest -= octets.len() as u64;
                    pass(desk, stuffer, &octets).await?;
                }
                let line = maildrop.line().await?;
                found.read_on(&line).ok_or(Trouble::Lost)?;
            }
            Content::Here(octets) => pass(desk, stuffer, &octets).await?,
            Content::Nil => (),
        }
        // Its UID may stand behind the content.
        if found.uid != Some(uid) {
            return Err(Trouble::Lost);
        }
    }
    Ok(length)
}

/// The first line of the answer, before the first piece.
async fn begin(desk: &mut Desk, length: u64, uid: u32, lines: Option<u32>) -> Result<(), Trouble> {
    if desk.mid_response {
        return Ok(());
    }
    desk.mid_response = true;
    desk.reads.message(uid, lines != Some(0));
    let line = if lines.is_none() { format!("+OK {length} octets\r\n") } else { "+OK\r\n".to_owned() };
    desk.client.queue(line.as_bytes()).await.map_err(|_| Trouble::Lost)
}

async fn pass(desk: &mut Desk, stuffer: &mut Stuffer, octets: &[u8]) -> Result<(), Trouble> {
    let sent = stuffer.piece(octets);
    desk.reads.chunk(&sent);
    desk.client.queue(&sent).await.map_err(|_| Trouble::Lost)
}
