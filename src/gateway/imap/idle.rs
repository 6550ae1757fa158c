//! IDLE (RFC 2177): the upstream's news go to the tool until it says DONE.

use crate::gateway::imap::session::Desk;
use crate::gateway::imap::{End, relay, upstream_lost};
use crate::policy::Permit;
use crate::protocol::imap::request::Request;

/// Longest line that a tool may send while idle: `DONE`.
const MAX_LINE: usize = 64;

pub(super) async fn run(desk: &mut Desk, tag: &str, permit: Permit<Request>) -> Result<(), End> {
    desk.settle_all().await?;
    let ours = desk.tag();
    let fragments = permit.into_inner().serialise(&ours).ok_or_else(upstream_lost)?;
    if !desk.send_upstream(tag, &ours, fragments).await? || !relay::continuation(desk, tag, &ours).await? {
        return Ok(());
    }
    desk.client.send(b"+ idling\r\n").await?;
    loop {
        if relay::unasked(desk).await? {
            continue;
        }
        if let Some(line) = desk.client.take_line(MAX_LINE)? {
            if !line.eq_ignore_ascii_case(b"DONE") {
                return Err(End::Bye("only DONE may follow IDLE".to_owned()));
            }
            desk.upstream.send(b"DONE\r\n").await.map_err(|_| upstream_lost())?;
            return relay::answer(desk, tag, &ours).await.map(drop);
        }
        desk.client.flush().await?;
        tokio::select! {
            filled = desk.client.fill() => filled?,
            filled = desk.upstream.fill() => filled.map_err(|_| upstream_lost())?,
        }
    }
}
