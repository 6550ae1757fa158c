//! What a command uses of its grant's budgets. A folder is counted before it is opened. How much an answer holds is known only when it
//! has come: it is counted as it streams. When the budget is spent the message under way goes on to its end; the next one of the same
//! answer is not delivered, and the session ends with it, as the upstream is not to be asked for what nobody gets. The next command is
//! refused.

use imap_codec::imap_types::command::CommandBody;

use crate::domain::budget::Budgeted;
use crate::gateway::gatekeeper::{Gatekeeper, Refusal, Session};
use crate::gateway::imap::End;
use crate::gateway::imap::session::Desk;
use crate::policy::charge::{Charge, Content, content};
use crate::policy::{Denial, Permit};
use crate::protocol::imap::framing;
use crate::protocol::imap::request::Request;
use crate::upstream::wire::Part;

/// After so many octets of answers, or messages, the counters hear of it.
const STEP_OCTETS: u64 = 1 << 20;
const STEP_MESSAGES: u64 = 64;

/// What came of an answer and was not counted yet.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// What is asked for by the command that runs, and its name.
    asked: Option<(Content, String)>,
    /// How much had been sent to the tool when the response began that is under way.
    began_at: Option<u64>,
    messages: u64,
    octets: u64,
}

/// Does a permitted command within the session's budgets.
pub(super) async fn run(desk: &mut Desk, tag: &str, permit: Permit<Request>) -> Result<(), End> {
    if !desk.session.is_counted() {
        return desk.relay(tag, permit).await;
    }
    if let Err(denial) = asked(desk, &permit.get().body).await? {
        let opens = matches!(permit.get().body, CommandBody::Select { .. } | CommandBody::Examine { .. });
        desk.is_selected &= !opens;
        return desk.deny(tag, &denial).await;
    }
    desk.relay(tag, permit).await?;
    desk.tally.asked = None;
    settle(desk).await
}

/// Whether enough is left for a command to begin.
async fn asked(desk: &mut Desk, body: &CommandBody<'_>) -> Result<Result<(), Denial>, End> {
    let (gatekeeper, Charge { asked, folder, amounts }) = (desk.gatekeeper.clone(), Charge::imap(body));
    if let Some(folder) = folder {
        return Ok(gatekeeper.take_folder(&mut desk.session, &folder, &asked).await?);
    }
    for (what, _) in amounts {
        if let Err(denial) = gatekeeper.reach(&mut desk.session, what, 1, &asked).await? {
            return Ok(Err(denial));
        }
    }
    if let CommandBody::Fetch { macro_or_item_names, .. } = body {
        let content = content(macro_or_item_names);
        desk.tally.asked = (content > Content::None).then_some((content, asked));
    }
    Ok(Ok(()))
}

/// Notes that a response begins; says whether it may carry content, of which something has to be left then. News of flags that come
/// between are not counted.
pub(super) async fn begin(desk: &mut Desk, line: &Part) -> Result<bool, End> {
    if desk.tally.asked.is_none() {
        return Ok(false);
    }
    let text = line.bytes.to_ascii_uppercase();
    let names = [&b"BODY["[..], b"RFC822", b"BINARY["];
    let is_content = !line.is_last
        || !matches!(framing::literal_at_end(&line.bytes), Ok(None))
        || names.iter().any(|name| text.windows(name.len()).any(|window| window == *name));
    if is_content && let Some(denial) = Box::pin(spent(desk)).await? {
        return Err(Box::pin(cut_off(desk, &denial)).await);
    }
    desk.tally.began_at = is_content.then(|| desk.client.queued());
    Ok(is_content)
}

/// Why no further response may be delivered, if that is so.
async fn spent(desk: &mut Desk) -> Result<Option<Denial>, End> {
    let Some((_, asked)) = desk.tally.asked.clone() else { return Ok(None) };
    let messages = desk.tally.is_of_bodies().then_some((Budgeted::MessagesRead, desk.tally.messages));
    for (what, tallied) in messages.into_iter().chain([(Budgeted::Bytes, desk.tally.octets)]) {
        if let Err(denial) = desk.gatekeeper.reach(&mut desk.session, what, tallied + 1, &asked).await? {
            return Ok(Some(denial));
        }
    }
    Ok(None)
}

/// The answer ends here for the tool, and with it the session.
async fn cut_off(desk: &mut Desk, denial: &Denial) -> End {
    // Of the upstream no more is heard.
    desk.mid_command = true;
    let tag = desk.under_way.take().map(|(_, tag)| tag).unwrap_or_default();
    let told = async {
        desk.settle_all().await?;
        desk.deny(&tag, denial).await
    };
    told.await.err().unwrap_or_else(|| End::Bye(format!("[LIMIT] {}, reconnect later", denial.text)))
}

/// Adds the response that has just ended; from time to time the counters hear of it.
pub(super) async fn count(desk: &mut Desk) -> Result<(), End> {
    desk.tally.add(desk.client.queued());
    let Tally { messages, octets, .. } = &desk.tally;
    if *octets >= STEP_OCTETS || *messages >= STEP_MESSAGES { settle(desk).await } else { Ok(()) }
}

impl Tally {
    fn is_of_bodies(&self) -> bool {
        self.asked.as_ref().is_some_and(|(content, _)| *content == Content::Body)
    }

    /// Adds the response under way, after so many octets to the tool in all.
    fn add(&mut self, queued: u64) {
        if let Some(began_at) = self.began_at.take() {
            self.octets += queued - began_at;
            // A response with nothing but what only we asked for is not the tool's.
            self.messages += u64::from(self.is_of_bodies() && queued > began_at);
        }
    }

    /// Tells the counters what was used, also of a response that was broken off.
    pub(super) async fn settle(
        &mut self,
        gatekeeper: &Gatekeeper,
        session: &mut Session,
        queued: u64,
    ) -> Result<(), Refusal> {
        self.add(queued);
        for (what, amount) in [(Budgeted::MessagesRead, self.messages), (Budgeted::Bytes, self.octets)] {
            gatekeeper.used(session, what, amount).await?;
        }
        (self.messages, self.octets) = (0, 0);
        Ok(())
    }
}

async fn settle(desk: &mut Desk) -> Result<(), End> {
    let queued = desk.client.queued();
    Ok(desk.tally.settle(&desk.gatekeeper, &mut desk.session, queued).await?)
}
