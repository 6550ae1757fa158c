//! DATA: the header is judged before the upstream hears of the message; the body is streamed. Only CRLF.CRLF ends it, and any bare
//! CR or LF refuses it: what two servers could read differently is not passed on (SM-01).

use crate::domain::budget::Budgeted;
use crate::domain::event::{EventCode, Outcome};
use crate::gateway::smtp::header::{self, Header, MAX_HEADER};
use crate::gateway::smtp::session::Desk;
use crate::gateway::smtp::{End, next_line, refusal_reply};
use crate::policy::{Denial, smtp};
use crate::protocol::message_id::canonical;
use crate::protocol::smtp::{dotted, undot};
use crate::upstream::smtp::{BLOCK_TIMEOUT, DATA_TIMEOUT, DOT_TIMEOUT, reply};
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
    for (what, amount) in [(Budgeted::Bytes, 0), (Budgeted::MessagesSent, 1)] {
        let taken = match gatekeeper.reach(&mut desk.session, what, "DATA").await {
            Ok(Ok(())) => gatekeeper.take(&mut desk.session, what, amount, "DATA").await,
            other => other,
        };
        match taken {
            Ok(Ok(())) => (),
            Ok(Err(denial)) => return desk.deny("450 4.7.1", &denial).await,
            Err(refusal) => return desk.answer(&refusal_reply(&refusal, false)).await,
        }
    }
    let mut is_handed_over = false;
    let outcome = receive(desk, &mut is_handed_over).await;
    if !is_handed_over {
        gatekeeper.put_back(&mut desk.session, Budgeted::MessagesSent, 1).await;
    }
    settle(desk).await?;
    outcome
}

/// Counts the octets that went upstream.
pub(super) async fn settle(desk: &mut Desk) -> Result<(), End> {
    let octets = std::mem::take(&mut desk.octets);
    let counted = desk.gatekeeper.used(&mut desk.session, Budgeted::Bytes, octets).await;
    counted.map_err(|refusal| End::Say(format!("421 4.3.0 {}", refusal.text)))
}

/// Takes the message. `is_handed_over` says in the end whether the upstream may have it.
async fn receive(desk: &mut Desk, is_handed_over: &mut bool) -> Result<(), End> {
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
                    return deny(desk, false, "552 5.3.4", &Denial::size("DATA", "header too big")).await;
                }
                lines.push(line);
            }
        }
    };
    let header = match header::read(&lines) {
        Ok(header) => header,
        Err(error) => return deny(desk, is_over, "550 5.6.0", &Denial::header(&error.to_string())).await,
    };
    if let Err(denial) = desk.session.judge(|rights| smtp::header(rights, &header.authors)) {
        return deny(desk, is_over, "550 5.7.1", &denial).await;
    }
    send(desk, &header, is_over, size as u64, is_handed_over).await
}

/// The message goes upstream. Nothing is lost in silence: whatever goes wrong, the tool hears of it.
async fn send(
    desk: &mut Desk,
    header: &Header,
    is_over: bool,
    size: u64,
    is_handed_over: &mut bool,
) -> Result<(), End> {
    let Some(mut upstream) = desk.upstream.take() else { return Err(End::Quiet) };
    let begun = upstream.wire.send(b"DATA\r\n").await.is_ok()
        && reply(&mut upstream.wire, DATA_TIMEOUT).await.is_ok_and(|answer| answer.code == 354);
    if !begun {
        desk.recipients = None;
        return refuse(desk, is_over, "451 4.3.0 the mail server behind this mailbox refused DATA").await;
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
        return deny(desk, false, "552 5.3.4", &Denial::size("DATA", "message too big")).await;
    };
    let recipients = desk.recipients.take().unwrap_or_default();
    // It may have been frozen while the message came. Without the final dot the upstream delivers nothing.
    if let Err(denial) = desk.session.judge(|rights| smtp::header(rights, &header.authors)) {
        drop(upstream);
        return desk.deny("550 5.7.1", &denial).await;
    }
    let told = std::mem::take(&mut desk.told);
    let digests: Vec<String> = canonical(&message_id).iter().map(|id| desk.gatekeeper.message_digest(id)).collect();
    let event = |code, outcome| {
        desk.gatekeeper
            .session_event(&desk.session.info, code, outcome)
            .list("message_ids", &digests)
            .detail("recipients", recipients.to_string())
            .detail("bytes", size.to_string())
    };
    // Durable before the dot that makes it happen, with every recipient.
    let submitted = event(EventCode::MessageSubmitted, Outcome::Success).spread("to", &told);
    if let Err(refusal) = desk.gatekeeper.record_all(submitted).await {
        return desk.answer(&refusal_reply(&refusal, false)).await;
    }
    *is_handed_over = true;
    let answer = match upstream.wire.send(b".\r\n").await {
        Ok(()) => reply(&mut upstream.wire, DOT_TIMEOUT).await.ok(),
        Err(_) => None,
    };
    match answer.map(|answer| answer.code) {
        Some(200..300) => {
            desk.upstream = Some(upstream);
            desk.answer("250 2.0.0 accepted by the mail server behind this mailbox").await
        }
        Some(code @ 400..600) => {
            desk.upstream = Some(upstream);
            *is_handed_over = false;
            // Recorded that it was refused; the tool must not wait for the record.
            let refused = event(EventCode::MessageSubmitted, Outcome::Failure).detail("reply", code.to_string());
            let _ = desk.gatekeeper.record_all(refused.spread("to", &told)).await;
            desk.answer(&format!("{code} {}.0.0 the mail server behind this mailbox refused the message", code / 100))
                .await
        }
        _ => {
            // It may have been delivered: sending it again is the tool's decision (SM-10).
            let lost = event(EventCode::MessageIndeterminate, Outcome::Failure).spread("to", &told);
            let _ = desk.gatekeeper.record_all(lost).await;
            desk.answer("451 4.4.2 no answer from the mail server; whether it took the message is not known").await
        }
    }
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
