//! Before login: EHLO, STARTTLS, AUTH (RFC 4954).

use tokio_rustls::TlsAcceptor;

use crate::domain::session::Protocol;
use crate::gateway::gatekeeper::{Gatekeeper, Session};
use crate::gateway::smtp::{End, refusal_reply, say_goodbye};
use crate::gateway::stream::{ListenerMode, Peer};
use crate::protocol::sasl::{self, Attempt, Mechanism};
use crate::protocol::smtp::verb;
use crate::upstream::wire::Wire;

/// How many failed logins, and how many bad commands, one connection may make.
const MAX_FAILURES: u32 = 3;
const MAX_BAD: u32 = 10;

struct Door<'a> {
    gatekeeper: &'a Gatekeeper,
    client: Wire,
    peer: Peer,
    mode: ListenerMode,
    failed_logins: u32,
    bad: u32,
}

enum Step {
    Next,
    StartTls,
    In(Box<Session>),
}

pub(super) async fn login(
    gatekeeper: &Gatekeeper,
    client: Wire,
    peer: Peer,
    mode: ListenerMode,
) -> Option<(Wire, Session)> {
    let mut door = Door { gatekeeper, client, peer, mode, failed_logins: 0, bad: 0 };
    door.client.send(format!("220 {} ESMTP\r\n", gatekeeper.hostname()).as_bytes()).await.ok()?;
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

impl Door<'_> {
    fn is_encrypted(&self) -> bool {
        matches!(self.mode, ListenerMode::ImplicitTls)
    }

    async fn answer(&mut self, text: &str) -> Result<Step, End> {
        self.client.send(format!("{text}\r\n").as_bytes()).await?;
        Ok(Step::Next)
    }

    async fn step(&mut self) -> Result<Step, End> {
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

    async fn bad(&mut self, text: &str) -> Result<Step, End> {
        self.bad += 1;
        if self.bad >= MAX_BAD {
            Err(End::Say("421 4.7.0 too many bad commands".to_owned()))
        } else {
            self.answer(text).await
        }
    }

    async fn auth(&mut self, rest: &str) -> Result<Step, End> {
        let (name, initial) = rest.split_once(' ').map_or((rest, None), |(name, initial)| (name, Some(initial)));
        let Some(mechanism) = Mechanism::parse(name) else { return self.bad("504 5.5.4 unknown mechanism").await };
        if !self.is_encrypted() && (initial.is_none() || mechanism == Mechanism::Login) {
            // Nothing more that is secret is asked for; the first message of LOGIN is but the user name.
            return self.answer("538 5.7.11 use STARTTLS first").await;
        }
        let first = match initial {
            Some("=") => Some(zeroize::Zeroizing::new(Vec::new())),
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
        self.attempt(attempt.ok(), mechanism).await
    }

    async fn response(&mut self, challenge: &str) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, End> {
        self.client.send(format!("334 {challenge}\r\n").as_bytes()).await?;
        let line = zeroize::Zeroizing::new(self.client.line(sasl::MAX_LINE).await?);
        Ok(sasl::decode(&line).ok())
    }

    async fn malformed(&mut self) -> Result<Step, End> {
        self.failed_logins += 1;
        if self.failed_logins >= MAX_FAILURES {
            return Err(End::Say("421 4.7.0 too many failed logins".to_owned()));
        }
        self.answer("501 5.5.2 authentication cancelled or malformed").await
    }

    async fn attempt(&mut self, attempt: Option<Attempt>, mechanism: Mechanism) -> Result<Step, End> {
        if !self.is_encrypted() {
            if let Some(attempt) = &attempt {
                self.gatekeeper.exposed(&attempt.token, self.peer.address).await;
            }
            return self.answer("538 5.7.11 use STARTTLS first; what you sent is known to others now").await;
        }
        let outcome = match &attempt {
            Some(attempt) => self.gatekeeper.admit(attempt, Protocol::Smtp, &self.peer).await,
            None => Err(self.gatekeeper.unread(Some(mechanism), Protocol::Smtp, &self.peer).await),
        };
        let refusal = match outcome {
            Ok(session) => {
                self.answer("235 2.7.0 authenticated").await?;
                return Ok(Step::In(Box::new(session)));
            }
            // A failure challenge would say that the token is bad.
            Err(refusal) if refusal.is_last => return Err(End::Say(refusal_reply(&refusal, true))),
            Err(refusal) => refusal,
        };
        self.failed_logins += 1;
        if mechanism.has_failure_challenge() {
            // RFC 7628 section 3.2.3: the client answers the challenge, whatever with, and then hears the outcome.
            self.client.send(format!("334 {}\r\n", sasl::failure_challenge(mechanism)).as_bytes()).await?;
            self.client.line(sasl::MAX_LINE).await?;
        }
        self.answer(&refusal_reply(&refusal, true)).await?;
        if self.failed_logins >= MAX_FAILURES {
            return Err(End::Say("421 4.7.0 too many failed logins".to_owned()));
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
        Some(Self { client: Wire::new(Box::new(tls)), peer, mode: ListenerMode::ImplicitTls, ..self })
    }
}
