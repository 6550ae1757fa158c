//! Before login: greeting, STLS (RFC 2595), AUTH (RFC 5034) and USER with PASS.

use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::domain::session::Protocol;
use crate::gateway::gatekeeper::{Gatekeeper, Session};
use crate::gateway::pop3::capability::{self, Stage};
use crate::gateway::pop3::{End, refusal_reply, say_goodbye};
use crate::gateway::stream::{ListenerMode, Peer};
use crate::protocol::pop3::command::{MAX_STRANGERS_LINE, verb};
use crate::protocol::sasl::{self, Attempt, Mechanism};
use crate::upstream::wire::Wire;

/// How many failed logins, and how many lines that are no commands, one connection may make.
const MAX_FAILURES: u32 = 3;

/// A connection that is not authenticated yet.
struct Door<'a> {
    gatekeeper: &'a Gatekeeper,
    client: Wire,
    peer: Peer,
    mode: ListenerMode,
    /// What USER said.
    user: Option<String>,
    failed_logins: u32,
    bad_lines: u32,
}

/// What a command before login led to.
enum Step {
    Next,
    StartTls,
    In(Box<Session>),
}

/// Leads a connection to a session, or closes it. The tool does not know yet that it is in: its maildrop has to be opened first.
pub(super) async fn login(
    gatekeeper: &Gatekeeper,
    client: Wire,
    peer: Peer,
    mode: ListenerMode,
) -> Option<(Wire, Session)> {
    let mut door = Door { gatekeeper, client, peer, mode, user: None, failed_logins: 0, bad_lines: 0 };
    door.client.send(format!("+OK {} ready\r\n", gatekeeper.hostname()).as_bytes()).await.ok()?;
    loop {
        match door.step().await {
            Ok(Step::Next) => (),
            Ok(Step::StartTls) => door = door.start_tls().await?,
            Ok(Step::In(session)) => return Some((door.client, *session)),
            Err(end) => {
                say_goodbye(&mut door.client, end).await;
                return None;
            }
        }
    }
}

impl Door<'_> {
    fn is_encrypted(&self) -> bool {
        matches!(self.mode, ListenerMode::ImplicitTls)
    }

    async fn answer(&mut self, text: &str) -> Result<Step, End> {
        self.client.send(format!("{text}\r\n").as_bytes()).await?;
        Ok(Step::Next)
    }

    async fn bad(&mut self, text: &str) -> Result<Step, End> {
        self.bad_lines += 1;
        if self.bad_lines >= MAX_FAILURES {
            return Err(End::Say("-ERR too many malformed commands".to_owned()));
        }
        self.answer(text).await
    }

    async fn step(&mut self) -> Result<Step, End> {
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
                self.user = Some(user.to_owned());
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

    async fn pass(&mut self, password: &str) -> Result<Step, End> {
        let user = match self.user.take() {
            Some(user) => user,
            None if self.is_encrypted() => return self.bad("-ERR USER comes first").await,
            // It was refused, and the password came all the same.
            None => "-".to_owned(),
        };
        let attempt = sasl::login(user.as_bytes(), password.as_bytes());
        self.attempt(attempt.ok(), None).await
    }

    async fn auth(&mut self, rest: &str) -> Result<Step, End> {
        let (name, initial) = rest.split_once(' ').map_or((rest, None), |(name, initial)| (name, Some(initial)));
        let Some(mechanism) = Mechanism::parse(name) else { return self.bad("-ERR unknown mechanism").await };
        if !self.is_encrypted() && (initial.is_none() || mechanism == Mechanism::Login) {
            // Refused before anything secret is asked for; the first message of LOGIN is but the user name.
            return self.answer("-ERR use STLS first").await;
        }
        let first = match initial {
            Some("=") => Some(Zeroizing::new(Vec::new())),
            Some(text) => sasl::decode(text.as_bytes()).ok(),
            None if mechanism == Mechanism::Login => self.response("VXNlcm5hbWU6").await?,
            None => self.response("").await?,
        };
        let Some(first) = first else { return self.malformed().await };
        let attempt = if mechanism == Mechanism::Login {
            let Some(password) = self.response("UGFzc3dvcmQ6").await? else { return self.malformed().await };
            sasl::login(&first, &password)
        } else {
            sasl::parse(mechanism, &first)
        };
        self.attempt(attempt.ok(), Some(mechanism)).await
    }

    /// Asks for one response; `None` when the tool cancels with `*` or sends no base64.
    async fn response(&mut self, challenge: &str) -> Result<Option<Zeroizing<Vec<u8>>>, End> {
        self.client.send(format!("+ {challenge}\r\n").as_bytes()).await?;
        let line = Zeroizing::new(self.client.line(sasl::MAX_LINE).await?);
        Ok(sasl::decode(&line).ok())
    }

    async fn malformed(&mut self) -> Result<Step, End> {
        self.failed_logins += 1;
        if self.failed_logins >= MAX_FAILURES {
            return Err(End::Say("-ERR too many failed logins".to_owned()));
        }
        self.answer("-ERR authentication cancelled or malformed").await
    }

    async fn attempt(&mut self, attempt: Option<Attempt>, mechanism: Option<Mechanism>) -> Result<Step, End> {
        if !self.is_encrypted() {
            if let Some(attempt) = &attempt {
                self.gatekeeper.exposed(&attempt.token, self.peer.address).await;
            }
            return self.answer("-ERR use STLS first; what you sent is known to others now").await;
        }
        let outcome = match &attempt {
            Some(attempt) => self.gatekeeper.admit(attempt, Protocol::Pop3, &self.peer).await,
            None => Err(self.gatekeeper.unread(mechanism, Protocol::Pop3, &self.peer).await),
        };
        let refusal = match outcome {
            Ok(session) => return Ok(Step::In(Box::new(session))),
            // A failure challenge would say that the token is bad.
            Err(refusal) if refusal.is_last => return Err(End::Say(refusal_reply(&refusal))),
            Err(refusal) => refusal,
        };
        self.failed_logins += 1;
        if let Some(mechanism) = mechanism
            && mechanism.has_failure_challenge()
        {
            // RFC 7628 section 3.2.3: the client answers the challenge, whatever with, and then hears the outcome.
            self.client.send(format!("+ {}\r\n", sasl::failure_challenge(mechanism)).as_bytes()).await?;
            self.client.line(sasl::MAX_LINE).await?;
        }
        self.answer(&refusal_reply(&refusal)).await?;
        if self.failed_logins >= MAX_FAILURES {
            return Err(End::Say("-ERR too many failed logins".to_owned()));
        }
        // Each failure costs more time than the one before.
        tokio::time::sleep(std::time::Duration::from_millis(250 << self.failed_logins)).await;
        Ok(Step::Next)
    }

    async fn start_tls(self) -> Option<Self> {
        let ListenerMode::StartTls(config) = &self.mode else { return None };
        let acceptor = TlsAcceptor::from(std::sync::Arc::clone(config));
        let tls = acceptor.accept(self.client.into_stream()).await.ok()?;
        let peer = self.peer.behind(&tls);
        // RFC 2595 section 4: what was learnt in the clear is forgotten.
        Some(Self { client: Wire::new(Box::new(tls)), peer, mode: ListenerMode::ImplicitTls, user: None, ..self })
    }
}
