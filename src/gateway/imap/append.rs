//! APPEND: decided before a single octet of the message is taken, then streamed.

use imap_codec::imap_types::command::CommandBody;

use crate::domain::budget::Budgeted;
use crate::gateway::imap::input::patiently;
use crate::gateway::imap::session::Desk;
use crate::gateway::imap::{End, relay, upstream_lost};
use crate::policy::imap::{decide, decide_size};
use crate::protocol::imap::command;
use crate::protocol::imap::framing::Literal;
use crate::protocol::imap::request::Request;
use crate::protocol::message_id::HeaderScan;

/// What a tool that was told no has under way and nobody wants.
const MAX_SWALLOWED: u64 = 64 * 1024 * 1024;

pub(super) async fn run(desk: &mut Desk, tag: &str, head: &[u8], literal: Literal) -> Result<(), End> {
    let Some(parsed) = command::parse_append(head, literal) else { return desk.bad(tag).await };
    let request = Request::from(parsed.body);
    if desk.lacks(&request) {
        swallow(desk, literal).await?;
        return desk.answer(&format!("{tag} BAD the mail server does not support this")).await;
    }
    let body = request.body;
    let CommandBody::Append { mailbox: target, .. } = &body else { return desk.bad(tag).await };
    let judge = |desk: &Desk| desk.session.judge(|rights| decide(rights, desk.state, body.clone()));
    let permit = match judge(desk) {
        Ok(permit) => permit,
        Err(denial) => {
            swallow(desk, literal).await?;
            return desk.deny(tag, &denial).await;
        }
    };
    if let Err(denial) = decide_size(literal.length) {
        swallow(desk, literal).await?;
        return desk.refuse(tag, "TOOBIG", &denial).await;
    }
    match desk.gatekeeper.take(&mut desk.session, Budgeted::Bytes, literal.length, "APPEND").await? {
        Ok(()) => (),
        Err(denial) => {
            swallow(desk, literal).await?;
            return desk.deny(tag, &denial).await;
        }
    }
    desk.session.goes_on();
    let ours = desk.tag();
    let waits = !desk.has_literal_plus();
    let fragments =
        command::serialise_append(&ours, permit.into_inner(), literal.length, waits).ok_or_else(upstream_lost)?;
    // From the announcement on: what came next would be taken for the message, a goodbye too.
    desk.mid_command = true;
    if !desk.send_fragments(tag, &ours, fragments).await? || (waits && !relay::continuation(desk, tag, &ours).await?) {
        // Refused before an octet of it was taken.
        desk.mid_command = false;
        desk.gatekeeper.put_back(&mut desk.session, Budgeted::Bytes, literal.length).await;
        return swallow(desk, literal).await;
    }
    if literal.is_sync {
        desk.client.send(b"+ OK\r\n").await?;
    }
    let (mut rest, mut header) = (literal.length, HeaderScan::default());
    while rest > 0 {
        let Desk { client, upstream, .. } = &mut *desk;
        let pass = |chunk: &[u8]| {
            header.feed(chunk);
            (chunk.len() as u64, upstream.gather(chunk))
        };
        let (passed, is_enough) = patiently(client.piece(rest, pass)).await?;
        rest -= passed;
        if is_enough {
            upstream.flush().await.map_err(|_| upstream_lost())?;
        }
    }
    // One message a command: MULTIAPPEND is not offered, and what else could follow is not understood.
    if !patiently(desk.client.line(2)).await?.is_empty() {
        return Err(End::Bye("only one message may be appended at a time".to_owned()));
    }
    if let Err(denial) = judge(desk) {
        // It was frozen since. The upstream has all but the end of the command, and loses the connection instead.
        desk.deny(tag, &denial).await?;
        return Err(End::Bye("[UNAVAILABLE] the message was not added, reconnect".to_owned()));
    }
    let event = desk.added(target, literal.length, &header.finish());
    // Durable before the end that makes it happen.
    desk.gatekeeper.record(event.clone()).await?;
    desk.upstream.send(b"\r\n").await.map_err(|_| upstream_lost())?;
    desk.mid_command = false;
    if relay::answer(desk, tag, &ours).await? { Ok(()) } else { desk.failed(vec![event]).await }
}

/// Reads past a literal that the tool sends without waiting, so that the next command is found where it starts.
async fn swallow(desk: &mut Desk, literal: Literal) -> Result<(), End> {
    if literal.is_sync {
        return Ok(());
    }
    if literal.length > MAX_SWALLOWED {
        return Err(End::Bye("[TOOBIG] literal too long".to_owned()));
    }
    let mut rest = literal.length;
    while rest > 0 {
        rest -= patiently(desk.client.piece(rest, |chunk| chunk.len() as u64)).await?;
    }
    if patiently(desk.client.line(2)).await?.is_empty() { Ok(()) } else { Err(End::Bye("malformed APPEND".to_owned())) }
}
