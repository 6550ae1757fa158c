//! Before login: greeting, STARTTLS, and the four ways to present a token.

use imap_codec::imap_types::command::CommandBody;
use tokio_rustls::TlsAcceptor;

use crate::domain::session::Protocol;
use crate::gateway::gatekeeper::{Gatekeeper, Session};
use crate::gateway::imap::capability;
use crate::gateway::imap::input::{self, Budget, Input};
use crate::gateway::imap::{End, refusal_text, say_goodbye};
use crate::gateway::stream::{ListenerMode, Peer};
use crate::protocol::imap::{command, framing};
use crate::protocol::sasl::{self, Attempt, Mechanism};
use crate::upstream::imap::Connection;
use crate::upstream::wire::Wire;

/// How many failed logins, and how many lines that are no commands, one connection may make.
const MAX_FAILURES: u32 = 3;

/// Longest line but for AUTHENTICATE, which carries a token (GW-09).
const MAX_LINE: usize = 8192;

/// Most fields of an ID (RFC 2971 section 3.3).
const MAX_ID_PAIRS: usize = 30;

/// A connection that is not authenticated yet.
struct Door<'a> {
    gatekeeper: &'a Gatekeeper,
    client: Wire,
    peer: Peer,
    mode: ListenerMode,
    failed_logins: u32,
    bad_lines: u32,
}

/// What a command before login led to.
enum Step {
    Next,
    StartTls,
    In(Box<(Session, Connection)>),
}

/// Leads a connection to a session, or closes it.
pub(super) async fn login(
    gatekeeper: &Gatekeeper,
    client: Wire,
    peer: Peer,
    mode: ListenerMode,
) -> Option<(Wire, Session, Connection)> {
    let mut door = Door { gatekeeper, client, peer, mode, failed_logins: 0, bad_lines: 0 };
    let greeting = format!("* OK [CAPABILITY {}] {} ready\r\n", door.capabilities(), gatekeeper.hostname());
    door.client.send(greeting.as_bytes()).await.ok()?;
    loop {
        match door.step().await {
            Ok(Step::Next) => (),
            Ok(Step::StartTls) => door = door.start_tls().await?,
            Ok(Step::In(inside)) => {
                let (session, upstream) = *inside;
                return Some((door.client, session, upstream));
            }
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

    fn capabilities(&self) -> String {
        capability::before_login(self.is_encrypted())
    }

    async fn answer(&mut self, text: &str) -> Result<Step, End> {
        self.client.send(format!("{text}\r\n").as_bytes()).await?;
        Ok(Step::Next)
    }

    async fn bad(&mut self, tag: &str) -> Result<Step, End> {
        self.bad_lines += 1;
        if self.bad_lines >= MAX_FAILURES {
            return Err(End::Bye("too many malformed commands".to_owned()));
        }
        self.answer(&format!("{tag} BAD unknown or malformed command")).await
    }

    async fn step(&mut self) -> Result<Step, End> {
        let line = self.client.line(Budget::BEFORE_LOGIN.octets).await?;
        if [&b"GET "[..], b"POST ", b"PUT ", b"HEAD ", b"OPTIONS ", b"CONNECT "]
            .iter()
            .any(|verb| line.starts_with(verb))
        {
            // A browser was led here (ALPACA); nothing of what it sends is answered.
            return Err(End::Quiet);
        }
        let Some((tag, rest)) = framing::split_tag(&line) else { return self.bad("*").await };
        let is_long_allowed = rest.get(..13).is_some_and(|word| word.eq_ignore_ascii_case(b"AUTHENTICATE "));
        if line.len() > MAX_LINE && !is_long_allowed {
            return Err(End::Bye("[TOOBIG] line too long".to_owned()));
        }
        let tag = tag.to_owned();
        if rest.eq_ignore_ascii_case(b"STARTTLS") {
            return match self.mode {
                ListenerMode::StartTls(_) => {
                    self.answer(&format!("{tag} OK begin TLS now")).await?;
                    Ok(Step::StartTls)
                }
                ListenerMode::ImplicitTls => self.answer(&format!("{tag} BAD TLS is on already")).await,
            };
        }
        let bytes = match input::rest_of(&mut self.client, line, Budget::BEFORE_LOGIN, false).await? {
            Input::Command(bytes) => zeroize::Zeroizing::new(bytes),
            Input::Append(..) | Input::Refused => return Ok(Step::Next),
        };
        let Ok(command) = command::parse(&bytes) else { return self.bad(&tag).await };
        match command.body {
            CommandBody::Capability => {
                let list = self.capabilities();
                self.answer(&format!("* CAPABILITY {list}\r\n{tag} OK done")).await
            }
            CommandBody::Noop => self.answer(&format!("{tag} OK done")).await,
            CommandBody::Id { parameters } if parameters.as_ref().is_some_and(|pairs| pairs.len() > MAX_ID_PAIRS) => {
                self.bad(&tag).await
            }
            CommandBody::Id { .. } => self.answer(&format!("* ID NIL\r\n{tag} OK done")).await,
            CommandBody::Logout => {
                self.answer(&format!("* BYE see you\r\n{tag} OK done")).await?;
                Err(End::Quiet)
            }
            CommandBody::Login { username, password } => {
                let attempt = sasl::login(username.as_ref(), password.declassify().as_ref());
                self.attempt(&tag, attempt.ok(), None).await
            }
            CommandBody::Authenticate { mechanism, initial_response } => {
                let initial = initial_response.map(|secret| zeroize::Zeroizing::new(secret.declassify().to_vec()));
                self.authenticate(&tag, mechanism.as_ref(), initial).await
            }
            _ => self.answer(&format!("{tag} BAD log in first")).await,
        }
    }

    async fn authenticate(
        &mut self,
        tag: &str,
        name: &str,
        initial: Option<zeroize::Zeroizing<Vec<u8>>>,
    ) -> Result<Step, End> {
        let Some(mechanism) = Mechanism::parse(name) else {
            return self.answer(&format!("{tag} NO [CANNOT] unknown mechanism")).await;
        };
        if !self.is_encrypted() && (initial.is_none() || mechanism == Mechanism::Login) {
            // Refused before anything secret is asked for.
            return self.answer(&format!("{tag} NO [PRIVACYREQUIRED] use STARTTLS first")).await;
        }
        let attempt = if mechanism == Mechanism::Login {
            let user = match initial {
                Some(user) => Some(user),
                None => self.response("VXNlcm5hbWU6").await?,
            };
            let password = if user.is_some() { self.response("UGFzc3dvcmQ6").await? } else { None };
            let (Some(user), Some(password)) = (user, password) else { return self.cancelled(tag).await };
            sasl::login(&user, &password)
        } else {
            let response = match initial {
                Some(initial) => Some(initial),
                None => self.response("").await?,
            };
            let Some(response) = response else { return self.cancelled(tag).await };
            sasl::parse(mechanism, &response)
        };
        self.attempt(tag, attempt.ok(), Some(mechanism)).await
    }

    /// Asks for one response; `None` when the tool cancels with `*` or sends no base64.
    async fn response(&mut self, challenge: &str) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, End> {
        self.client.send(format!("+ {challenge}\r\n").as_bytes()).await?;
        let line = zeroize::Zeroizing::new(self.client.line(sasl::MAX_LINE).await?);
        Ok(sasl::decode(&line).ok())
    }

    async fn cancelled(&mut self, tag: &str) -> Result<Step, End> {
        self.failed_logins += 1;
        if self.failed_logins >= MAX_FAILURES {
            return Err(End::Bye("too many failed logins".to_owned()));
        }
        self.answer(&format!("{tag} BAD authentication cancelled or malformed")).await
    }

    async fn attempt(
        &mut self,
        tag: &str,
        attempt: Option<Attempt>,
        mechanism: Option<Mechanism>,
    ) -> Result<Step, End> {
        if !self.is_encrypted() {
            if let Some(attempt) = &attempt {
                self.gatekeeper.exposed(&attempt.token, self.peer.address).await;
            }
            return self
                .answer(&format!("{tag} NO [PRIVACYREQUIRED] use STARTTLS first; what you sent is known to others now"))
                .await;
        }
        let outcome = match &attempt {
            Some(attempt) => self.gatekeeper.admit(attempt, Protocol::Imap, &self.peer).await,
            None => Err(self.gatekeeper.unread(mechanism, Protocol::Imap, &self.peer).await),
        };
        let refusal = match outcome {
            Ok(session) => {
                let found = tokio::select! {
                    biased;
                    found = self.gatekeeper.imap(&session) => Some(found),
                    () = self.client.gone() => None,
                };
                match found {
                    Some(Ok(upstream)) => {
                        let list = capability::after_login(&upstream.capabilities, self.gatekeeper.costly_search());
                        self.answer(&format!("{tag} OK [CAPABILITY {list}] logged in")).await?;
                        return Ok(Step::In(Box::new((session, upstream))));
                    }
                    Some(Err(refusal)) => {
                        self.gatekeeper.close(session, "upstream").await;
                        refusal
                    }
                    None => {
                        self.gatekeeper.close(session, "tool").await;
                        return Err(End::Quiet);
                    }
                }
            }
            Err(refusal) if refusal.is_last => {
                // A failure challenge would say that the token is bad.
                self.answer(&format!("{tag} NO {}", refusal_text(&refusal))).await?;
                return Err(End::Bye(refusal.text));
            }
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
        self.answer(&format!("{tag} NO {}", refusal_text(&refusal))).await?;
        if self.failed_logins >= MAX_FAILURES {
            return Err(End::Bye("too many failed logins".to_owned()));
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
