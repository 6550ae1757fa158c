//! The door of a mail listener: a connection before login. What is said there is each protocol's own; how a token is taken, what a
//! failure costs and how TLS begins by command is the same for all.

use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::domain::session::{EndReason, Protocol};
use crate::gateway::gatekeeper::{Gatekeeper, Refusal, Session};
use crate::gateway::stream::{ListenerMode, Peer};
use crate::protocol::sasl::{self, Attempt, Mechanism, SaslError};
use crate::upstream::wire::{Wire, WireError};

/// How long a connection may take until it is authenticated (GW-09).
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// How many failed logins one connection may make.
const MAX_FAILURES: u32 = 3;

/// What LOGIN asks for, in base64: `Username:` and `Password:`.
const LOGIN_CHALLENGES: [&str; 2] = ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"];

/// What a protocol says at its door, and what it remembers of what was said there in the clear.
pub(super) trait Shell: Default {
    /// What is behind the door.
    type Inside;
    /// Why a conversation ends.
    type End: From<WireError>;
    const PROTOCOL: Protocol;
    /// What a challenge begins with.
    const CHALLENGE: &'static str;
    /// How many lines that are no commands one connection may send, and what they are called.
    const MAX_BAD: u32;
    const BAD: &'static str;

    /// Ends the conversation because there was too much of something.
    fn too_many(what: &str) -> Self::End;
}

/// A connection that is not authenticated yet.
pub(super) struct Door<'a, S> {
    pub(super) gatekeeper: &'a Gatekeeper,
    /// The session from the moment that it is on record. Its owner outlives a login that is given up, and closes it then.
    pub(super) admitted: &'a mut Option<Session>,
    pub(super) client: Wire,
    pub(super) shell: S,
    peer: Peer,
    mode: ListenerMode,
    failed_logins: u32,
    bad_lines: u32,
}

/// What a command before login led to.
pub(super) enum Step<T> {
    Next,
    StartTls,
    In(Box<T>),
}

/// A login within the time that there is for one. Otherwise the reason for which a session ends that had been admitted by then.
pub(super) async fn in_time<T>(
    login: impl Future<Output = Option<T>>,
    shutdown: &CancellationToken,
) -> Result<T, &'static str> {
    tokio::select! {
        outcome = tokio::time::timeout(LOGIN_TIMEOUT, login) => outcome.map_err(|_| "upstream")?.ok_or("tool"),
        () = shutdown.cancelled() => Err(EndReason::Shutdown.as_str()),
    }
}

impl<'a, S: Shell> Door<'a, S> {
    pub(super) fn new(
        gatekeeper: &'a Gatekeeper,
        admitted: &'a mut Option<Session>,
        client: Wire,
        peer: Peer,
        mode: ListenerMode,
    ) -> Self {
        Self { gatekeeper, admitted, client, shell: S::default(), peer, mode, failed_logins: 0, bad_lines: 0 }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.mode, ListenerMode::ImplicitTls)
    }

    pub(super) async fn answer(&mut self, text: &str) -> Result<Step<S::Inside>, S::End> {
        self.client.send(format!("{text}\r\n").as_bytes()).await?;
        Ok(Step::Next)
    }

    /// Answers a line that is no command.
    pub(super) async fn bad(&mut self, text: &str) -> Result<Step<S::Inside>, S::End> {
        self.bad_lines += 1;
        if self.bad_lines >= S::MAX_BAD { Err(S::too_many(S::BAD)) } else { self.answer(text).await }
    }

    /// Answers a login that was cancelled, or is malformed.
    pub(super) async fn cancelled(&mut self, text: &str) -> Result<Step<S::Inside>, S::End> {
        self.failed_logins += 1;
        if self.failed_logins >= MAX_FAILURES { Err(S::too_many("failed logins")) } else { self.answer(text).await }
    }

    /// Takes what a mechanism needs; `None` when the tool cancels with `*` or sends no base64.
    pub(super) async fn exchange(
        &mut self,
        mechanism: Mechanism,
        initial: Option<Result<Zeroizing<Vec<u8>>, SaslError>>,
    ) -> Result<Option<Result<Attempt, SaslError>>, S::End> {
        let is_login = mechanism == Mechanism::Login;
        let [user, password] = LOGIN_CHALLENGES;
        let first = match initial {
            Some(initial) => initial,
            None => self.response(if is_login { user } else { "" }).await?,
        };
        let Ok(first) = first else { return Ok(None) };
        if !is_login {
            return Ok(Some(sasl::parse(mechanism, &first)));
        }
        let password = self.response(password).await?;
        Ok(password.ok().map(|password| sasl::login(&first, &password)))
    }

    /// Asks for one response.
    async fn response(&mut self, challenge: &str) -> Result<Result<Zeroizing<Vec<u8>>, SaslError>, S::End> {
        self.client.send(format!("{} {challenge}\r\n", S::CHALLENGE).as_bytes()).await?;
        let line = Zeroizing::new(self.client.line(sasl::MAX_LINE).await?);
        Ok(sasl::decode(&line))
    }

    /// Admits a tool, or says why not. `None`: nothing is encrypted, and what the tool sent is known to others now.
    pub(super) async fn admit(
        &mut self,
        attempt: Option<Attempt>,
        mechanism: Option<Mechanism>,
    ) -> Option<Result<(), Refusal>> {
        if !self.is_encrypted() {
            if let Some(attempt) = &attempt {
                self.gatekeeper.exposed(&attempt.token, self.peer.address).await;
            }
            return None;
        }
        Some(match &attempt {
            Some(attempt) => {
                let admitted = self.gatekeeper.admit(attempt, S::PROTOCOL, &self.peer).await;
                admitted.map(|session| *self.admitted = Some(session))
            }
            None => Err(self.gatekeeper.unread(mechanism, S::PROTOCOL, &self.peer).await),
        })
    }

    /// Answers a login that was refused.
    pub(super) async fn refuse(&mut self, mechanism: Option<Mechanism>, text: &str) -> Result<Step<S::Inside>, S::End> {
        self.failed_logins += 1;
        if let Some(mechanism) = mechanism
            && mechanism.has_failure_challenge()
        {
            // RFC 7628 section 3.2.3: the client answers the challenge, whatever with, and then hears the outcome.
            let challenge = sasl::failure_challenge(mechanism);
            self.client.send(format!("{} {challenge}\r\n", S::CHALLENGE).as_bytes()).await?;
            self.client.line(sasl::MAX_LINE).await?;
        }
        self.answer(text).await?;
        if self.failed_logins >= MAX_FAILURES {
            return Err(S::too_many("failed logins"));
        }
        // Each failure costs more time than the one before.
        tokio::time::sleep(Duration::from_millis(250 << self.failed_logins)).await;
        Ok(Step::Next)
    }

    /// Begins TLS. What was learnt in the clear is forgotten (RFC 2595 section 4).
    pub(super) async fn start_tls(self) -> Option<Self> {
        let ListenerMode::StartTls(config) = &self.mode else { return None };
        let acceptor = TlsAcceptor::from(Arc::clone(config));
        let tls = acceptor.accept(self.client.into_stream()).await.ok()?;
        let peer = self.peer.behind(&tls);
        Some(Self {
            client: Wire::new(Box::new(tls)),
            shell: S::default(),
            peer,
            mode: ListenerMode::ImplicitTls,
            ..self
        })
    }
}
