//! DATA: the header is judged before the upstream hears of the message; the body is streamed. Only CRLF.CRLF ends it, and any bare
//! CR or LF refuses it: what two servers could read differently is not passed on (SM-01).

use crate::domain::budget::Budgeted;
use crate::domain::event::{EventCode, Outcome};
use crate::gateway::smtp::handover::{self, Handover};
use crate::gateway::smtp::header::{self, Header, MAX_HEADER};
use crate::gateway::smtp::session::Desk;
use crate::gateway::smtp::{End, next_line, refusal_reply};
use crate::policy::charge::Charge;
use crate::policy::{Denial, smtp};
use crate::protocol::message_id::canonical;
use crate::protocol::smtp::{dotted, undot};
use crate::upstream::smtp::{BLOCK_TIMEOUT, DATA_TIMEOUT, reply};
use crate::upstream::wire::{Wire, WireError};

/// Longest line of a message. RFC 5321 says 1,000; real mail is longer.
const MAX_MESSAGE_LINE: usize = 64 * 1024;

pub(super) async fn run(desk: &mut Desk) -> Result<(), End> {
    match desk.recipients {
        None => return desk.answer("503 5.5.1 MAIL comes first").await,
        Some(0) => return desk.answer("554 5.5.1 no valid recipient").await,
        Some(_) => (),
    }
    let gatekeeper = desk.gatekeeper.clone();
    let Charge { asked, amounts, .. } = Charge::data();
    for (what, amount) in amounts {
        let taken = match what {
            // How many there are is not known yet.
            Budgeted::Bytes => gatekeeper.reach(&mut desk.session, what, 1, &asked).await,
            _ => gatekeeper.take(&mut desk.session, what, amount, &asked).await,
        };
        match taken {
            Ok(Ok(())) => (),
            Ok(Err(denial)) => return desk.deny("450 4.7.1", &denial).await,
            Err(refusal) => return desk.answer(&refusal_reply(&refusal, false)).await,
        }
    }
    let outcome = match receive(desk).await {
        Ok(Some(handover)) => {
            desk.handover = Some(handover);
            handover::conclude(desk).await
        }
        other => {
            gatekeeper.put_back(&mut desk.session, Budgeted::MessagesSent, 1).await;
            other.map(drop)
        }
    };
    settle(desk).await?;
    outcome
}

/// Counts the octets that went upstream.
pub(super) async fn settle(desk: &mut Desk) -> Result<(), End> {
    let octets = std::mem::take(&mut desk.octets);
    let counted = desk.gatekeeper.used(&mut desk.session, Budgeted::Bytes, octets).await;
    counted.map_err(|refusal| End::Say(format!("421 4.3.0 {}", refusal.text)))
}

/// Takes the message. Gives it when the upstream has all of it but its end; otherwise the tool has heard why not.
async fn receive(desk: &mut Desk) -> Result<Option<Handover>, End> {
    desk.answer("354 end with CRLF.CRLF").await?;
    let mut lines = Vec::new();
    let mut size = 0;
    let is_over = loop {
        match message_line(desk).await? {
            None => break true,
            Some(line) if line.is_empty() => break false,
            Some(line) => {
                size += line.len() + 2;
                if size > MAX_HEADER {
                    let denial = Denial::size("DATA", "header too big");
                    return deny(desk, false, "552 5.3.4", &denial).await.map(|()| None);
                }
                lines.push(line);
            }
        }
    };
    let header = match header::read(&lines) {
        Ok(header) => header,
        Err(error) => {
            let denial = Denial::header(&error.to_string());
            return deny(desk, is_over, "550 5.6.0", &denial).await.map(|()| None);
        }
    };
    if let Err(denial) = desk.session.judge(|rights| smtp::header(rights, &header.authors)) {
        return deny(desk, is_over, "550 5.7.1", &denial).await.map(|()| None);
    }
    send(desk, &header, is_over, size as u64).await
}

/// The message goes upstream, all but its end. Nothing is lost in silence: whatever goes wrong, the tool hears of it.
async fn send(desk: &mut Desk, header: &Header, is_over: bool, size: u64) -> Result<Option<Handover>, End> {
    let Some(mut upstream) = desk.upstream.take() else { return Err(End::Quiet) };
    let begun = upstream.wire.send(b"DATA\r\n").await.is_ok()
        && reply(&mut upstream.wire, DATA_TIMEOUT).await.is_ok_and(|answer| answer.code == 354);
    if !begun {
        desk.recipients = None;
        let text = "451 4.3.0 the mail server behind this mailbox refused DATA";
        return refuse(desk, is_over, text).await.map(|()| None);
    }
    let message_id = header.message_id.clone().unwrap_or_else(|| {
        let unique = crate::crypto::encoding::hex(&desk.gatekeeper.entropy().bytes::<12>());
        format!("<{unique}@{}>", desk.session.info.mailbox.domain())
    });
    if upstream.wire.gather(&head(desk, header, &message_id)) {
        flush(&mut upstream.wire).await?;
    }
    desk.octets = size;
    // From here on the upstream connection is dropped on any error: without the final dot it delivers nothing.
    let size = if is_over { Some(size) } else { body(desk, &mut upstream.wire, size).await? };
    let Some(size) = size else {
        drop(upstream);
        desk.recipients = None;
        let denial = Denial::size("DATA", "message too big");
        return deny(desk, false, "552 5.3.4", &denial).await.map(|()| None);
    };
    let recipients = desk.recipients.take().unwrap_or_default();
    // It may have been frozen while the message came. Without the final dot the upstream delivers nothing.
    if let Err(denial) = desk.session.judge(|rights| smtp::header(rights, &header.authors)) {
        drop(upstream);
        return desk.deny("550 5.7.1", &denial).await.map(|()| None);
    }
    let told = std::mem::take(&mut desk.told);
    let digests: Vec<String> = canonical(&message_id).iter().map(|id| desk.gatekeeper.message_digest(id)).collect();
    let events = desk
        .gatekeeper
        .session_event(&desk.session.info, EventCode::MessageSubmitted, Outcome::Success)
        .list("message_ids", &digests)
        .detail("recipients", recipients.to_string())
        .detail("bytes", size.to_string())
        .spread("to", &told);
    Ok(Some(Handover::begin(desk.gatekeeper.clone(), upstream, events)))
}

/// Passes on what comes after the header; gives the size of the whole message, or `None` as soon as it is too big.
async fn body(desk: &mut Desk, upstream: &mut Wire, header: u64) -> Result<Option<u64>, End> {
    let mut size = header;
    loop {
        // Lines without a dot in front are meant as they stand: those that are there go on together.
        let lines = desk.client.lines_until(b'.', MAX_MESSAGE_LINE);
        let is_full = if lines.is_empty() {
            let Some(line) = message_line(desk).await? else { return Ok(Some(size)) };
            size += line.len() as u64 + 2;
            upstream.gather(&dotted(&line))
        } else {
            size += lines.len() as u64;
            upstream.gather(lines)
        };
        desk.octets = size;
        if size > desk.gatekeeper.max_message_bytes() {
            return Ok(None);
        }
        if is_full {
            flush(upstream).await?;
        }
    }
}

/// Sends what has gathered of the message; an upstream that takes nothing for long is gone.
async fn flush(upstream: &mut Wire) -> Result<(), End> {
    match tokio::time::timeout(BLOCK_TIMEOUT, upstream.flush()).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(End::Say("451 4.3.0 the mail server behind this mailbox went away".to_owned())),
    }
}

/// What goes before the body: a trace line, what RFC 6409 section 8 lets us add, the header as given without Bcc.
fn head(desk: &Desk, header: &Header, message_id: &str) -> Vec<u8> {
    let (gatekeeper, info) = (&desk.gatekeeper, &desk.session.info);
    let now = gatekeeper.clock().now();
    let mut text =
        format!("Received: by {} with ESMTPSA id {}; {}\r\n", gatekeeper.hostname(), info.id, now.to_rfc5322())
            .into_bytes();
    if !header.has_date {
        text.extend_from_slice(format!("Date: {}\r\n", now.to_rfc5322()).as_bytes());
    }
    if header.message_id.is_none() {
        text.extend_from_slice(format!("Message-ID: {message_id}\r\n").as_bytes());
    }
    text.extend_from_slice(&header.text);
    text.extend_from_slice(b"\r\n");
    text
}

/// One line of the message, with its dot taken off; `None` at the end.
async fn message_line(desk: &mut Desk) -> Result<Option<Vec<u8>>, End> {
    match next_line(&mut desk.client, MAX_MESSAGE_LINE).await? {
        Ok(line) => Ok(undot(line)),
        // Nobody can tell where the message ends: the connection does.
        Err(WireError::BadLine) => Err(End::Say("554 5.6.0 bare CR or LF, or NUL, in the message".to_owned())),
        Err(error) => Err(error.into()),
    }
}

async fn swallow(desk: &mut Desk) -> Result<(), End> {
    let mut size = 0;
    while let Some(line) = message_line(desk).await? {
        size += line.len() as u64;
        if size > desk.gatekeeper.max_message_bytes() {
            return Err(End::Say("552 5.3.4 message too big".to_owned()));
        }
    }
    Ok(())
}

async fn deny(desk: &mut Desk, is_over: bool, code: &str, denial: &Denial) -> Result<(), End> {
    if !is_over {
        swallow(desk).await?;
    }
    desk.reset().await;
    desk.deny(code, denial).await
}

async fn refuse(desk: &mut Desk, is_over: bool, text: &str) -> Result<(), End> {
    if !is_over {
        swallow(desk).await?;
    }
    desk.reset().await;
    desk.answer(text).await
}
