//! After login: the maildrop is opened, then one command at a time. Pipelined commands wait in the tool's own buffers.

use tokio_util::sync::CancellationToken;

use crate::domain::fault::Fault;
use crate::domain::session::EndReason;
use crate::gateway::gatekeeper::{Gatekeeper, Refusal, Session};
use crate::gateway::goodbye;
use crate::gateway::pop3::budget::{self, Tally};
use crate::gateway::pop3::capability::{self, Stage};
use crate::gateway::pop3::maildrop::{Maildrop, Message, Trouble};
use crate::gateway::pop3::{End, IDLE_TIMEOUT, hiding, refusal_reply, removal, transfer, upstream_lost};
use crate::gateway::reads::Reads;
use crate::policy::budget::RULE;
use crate::policy::{Denial, Permit, pop3};
use crate::protocol::pop3::command::{Command, MAX_LINE, verb};
use crate::upstream::wire::Wire;

/// How many malformed commands one session may send.
const MAX_BAD: u32 = 20;

/// A session at work.
pub(super) struct Desk {
    pub(super) gatekeeper: Gatekeeper,
    pub(super) session: Session,
    pub(super) client: Wire,
    /// Whether the tool is in the middle of a response: then there is no room for a last word.
    pub(super) mid_response: bool,
    /// What has to be counted of the answer that is under way.
    pub(super) tally: Tally,
    /// What was delivered of the maildrop.
    pub(super) reads: Reads,
    bad: u32,
    /// Whether the tool has said QUIT, and all that it asked for is done.
    is_leaving: bool,
}

/// Runs a session to its end. Whatever ends it but QUIT, no message is removed.
pub(super) async fn run(gatekeeper: Gatekeeper, client: Wire, session: Session, shutdown: CancellationToken) {
    let (mid_response, tally, reads) = (false, Tally::default(), Reads::default());
    let mut desk = Desk { gatekeeper, session, client, mid_response, tally, reads, bad: 0, is_leaving: false };
    let ended = desk.session.told_to_end(shutdown);
    let (end, reason) = tokio::select! {
        end = desk.work() => (end, desk.session.own_end()),
        reason = ended => (End::Say(last_word(reason).to_owned()), reason.as_str()),
    };
    if desk.session.ended().borrow().is_some() {
        desk.gatekeeper.break_off(&desk.session);
    }
    let end = if desk.mid_response { End::Quiet } else { end };
    // What needs a database that does not answer comes after the last word.
    let is_unproven = reason == EndReason::Unproven.as_str();
    if !is_unproven {
        let _ = budget::end(&mut desk).await;
    }
    goodbye::say(&mut desk.client, end.last_word()).await;
    if is_unproven {
        let _ = budget::end(&mut desk).await;
    }
    desk.reads.close(&desk.gatekeeper, &desk.session, Vec::new()).await;
    Box::pin(desk.gatekeeper.close(desk.session, reason)).await;
    goodbye::linger(&mut desk.client).await;
}

fn last_word(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Killed | EndReason::Revoked => "-ERR [SYS/PERM] access revoked",
        EndReason::Frozen => "-ERR [SYS/TEMP] access is frozen for now",
        EndReason::Expired => "-ERR [SYS/TEMP] session time is over, log in again",
        EndReason::Unproven => "-ERR [SYS/TEMP] access cannot be checked at the moment, reconnect later",
        EndReason::Shutdown => "-ERR [SYS/TEMP] the service is stopping, reconnect",
    }
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Lost => upstream_lost(),
            Trouble::Refused { in_use: true } => Self::Say("-ERR [IN-USE] the mailbox is in use".to_owned()),
            Trouble::Refused { in_use: false } => Self::Say("-ERR [SYS/TEMP] the mail server refused".to_owned()),
            Trouble::TooMany => Self::Say("-ERR [SYS/PERM] INBOX holds too many messages for POP3".to_owned()),
        }
    }
}

impl Desk {
    async fn work(&mut self) -> End {
        let mut maildrop = match self.open().await {
            Ok(maildrop) => maildrop,
            Err(end) => return end,
        };
        loop {
            if let Err(end) = self.turn(&mut maildrop).await {
                if self.is_leaving {
                    self.gatekeeper.part_with_imap(maildrop.into_connection(), true).await;
                }
                return end;
            }
            if self.session.is_worn_out() {
                return End::Say("-ERR [SYS/PERM] too many refused commands in a row".to_owned());
            }
        }
    }

    /// Opens the maildrop and lets the tool know that it is in.
    async fn open(&mut self) -> Result<Maildrop, End> {
        let permit = match self.session.judge(pop3::open) {
            Ok(permit) => permit,
            Err(denial) => return Err(End::Say(self.denied(&denial).await)),
        };
        match budget::open(self).await {
            Ok(Ok(())) => (),
            Ok(Err(denial)) => return Err(End::Say(self.denied(&denial).await)),
            Err(refusal) => return Err(End::Say(refusal_reply(&refusal))),
        }
        let upstream = tokio::select! {
            biased;
            upstream = self.gatekeeper.imap(&self.session) => upstream,
            () = self.client.gone() => return Err(End::Quiet),
        };
        let upstream = match upstream {
            Ok(upstream) => upstream,
            Err(refusal) => return Err(End::Say(refusal_reply(&refusal))),
        };
        let mut maildrop = Maildrop::open(permit, upstream, self.gatekeeper.tags()).await?;
        if self.session.bounds().hides_deleted()
            && let Err(error) = hiding::apply(&self.gatekeeper, &self.session, &mut maildrop).await
        {
            tracing::error!(%error, "what a tool has removed for itself cannot be read");
            return Err(End::Say(refusal_reply(&Refusal::of(Fault::Unavailable))));
        }
        self.reads.open_as("INBOX".to_owned(), maildrop.validity);
        let (count, octets) = maildrop.stat();
        self.answer(&format!("+OK {count} messages ({octets} octets)")).await?;
        Ok(maildrop)
    }

    pub(super) async fn answer(&mut self, text: &str) -> Result<(), End> {
        Ok(self.client.send(format!("{text}\r\n").as_bytes()).await?)
    }

    async fn bad(&mut self, text: &str) -> Result<(), End> {
        self.bad += 1;
        if self.bad >= MAX_BAD {
            return Err(End::Say("-ERR too many malformed commands".to_owned()));
        }
        self.answer(text).await
    }

    /// Records a denial; gives what the tool hears.
    async fn denied(&mut self, denial: &Denial) -> String {
        match self.gatekeeper.deny(&self.session, denial).await {
            Ok(verdict) => {
                // A freeze ends, and a budget is renewed.
                let code = if matches!(denial.rule, Denial::FROZEN | RULE) { "SYS/TEMP" } else { "SYS/PERM" };
                format!("-ERR [{code}] {} (verdict {verdict})", denial.text)
            }
            Err(refusal) => refusal_reply(&refusal),
        }
    }

    async fn turn(&mut self, maildrop: &mut Maildrop) -> Result<(), End> {
        let line = self.line().await?;
        let Some((verb, rest)) = verb(&line) else { return self.bad("-ERR unknown or malformed command").await };
        match (verb.as_str(), rest) {
            ("CAPA", "") => Ok(self.client.send(capability::capa(Stage::Inside).as_bytes()).await?),
            ("NOOP", "") => {
                maildrop.noop().await?;
                self.answer("+OK").await
            }
            ("RSET", "") => {
                maildrop.messages.iter_mut().for_each(|message| message.is_marked = false);
                self.answer("+OK nothing is marked").await
            }
            ("QUIT", "") => Err(self.quit(maildrop).await),
            ("USER" | "PASS" | "AUTH" | "STLS", _) => self.bad("-ERR logged in already").await,
            (verb, rest) => match Command::parse(verb, rest) {
                Some(command) => match self.session.judge(|rights| pop3::decide(rights, command)) {
                    Ok(permit) => self.command(maildrop, permit).await,
                    Err(denial) => {
                        let text = self.denied(&denial).await;
                        self.answer(&text).await
                    }
                },
                None => self.bad("-ERR unknown or malformed command").await,
            },
        }
    }

    async fn command(&mut self, maildrop: &mut Maildrop, permit: Permit<Command>) -> Result<(), End> {
        let command = permit.into_inner();
        let number = match command {
            Command::Stat => {
                self.session.goes_on();
                let (count, octets) = maildrop.stat();
                return self.answer(&format!("+OK {count} {octets}")).await;
            }
            Command::List(None) | Command::Uidl(None) => return self.list(maildrop, command).await,
            Command::List(Some(number)) | Command::Uidl(Some(number)) => number,
            Command::Retr(number) | Command::Top(number, _) | Command::Dele(number) => number,
        };
        let Some(message) = maildrop.message(number) else { return self.answer("-ERR no such message").await };
        match budget::begin(self, command).await {
            Ok(Ok(())) => (),
            Ok(Err(denial)) => {
                let text = self.denied(&denial).await;
                return self.answer(&text).await;
            }
            Err(refusal) => return self.answer(&refusal_reply(&refusal)).await,
        }
        self.session.goes_on();
        let done = self.do_to(maildrop, command, number, message).await;
        match budget::end(self).await {
            Ok(()) => done,
            Err(refusal) => Err(End::Say(refusal_reply(&refusal))),
        }
    }

    /// What a command does to one message.
    async fn do_to(
        &mut self,
        maildrop: &mut Maildrop,
        command: Command,
        number: u32,
        message: Message,
    ) -> Result<(), End> {
        match command {
            Command::Retr(_) => transfer::run(self, maildrop, message, None).await,
            Command::Top(_, lines) => transfer::run(self, maildrop, message, Some(lines)).await,
            Command::Uidl(_) => self.answer(&format!("+OK {number} {}", maildrop.unique_id(&message))).await,
            Command::Dele(_) if !maildrop.can_remove && !self.session.bounds().hides_deleted() => {
                self.answer("-ERR [SYS/PERM] the mail server cannot remove single messages").await
            }
            Command::Dele(_) => {
                maildrop.mark(number);
                self.answer("+OK marked, QUIT removes it").await
            }
            Command::Stat | Command::List(_) => self.answer(&format!("+OK {number} {}", message.size)).await,
        }
    }

    /// A line for each message.
    async fn list(&mut self, maildrop: &mut Maildrop, command: Command) -> Result<(), End> {
        self.session.goes_on();
        self.mid_response = true;
        self.client.queue(b"+OK\r\n").await?;
        for (number, message) in maildrop.left() {
            let line = match command {
                Command::Uidl(_) => format!("{number} {}\r\n", maildrop.unique_id(message)),
                _ => format!("{number} {}\r\n", message.size),
            };
            self.client.queue(line.as_bytes()).await?;
        }
        self.client.send(b".\r\n").await?;
        self.reads.listed(maildrop.left().count());
        self.mid_response = false;
        Ok(())
    }

    /// Removes what is marked, and says goodbye.
    async fn quit(&mut self, maildrop: &mut Maildrop) -> End {
        if let Err(end) = self.record_reads().await {
            return end;
        }
        let is_done = if self.session.bounds().hides_deleted() {
            hiding::keep(&self.gatekeeper, &self.session, maildrop).await.unwrap_or_else(|error| {
                tracing::error!(%error, "what a tool removed for itself was not kept");
                false
            })
        } else {
            // It may have been frozen since DELE.
            if maildrop.messages.iter().any(|message| message.is_marked)
                && let Err(denial) = self.session.judge(|rights| pop3::decide(rights, Command::Dele(1)))
            {
                return End::Say(self.denied(&denial).await);
            }
            removal::run(self, maildrop).await.is_ok()
        };
        self.is_leaving = is_done;
        if !is_done {
            maildrop.leave().await;
        }
        let last_word = if is_done { "+OK see you" } else { "-ERR [SYS/TEMP] some marked messages were not removed" };
        End::Say(last_word.to_owned())
    }
}

/// One line of the tool. RFC 1939 section 3: one that is silent for too long is left without a word.
pub(super) async fn next_line(client: &mut Wire) -> Result<Vec<u8>, End> {
    let line = tokio::time::timeout(IDLE_TIMEOUT, client.line(MAX_LINE)).await;
    Ok(line.map_err(|_| End::Quiet)??)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncWriteExt, duplex};

    use super::{End, next_line};
    use crate::upstream::wire::{Wire, clear};

    #[tokio::test(start_paused = true)]
    async fn po_04_a_tool_may_be_silent_for_ten_minutes() {
        let (mut tool, ours) = duplex(64);
        let mut wire = Wire::new(clear(ours));
        let talk = async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(601)).await;
                tool.write_all(b"NOOP\r\n").await.unwrap();
            }
        };
        let listen = async {
            for _ in 0..3 {
                assert_eq!(next_line(&mut wire).await.unwrap(), b"NOOP");
            }
            let silent = tokio::time::timeout(Duration::from_secs(3600), next_line(&mut wire)).await;
            assert!(
                matches!(silent, Ok(Err(End::Quiet))),
                "a tool that says nothing any more is not waited for: {silent:?}"
            );
        };
        tokio::join!(talk, listen);
    }
}
