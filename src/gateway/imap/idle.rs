//! IDLE (RFC 2177): the upstream's news go to the tool until it says DONE. Upstream the IDLE is begun anew from time to time, and on
//! another connection when this one is lost; the tool stays in its own.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::gateway::imap::own::Outcome;
use crate::gateway::imap::session::Desk;
use crate::gateway::imap::{End, own, relay, renew, upstream_lost};
use crate::policy::Permit;
use crate::protocol::imap::request::Request;
use crate::protocol::imap::response;

/// Longest line that a tool may send while idle: `DONE`.
const MAX_LINE: usize = 64;

/// After so long a silence the tool hears that we are still here; and so does whatever stands between.
const SILENCE: Duration = Duration::from_secs(5 * 60);

/// An IDLE that both sides know of.
pub(super) struct Idling {
    /// The tool's tag.
    tag: String,
    /// The upstream's.
    ours: String,
}

/// Begins IDLE on both sides.
pub(super) async fn begin(desk: &mut Desk, tag: &str, permit: Permit<Request>) -> Result<(), End> {
    desk.session.goes_on();
    desk.settle_all().await?;
    match Box::pin(own::learn_uids(desk)).await {
        // Not in IDLE yet.
        Err(End::Gone) => return Err(upstream_lost()),
        outcome => outcome?,
    }
    let ours = desk.tag();
    let fragments = permit.into_inner().serialise(&ours).ok_or_else(upstream_lost)?;
    if !desk.send_upstream(tag, &ours, fragments).await? || !relay::continuation(desk, tag, &ours).await? {
        return Ok(());
    }
    desk.client.send(b"+ idling\r\n").await?;
    desk.idling = Some(Idling { tag: tag.to_owned(), ours });
    Ok(())
}

/// Stays in IDLE until it is over.
pub(super) async fn run(desk: &mut Desk, Idling { tag, mut ours }: Idling) -> Result<(), End> {
    let mut is_done = false;
    loop {
        let outcome = if is_done { Ok(()) } else { follow(desk).await };
        is_done |= outcome.is_ok();
        let outcome = match outcome {
            Ok(()) => Box::pin(own::done(desk, &ours)).await.map(Step::Answer),
            Err(Pause::Renewal) => Box::pin(begin_anew(desk, &ours)).await.map(Step::Next),
            Err(Pause::Over(end)) => Err(end),
        };
        match outcome {
            Ok(Step::Answer(outcome)) => return answer(desk, &tag, &outcome).await,
            Ok(Step::Next(next)) => ours = next,
            // A DONE that the lost connection took with it is said again.
            Err(End::Gone) => ours = Box::pin(renew::in_idle(desk)).await?,
            Err(end) => return Err(end),
        }
    }
}

/// How an IDLE goes on.
enum Step {
    /// Upstream it has ended like this, since the tool ended it.
    Answer(Outcome),
    /// Upstream there is another one, with this tag.
    Next(String),
}

/// Why an IDLE is not followed any longer, though the tool has not said DONE.
enum Pause {
    Renewal,
    Over(End),
}

impl<T: Into<End>> From<T> for Pause {
    fn from(end: T) -> Self {
        Self::Over(end.into())
    }
}

/// Relays until the tool says DONE.
async fn follow(desk: &mut Desk) -> Result<(), Pause> {
    let endurance = desk.gatekeeper.endurance();
    let mut due = Instant::now() + endurance.idle_renewal;
    let (mut said, mut silent_until) = (desk.client.queued(), Instant::now() + SILENCE);
    loop {
        if relay::unasked(desk).await? {
            if own::is_behind(desk) {
                due = due.min(Instant::now() + endurance.settling);
            }
            continue;
        }
        if let Some(line) = desk.client.take_line(MAX_LINE)? {
            if line.eq_ignore_ascii_case(b"DONE") {
                return Ok(());
            }
            return Err(Pause::Over(End::Bye("only DONE may follow IDLE".to_owned())));
        }
        desk.client.flush().await?;
        if desk.client.queued() != said {
            (said, silent_until) = (desk.client.queued(), Instant::now() + SILENCE);
        }
        tokio::select! {
            filled = desk.client.fill() => filled?,
            filled = desk.upstream.fill() => if filled.is_err() {
                return Err(Pause::Over(desk.gone()));
            },
            () = sleep_until(due) => return Err(Pause::Renewal),
            () = sleep_until(silent_until) => desk.client.send(b"* OK still here\r\n").await?,
        }
    }
}

/// Ends IDLE upstream and begins it anew; between the two, the UIDs of what has come are asked for. Gives the new tag.
async fn begin_anew(desk: &mut Desk, ours: &str) -> Result<String, End> {
    if !own::done(desk, ours).await?.is_ok() {
        return Err(upstream_lost());
    }
    own::learn_uids(desk).await?;
    own::idle(desk).await
}

/// What the upstream said to DONE, to the tool.
async fn answer(desk: &mut Desk, tag: &str, outcome: &Outcome) -> Result<(), End> {
    let text = response::without_upstream_codes(&outcome.text).ok_or_else(upstream_lost)?;
    desk.client.queue(format!("{tag} {} ", outcome.status).as_bytes()).await?;
    desk.client.queue(text).await?;
    Ok(desk.client.send(b"\r\n").await?)
}
