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
use crate::protocol::imap::fetch::FetchScan;
use crate::protocol::imap::framing;
use crate::protocol::imap::request::Request;
use crate::upstream::wire::Part;

/// What came of an answer and was not counted yet.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// What is asked for by the command that runs, and its name.
    asked: Option<(Content, String)>,
    /// How much had been sent to the tool when the response began that is under way.
    began_at: Option<u64>,
    /// The number of the message that it speaks of.
    number: Option<u32>,
    /// The message that was counted last: an upstream may tell of one in several responses.
    last: Option<u32>,
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
        desk.tally.last = None;
    }
    Ok(Ok(()))
}

/// Notes that a response begins; says whether it may carry content. Unless it goes on with the message before, something has to be left
/// then. News of flags that come between are not counted.
pub(super) async fn begin(desk: &mut Desk, line: &Part) -> Result<bool, End> {
    if desk.tally.asked.is_none() {
        return Ok(false);
    }
    let text = line.bytes.to_ascii_uppercase();
    let names = [&b"BODY["[..], b"RFC822", b"BINARY["];
    let is_content = !line.is_last
        || !matches!(framing::literal_at_end(&line.bytes), Ok(None))
        || names.iter().any(|name| text.windows(name.len()).any(|window| window == *name));
    let number = FetchScan::number(&line.bytes);
    let goes_on = number.is_some() && number == desk.tally.last;
    if is_content
        && !goes_on
        && let Some(denial) = Box::pin(spent(desk)).await?
    {
        return Err(Box::pin(cut_off(desk, &denial)).await);
    }
    if number.is_none() {
        // It may give messages other numbers.
        desk.tally.last = None;
    }
    desk.tally.number = number;
    desk.tally.began_at = is_content.then(|| desk.client.queued());
    Ok(is_content)
}

/// Why no further response may be delivered, if that is so.
async fn spent(desk: &mut Desk) -> Result<Option<Denial>, End> {
    let Some((_, asked)) = desk.tally.asked.clone() else { return Ok(None) };
    let messages = desk.tally.is_of_bodies().then_some(Budgeted::MessagesRead);
    for what in messages.into_iter().chain([Budgeted::Bytes]) {
        if let Err(denial) = desk.gatekeeper.reach(&mut desk.session, what, 1, &asked).await? {
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

/// Counts the response that has just ended, or was broken off.
pub(super) async fn settle(desk: &mut Desk) -> Result<(), End> {
    let queued = desk.client.queued();
    Ok(desk.tally.settle(&desk.gatekeeper, &mut desk.session, queued).await?)
}

impl Tally {
    fn is_of_bodies(&self) -> bool {
        self.asked.as_ref().is_some_and(|(content, _)| *content == Content::Body)
    }

    /// Adds the response under way, after so many octets to the tool in all.
    fn add(&mut self, queued: u64) {
        if let Some(began_at) = self.began_at.take() {
            let octets = queued - began_at;
            self.octets += octets;
            // A response with nothing but what only we asked for is not the tool's.
            if octets > 0 {
                let goes_on = self.number.is_some() && self.number == self.last;
                self.messages += u64::from(self.is_of_bodies() && !goes_on);
                self.last = self.number;
            }
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
        // Whatever becomes of a count that is cut short, it is not told twice.
        gatekeeper.used(session, Budgeted::MessagesRead, std::mem::take(&mut self.messages)).await?;
        gatekeeper.used(session, Budgeted::Bytes, std::mem::take(&mut self.octets)).await
    }
}
