//! Before login: EHLO, STARTTLS, AUTH (RFC 4954).

use crate::domain::session::Protocol;
use crate::gateway::door::{Door, Shell, Step};
use crate::gateway::gatekeeper::{Gatekeeper, Session};
use crate::gateway::goodbye;
use crate::gateway::smtp::{End, refusal_reply};
use crate::gateway::stream::{ListenerMode, Peer};
use crate::protocol::sasl::{self, Attempt, Mechanism};
use crate::protocol::smtp::verb;
use crate::upstream::wire::Wire;

/// What SMTP says at its door.
#[derive(Default)]
struct Smtp;

impl Shell for Smtp {
    type Inside = ();
    type End = End;
    const PROTOCOL: Protocol = Protocol::Smtp;
    const CHALLENGE: &'static str = "334";
    const MAX_BAD: u32 = 10;
    const BAD: &'static str = "bad commands";

    fn too_many(what: &str) -> End {
        End::Say(format!("421 4.7.0 too many {what}"))
    }
}

pub(super) async fn login(
    gatekeeper: &Gatekeeper,
    admitted: &mut Option<Session>,
    client: Wire,
    peer: Peer,
    mode: ListenerMode,
) -> Option<Wire> {
    let mut door = Door::<Smtp>::new(gatekeeper, admitted, client, peer, mode);
    door.answer(&format!("220 {} ESMTP", gatekeeper.hostname())).await.ok()?;
    loop {
        match door.step().await {
            Ok(Step::Next) => (),
            Ok(Step::StartTls) => door = door.start_tls().await?,
            Ok(Step::In(_)) => return Some(door.client),
            Err(end) => {
                goodbye::say(&mut door.client, end.last_word()).await;
                goodbye::linger(&mut door.client).await;
                return None;
            }
        }
    }
}

/// The answer to EHLO.
pub(super) fn ehlo(gatekeeper: &Gatekeeper, is_encrypted: bool) -> String {
    let mut lines = vec![
        gatekeeper.hostname().to_owned(),
        "PIPELINING".to_owned(),
        "8BITMIME".to_owned(),
        "ENHANCEDSTATUSCODES".to_owned(),
    ];
    lines.push(format!("SIZE {}", gatekeeper.max_message_bytes()));
    if is_encrypted {
        let names: Vec<_> = Mechanism::ALL.iter().map(|mechanism| mechanism.as_str()).collect();
        lines.push(format!("AUTH {}", names.join(" ")));
    } else {
        lines.push("STARTTLS".to_owned());
    }
    let last = lines.len() - 1;
    lines
        .iter()
        .enumerate()
        .map(|(row, line)| format!("250{}{line}\r\n", if row == last { ' ' } else { '-' }))
        .collect()
}

impl Door<'_, Smtp> {
    async fn step(&mut self) -> Result<Step<()>, End> {
        let line = zeroize::Zeroizing::new(self.client.line(sasl::MAX_LINE).await?);
        let Some((verb, rest)) = verb(&line) else { return self.bad("500 5.5.2 command not understood").await };
        match verb.as_str() {
            "EHLO" => {
                let text = ehlo(self.gatekeeper, self.is_encrypted());
                self.client.send(text.as_bytes()).await?;
                Ok(Step::Next)
            }
            "HELO" => self.answer(&format!("250 {}", self.gatekeeper.hostname())).await,
            "STARTTLS" if !self.is_encrypted() => {
                self.answer("220 2.0.0 begin TLS now").await?;
                Ok(Step::StartTls)
            }
            "STARTTLS" => self.answer("503 5.5.1 TLS is on already").await,
            "AUTH" => self.auth(rest).await,
            "NOOP" | "RSET" => self.answer("250 2.0.0 OK").await,
            "QUIT" => Err(End::Say("221 2.0.0 bye".to_owned())),
            // A browser was led here (ALPACA); nothing of what it sends is answered.
            "GET" | "POST" | "PUT" | "HEAD" | "OPTIONS" | "CONNECT" => Err(End::Quiet),
            "MAIL" | "RCPT" | "DATA" => self.bad("530 5.7.0 authentication required").await,
            _ => self.bad("502 5.5.1 command not served").await,
        }
    }

    async fn auth(&mut self, rest: &str) -> Result<Step<()>, End> {
        let (name, initial) = rest.split_once(' ').map_or((rest, None), |(name, initial)| (name, Some(initial)));
        let Some(mechanism) = Mechanism::parse(name) else { return self.bad("504 5.5.4 unknown mechanism").await };
        if !self.is_encrypted() && (initial.is_none() || mechanism == Mechanism::Login) {
            // Nothing more that is secret is asked for; the first message of LOGIN is but the user name.
            return self.answer("538 5.7.11 use STARTTLS first").await;
        }
        match self.exchange(mechanism, initial.map(sasl::initial)).await? {
            Some(attempt) => self.attempt(attempt.ok(), mechanism).await,
            None => self.cancelled("501 5.5.2 authentication cancelled or malformed").await,
        }
    }

    async fn attempt(&mut self, attempt: Option<Attempt>, mechanism: Mechanism) -> Result<Step<()>, End> {
        match self.admit(attempt, Some(mechanism)).await {
            Some(Ok(())) => {
                self.answer("235 2.7.0 authenticated").await?;
                Ok(Step::In(Box::new(())))
            }
            // A failure challenge would say that the token is bad.
            Some(Err(refusal)) if refusal.is_last => Err(End::Say(refusal_reply(&refusal, true))),
            Some(Err(refusal)) => self.refuse(Some(mechanism), &refusal_reply(&refusal, true)).await,
            None => self.answer("538 5.7.11 use STARTTLS first; what you sent is known to others now").await,
        }
    }
}
