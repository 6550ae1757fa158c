//! After login: mail transactions.

use tokio_util::sync::CancellationToken;

use crate::domain::address::MailAddress;
use crate::domain::budget::Budgeted;
use crate::domain::session::EndReason;
use crate::gateway::gatekeeper::{Gatekeeper, Session};
use crate::gateway::goodbye;
use crate::gateway::smtp::handover::{self, Handover};
use crate::gateway::smtp::{End, MAX_LINE, auth, data, next_line, refusal_reply};
use crate::policy::{Denial, smtp};
use crate::protocol::smtp::{path, size, verb};
use crate::upstream::UpstreamError;
use crate::upstream::smtp::{COMMAND_TIMEOUT, Connection, reply};
use crate::upstream::wire::Wire;

/// How many bad commands one session may send.
const MAX_BAD: u32 = 20;
/// How many recipients one message may have.
const MAX_RECIPIENTS: u32 = 1000;

/// A session at work.
pub(super) struct Desk {
    pub(super) gatekeeper: Gatekeeper,
    pub(super) session: Session,
    pub(super) client: Wire,
    /// The upstream, once a transaction needed it.
    pub(super) upstream: Option<Connection>,
    /// The MAIL command of the transaction, if the upstream has not taken it yet.
    unsaid: Option<String>,
    /// Recipients taken by the upstream; `None`: no transaction.
    pub(super) recipients: Option<u32>,
    /// Octets of a message that went upstream and were not counted yet.
    pub(super) octets: u64,
    /// The end of a message that is under way.
    pub(super) handover: Option<Handover>,
    /// What the record of the message tells of its recipients.
    pub(super) told: Vec<String>,
    bad: u32,
    /// Whether the tool has said QUIT.
    is_leaving: bool,
}

pub(super) async fn run(gatekeeper: Gatekeeper, client: Wire, session: Session, shutdown: CancellationToken) {
    let (upstream, recipients, handover, told) = (None, None, None, Vec::new());
    let mut desk = Desk {
        gatekeeper,
        session,
        client,
        upstream,
        unsaid: None,
        recipients,
        octets: 0,
        handover,
        told,
        bad: 0,
        is_leaving: false,
    };
    let ended = desk.session.told_to_end(shutdown);
    let (end, reason) = tokio::select! {
        end = desk.work() => (end, desk.session.own_end()),
        reason = ended => (End::Say(last_word(reason).to_owned()), reason.as_str()),
    };
    handover::finish(&mut desk).await;
    // Before the last word: a tool that does not read keeps no connection to its mailbox (GW-11).
    let upstream = desk.upstream.take();
    if desk.session.ended().borrow().is_some() {
        desk.gatekeeper.break_off(&desk.session);
    }
    if let Some(upstream) = upstream
        && desk.is_leaving
    {
        desk.gatekeeper.part_with_smtp(upstream).await;
    }
    // What needs a database that does not answer comes after the last word.
    let is_unproven = reason == EndReason::Unproven.as_str();
    if !is_unproven {
        let _ = data::settle(&mut desk).await;
    }
    goodbye::say(&mut desk.client, end.last_word()).await;
    if is_unproven {
        let _ = data::settle(&mut desk).await;
    }
    Box::pin(desk.gatekeeper.close(desk.session, reason)).await;
    goodbye::linger(&mut desk.client).await;
}

fn last_word(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Killed | EndReason::Revoked => "421 4.7.0 access revoked",
        EndReason::Frozen => "421 4.7.0 access is frozen for now",
        EndReason::Expired => "421 4.7.0 session time is over, log in again",
        EndReason::Unproven => "421 4.3.2 access cannot be checked at the moment, reconnect later",
        EndReason::Shutdown => "421 4.3.2 the service is stopping, reconnect",
    }
}

impl Desk {
    async fn work(&mut self) -> End {
        loop {
            if let Err(end) = self.turn().await {
                return end;
            }
            if self.session.is_worn_out() {
                return End::Say("421 4.7.0 too many refused commands in a row".to_owned());
            }
        }
    }

    pub(super) async fn answer(&mut self, text: &str) -> Result<(), End> {
        Ok(self.client.send(format!("{text}\r\n").as_bytes()).await?)
    }

    async fn bad(&mut self, text: &str) -> Result<(), End> {
        self.bad += 1;
        if self.bad >= MAX_BAD {
            Err(End::Say("421 4.7.0 too many bad commands".to_owned()))
        } else {
            self.answer(text).await
        }
    }

    async fn turn(&mut self) -> Result<(), End> {
        let line = next_line(&mut self.client, MAX_LINE).await??;
        let Some((verb, rest)) = verb(&line) else { return self.bad("500 5.5.2 command not understood").await };
        match verb.as_str() {
            "EHLO" => {
                self.reset().await;
                let text = auth::ehlo(&self.gatekeeper, true);
                Ok(self.client.send(text.as_bytes()).await?)
            }
            "HELO" => {
                self.reset().await;
                self.answer(&format!("250 {}", self.gatekeeper.hostname())).await
            }
            "MAIL" => self.mail(rest).await,
            "RCPT" => self.rcpt(rest).await,
            "DATA" if rest.is_empty() => data::run(self).await,
            "RSET" => {
                self.reset().await;
                self.answer("250 2.0.0 OK").await
            }
            "NOOP" => self.answer("250 2.0.0 OK").await,
            "QUIT" => {
                self.is_leaving = true;
                Err(End::Say("221 2.0.0 bye".to_owned()))
            }
            "AUTH" => self.bad("503 5.5.1 authenticated already").await,
            "STARTTLS" => self.bad("503 5.5.1 TLS is on already").await,
            _ => self.bad("502 5.5.1 command not served").await,
        }
    }

    /// Ends the transaction, here and at the upstream.
    pub(super) async fn reset(&mut self) {
        let is_begun = self.recipients.take().is_some() && self.unsaid.take().is_none();
        if is_begun
            && let Some(upstream) = &mut self.upstream
            && (upstream.wire.send(b"RSET\r\n").await.is_err()
                || reply(&mut upstream.wire, COMMAND_TIMEOUT).await.is_err())
        {
            self.upstream = None;
        }
    }

    async fn mail(&mut self, rest: &str) -> Result<(), End> {
        if self.recipients.is_some() {
            return self.bad("503 5.5.1 a transaction is under way").await;
        }
        let Some((address, parameters)) = path(rest, "FROM:") else {
            return self.bad("501 5.5.4 write MAIL FROM:<address>").await;
        };
        for parameter in parameters {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.to_ascii_uppercase().as_str() {
                "SIZE" => match size(value) {
                    Some(size) if size > self.gatekeeper.max_message_bytes() => {
                        return self.deny("552 5.3.4", &Denial::size("MAIL FROM", "message too big")).await;
                    }
                    Some(_) => (),
                    None => return self.bad("501 5.5.4 SIZE is not a number").await,
                },
                "BODY" if ["7BIT", "8BITMIME"].iter().any(|known| value.eq_ignore_ascii_case(known)) => (),
                // RFC 4954 section 5: an untrusted identity; never passed on.
                "AUTH" => (),
                _ => return self.bad("555 5.5.4 parameter not served").await,
            }
        }
        let address = match address {
            "" => None,
            text => match text.parse::<MailAddress>() {
                Ok(address) => Some(address),
                Err(_) => return self.bad("553 5.1.7 not an address that is taken here").await,
            },
        };
        match self.session.judge(|rights| smtp::sender(rights, address)) {
            Ok(permit) => {
                if self.upstream.is_none() {
                    let found = tokio::select! {
                        biased;
                        // In a box: a session does not hold what its first transaction needs.
                        found = Box::pin(self.gatekeeper.smtp(&self.session)) => found,
                        () = self.client.gone() => return Err(End::Quiet),
                    };
                    match found {
                        Ok(upstream) => self.upstream = Some(upstream),
                        Err(refusal) => return self.answer(&refusal_reply(&refusal, false)).await,
                    }
                }
                self.begin(format!("MAIL FROM:<{}>\r\n", permit.get())).await
            }
            Err(denial) => self.deny("553 5.7.1", &denial).await,
        }
    }

    /// Begins a transaction. An upstream that takes commands in groups (RFC 2920) hears of it with the first recipient, which saves a
    /// round trip; what it has against the sender the tool hears then.
    async fn begin(&mut self, command: String) -> Result<(), End> {
        const ACCEPTED: &str = "2.1.0 sender OK";
        let takes_groups = self.upstream.as_ref().is_some_and(Connection::takes_groups);
        let is_begun = if takes_groups {
            self.unsaid = Some(command);
            self.session.goes_on();
            self.answer(&format!("250 {ACCEPTED}")).await?;
            true
        } else {
            self.pass_on(command, ACCEPTED).await?
        };
        if is_begun {
            self.recipients = Some(0);
            self.told.clear();
        }
        Ok(())
    }

    async fn rcpt(&mut self, rest: &str) -> Result<(), End> {
        let Some(taken) = self.recipients else { return self.bad("503 5.5.1 MAIL comes first").await };
        if taken >= MAX_RECIPIENTS {
            return self.deny("452 4.5.3", &Denial::recipient_count("too many recipients")).await;
        }
        let Some((address, parameters)) = path(rest, "TO:") else {
            return self.bad("501 5.5.4 write RCPT TO:<address>").await;
        };
        if !parameters.is_empty() {
            return self.bad("555 5.5.4 parameter not served").await;
        }
        let Ok(address) = address.parse::<MailAddress>() else {
            return self.bad("553 5.1.3 not an address that is taken here").await;
        };
        match self.session.judge(|rights| smtp::recipient(rights, address)) {
            Ok(permit) => {
                match self.gatekeeper.take(&mut self.session, Budgeted::Recipients, 1, "RCPT TO").await {
                    Ok(Ok(())) => (),
                    // RFC 5321 section 4.5.3.1.10: what was taken so far can be sent; the rest waits.
                    Ok(Err(denial)) => return self.deny("452 4.5.3", &denial).await,
                    Err(refusal) => return self.answer(&refusal_reply(&refusal, false)).await,
                }
                let told = self.gatekeeper.recipient(&self.session, permit.get());
                if self.pass_on(format!("RCPT TO:<{}>\r\n", permit.get()), "2.1.5 recipient OK").await? {
                    self.recipients = Some(taken + 1);
                    self.told.extend(told);
                } else if self.recipients.is_some() {
                    // Refused, with the connection as it was: it has not become a recipient.
                    self.gatekeeper.put_back(&mut self.session, Budgeted::Recipients, 1).await;
                }
                Ok(())
            }
            Err(denial) => self.deny("550 5.7.1", &denial).await,
        }
    }

    pub(super) async fn deny(&mut self, code: &str, denial: &Denial) -> Result<(), End> {
        // A freeze ends: what waits to be sent is tried again, and not given up.
        let code = if denial.rule == Denial::FROZEN { "451 4.7.1" } else { code };
        match self.gatekeeper.deny(&self.session, denial).await {
            Ok(verdict) => self.answer(&format!("{code} {} (verdict {verdict})", denial.text)).await,
            Err(refusal) => self.answer(&refusal_reply(&refusal, false)).await,
        }
    }

    /// Says a permitted command to the upstream; the tool hears what came of it, in our words. Gives whether it was accepted.
    async fn pass_on(&mut self, command: String, accepted: &str) -> Result<bool, End> {
        match self.ask(&command).await.ok() {
            Some(200..300) => {
                self.session.goes_on();
                self.answer(&format!("250 {accepted}")).await.map(|()| true)
            }
            // 421 and the refusals of AUTH speak of our connection, not of the tool's.
            Some(code @ 400..600) if code != 421 && !(530..540).contains(&code) => self
                .answer(&format!("{code} {}.0.0 the mail server behind this mailbox refused", code / 100))
                .await
                .map(|()| false),
            _ => {
                (self.upstream, self.unsaid, self.recipients) = (None, None, None);
                self.answer("451 4.3.0 the mail server behind this mailbox went away").await.map(|()| false)
            }
        }
    }

    /// Says a command to the upstream, together with the MAIL command that it has not heard yet. Gives the code of its answer: to that
    /// MAIL if it refused it, which leaves the other without a transaction.
    async fn ask(&mut self, command: &str) -> Result<u16, UpstreamError> {
        let Self { upstream: Some(Connection { wire, .. }), unsaid, .. } = self else {
            return Err(UpstreamError::Unreachable);
        };
        wire.queue(unsaid.as_deref().unwrap_or_default().as_bytes()).await?;
        wire.send(command.as_bytes()).await?;
        if unsaid.is_some() {
            let sender = reply(wire, COMMAND_TIMEOUT).await?.code;
            if !(200..300).contains(&sender) {
                // Who takes a recipient without a sender cannot be followed.
                let other = reply(wire, COMMAND_TIMEOUT).await?.code;
                return if other < 400 { Err(UpstreamError::Protocol) } else { Ok(sender) };
            }
            *unsaid = None;
        }
        Ok(reply(wire, COMMAND_TIMEOUT).await?.code)
    }
}
