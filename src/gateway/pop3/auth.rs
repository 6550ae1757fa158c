//! Before login: greeting, STLS (RFC 2595), AUTH (RFC 5034) and USER with PASS.

use zeroize::Zeroizing;

use crate::domain::session::Protocol;
use crate::gateway::door::{Door, Shell, Step};
use crate::gateway::gatekeeper::{Gatekeeper, Session};
use crate::gateway::goodbye;
use crate::gateway::pop3::capability::{self, Stage};
use crate::gateway::pop3::{End, refusal_reply};
use crate::gateway::stream::{ListenerMode, Peer};
use crate::protocol::pop3::command::{MAX_STRANGERS_LINE, verb};
use crate::protocol::sasl::{self, Attempt, Mechanism};
use crate::upstream::wire::Wire;

/// What POP3 says at its door.
#[derive(Default)]
struct Pop3 {
    /// What USER said.
    user: Option<String>,
}

impl Shell for Pop3 {
    type Inside = ();
    type End = End;
    const PROTOCOL: Protocol = Protocol::Pop3;
    const CHALLENGE: &'static str = "+";
    const MAX_BAD: u32 = 3;
    const BAD: &'static str = "malformed commands";

    fn too_many(what: &str) -> End {
        End::Say(format!("-ERR too many {what}"))
    }
}

/// Leads a connection to a session, or closes it. The tool does not know yet that it is in: its maildrop has to be opened first.
pub(super) async fn login(
    gatekeeper: &Gatekeeper,
    admitted: &mut Option<Session>,
    client: Wire,
    peer: Peer,
    mode: ListenerMode,
) -> Option<Wire> {
    let mut door = Door::<Pop3>::new(gatekeeper, admitted, client, peer, mode);
    door.answer(&format!("+OK {} ready", gatekeeper.hostname())).await.ok()?;
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

impl Door<'_, Pop3> {
    async fn step(&mut self) -> Result<Step<()>, End> {
        let line = Zeroizing::new(self.client.line(sasl::MAX_LINE).await?);
        let (verb, rest) = match verb(&line) {
            Some((verb, rest)) => (verb, rest.to_owned()),
            None => (String::new(), String::new()),
        };
        let rest = Zeroizing::new(rest);
        if line.len() > MAX_STRANGERS_LINE && !matches!(verb.as_str(), "AUTH" | "PASS") {
            return Err(End::Say("-ERR line too long".to_owned()));
        }
        match (verb.as_str(), rest.as_str()) {
            ("CAPA", "") => {
                let stage = if self.is_encrypted() { Stage::Stranger } else { Stage::Clear };
                self.client.send(capability::capa(stage).as_bytes()).await?;
                Ok(Step::Next)
            }
            ("STLS", "") if !self.is_encrypted() => {
                self.answer("+OK begin TLS now").await?;
                Ok(Step::StartTls)
            }
            ("STLS", "") => self.answer("-ERR TLS is on already").await,
            ("AUTH", "") if self.is_encrypted() => {
                self.client.send(capability::mechanisms().as_bytes()).await?;
                Ok(Step::Next)
            }
            ("AUTH", rest) => self.auth(rest).await,
            ("USER", _) if !self.is_encrypted() => self.answer("-ERR use STLS first").await,
            ("USER", user) if !user.is_empty() => {
                self.shell.user = Some(user.to_owned());
                self.answer("+OK send PASS").await
            }
            ("PASS", password) => self.pass(password).await,
            ("QUIT", "") => Err(End::Say("+OK see you".to_owned())),
            // A browser was led here (ALPACA); nothing of what it sends is answered.
            ("GET" | "POST" | "PUT" | "HEAD" | "OPTIONS" | "CONNECT", _) => Err(End::Quiet),
            ("STAT" | "LIST" | "UIDL" | "RETR" | "TOP" | "DELE" | "RSET" | "NOOP", _) => {
                self.bad("-ERR log in first").await
            }
            _ => self.bad("-ERR unknown or malformed command").await,
        }
    }

    async fn pass(&mut self, password: &str) -> Result<Step<()>, End> {
        let user = match self.shell.user.take() {
            Some(user) => user,
            None if self.is_encrypted() => return self.bad("-ERR USER comes first").await,
            // It was refused, and the password came all the same.
            None => "-".to_owned(),
        };
        let attempt = sasl::login(user.as_bytes(), password.as_bytes());
        self.attempt(attempt.ok(), None).await
    }

    async fn auth(&mut self, rest: &str) -> Result<Step<()>, End> {
        let (name, initial) = rest.split_once(' ').map_or((rest, None), |(name, initial)| (name, Some(initial)));
        let Some(mechanism) = Mechanism::parse(name) else { return self.bad("-ERR unknown mechanism").await };
        if !self.is_encrypted() && (initial.is_none() || mechanism == Mechanism::Login) {
            // Refused before anything secret is asked for; the first message of LOGIN is but the user name.
            return self.answer("-ERR use STLS first").await;
        }
        match self.exchange(mechanism, initial.map(sasl::initial)).await? {
            Some(attempt) => self.attempt(attempt.ok(), Some(mechanism)).await,
            None => self.cancelled("-ERR authentication cancelled or malformed").await,
        }
    }

    async fn attempt(&mut self, attempt: Option<Attempt>, mechanism: Option<Mechanism>) -> Result<Step<()>, End> {
        match self.admit(attempt, mechanism).await {
            Some(Ok(())) => Ok(Step::In(Box::new(()))),
            // A failure challenge would say that the token is bad.
            Some(Err(refusal)) if refusal.is_last => Err(End::Say(refusal_reply(&refusal))),
            Some(Err(refusal)) => self.refuse(mechanism, &refusal_reply(&refusal)).await,
            None => self.answer("-ERR use STLS first; what you sent is known to others now").await,
        }
    }
}
