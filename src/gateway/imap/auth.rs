//! Before login: greeting, STARTTLS, and the four ways to present a token.

use imap_codec::imap_types::command::CommandBody;

use crate::domain::fault::Fault;
use crate::domain::session::{EndReason, Protocol};
use crate::gateway::door::{Door, Shell, Step};
use crate::gateway::gatekeeper::{Gatekeeper, Refusal, Session};
use crate::gateway::goodbye;
use crate::gateway::imap::capability;
use crate::gateway::imap::input::{self, Budget, Input};
use crate::gateway::imap::{End, refusal_text};
use crate::gateway::stream::{ListenerMode, Peer};
use crate::protocol::imap::{command, framing};
use crate::protocol::sasl::{self, Attempt, Mechanism};
use crate::upstream::imap::Connection;
use crate::upstream::wire::Wire;

/// Longest line but for AUTHENTICATE, which carries a token (GW-09).
const MAX_LINE: usize = 8192;

/// Most fields of an ID (RFC 2971 section 3.3).
const MAX_ID_PAIRS: usize = 30;

/// What IMAP says at its door.
#[derive(Default)]
struct Imap;

impl Shell for Imap {
    type Inside = Connection;
    type End = End;
    const PROTOCOL: Protocol = Protocol::Imap;
    const CHALLENGE: &'static str = "+";
    const MAX_BAD: u32 = 3;
    const BAD: &'static str = "malformed commands";

    fn too_many(what: &str) -> End {
        End::Bye(format!("too many {what}"))
    }
}

/// Leads a connection to a session, or closes it.
pub(super) async fn login(
    gatekeeper: &Gatekeeper,
    admitted: &mut Option<Session>,
    client: Wire,
    peer: Peer,
    mode: ListenerMode,
) -> Option<(Wire, Connection)> {
    let mut door = Door::<Imap>::new(gatekeeper, admitted, client, peer, mode);
    door.answer(&format!("* OK [CAPABILITY {}] {} ready", door.capabilities(), gatekeeper.hostname())).await.ok()?;
    loop {
        match door.step().await {
            Ok(Step::Next) => (),
            Ok(Step::StartTls) => door = door.start_tls().await?,
            Ok(Step::In(upstream)) => return Some((door.client, *upstream)),
            Err(end) => {
                goodbye::say(&mut door.client, end.last_word()).await;
                goodbye::linger(&mut door.client).await;
                return None;
            }
        }
    }
}

impl Door<'_, Imap> {
    fn capabilities(&self) -> String {
        capability::before_login(self.is_encrypted())
    }

    async fn malformed(&mut self, tag: &str) -> Result<Step<Connection>, End> {
        self.bad(&format!("{tag} BAD unknown or malformed command")).await
    }

    async fn step(&mut self) -> Result<Step<Connection>, End> {
        let line = self.client.line(Budget::BEFORE_LOGIN.octets).await?;
        if [&b"GET "[..], b"POST ", b"PUT ", b"HEAD ", b"OPTIONS ", b"CONNECT "]
            .iter()
            .any(|verb| line.starts_with(verb))
        {
            // A browser was led here (ALPACA); nothing of what it sends is answered.
            return Err(End::Quiet);
        }
        let Some((tag, rest)) = framing::split_tag(&line) else { return self.malformed("*").await };
        let is_long_allowed = rest.get(..13).is_some_and(|word| word.eq_ignore_ascii_case(b"AUTHENTICATE "));
        if line.len() > MAX_LINE && !is_long_allowed {
            return Err(End::Bye("[TOOBIG] line too long".to_owned()));
        }
        let tag = tag.to_owned();
        if rest.eq_ignore_ascii_case(b"STARTTLS") {
            if self.is_encrypted() {
                return self.answer(&format!("{tag} BAD TLS is on already")).await;
            }
            self.answer(&format!("{tag} OK begin TLS now")).await?;
            return Ok(Step::StartTls);
        }
        let bytes = match input::rest_of(&mut self.client, line, Budget::BEFORE_LOGIN, false).await? {
            Input::Command(bytes) => zeroize::Zeroizing::new(bytes),
            Input::Append(..) | Input::Refused => return Ok(Step::Next),
        };
        let Ok(command) = command::parse(&bytes) else { return self.malformed(&tag).await };
        match command.body {
            CommandBody::Capability => {
                let list = self.capabilities();
                self.answer(&format!("* CAPABILITY {list}\r\n{tag} OK done")).await
            }
            CommandBody::Noop => self.answer(&format!("{tag} OK done")).await,
            CommandBody::Id { parameters } if parameters.as_ref().is_some_and(|pairs| pairs.len() > MAX_ID_PAIRS) => {
                self.malformed(&tag).await
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
    ) -> Result<Step<Connection>, End> {
        let Some(mechanism) = Mechanism::parse(name) else {
            return self.answer(&format!("{tag} NO [CANNOT] unknown mechanism")).await;
        };
        if !self.is_encrypted() && (initial.is_none() || mechanism == Mechanism::Login) {
            // Refused before anything secret is asked for.
            return self.answer(&format!("{tag} NO [PRIVACYREQUIRED] use STARTTLS first")).await;
        }
        match self.exchange(mechanism, initial.map(Ok)).await? {
            Some(attempt) => self.attempt(tag, attempt.ok(), Some(mechanism)).await,
            None => self.cancelled(&format!("{tag} BAD authentication cancelled or malformed")).await,
        }
    }

    async fn attempt(
        &mut self,
        tag: &str,
        attempt: Option<Attempt>,
        mechanism: Option<Mechanism>,
    ) -> Result<Step<Connection>, End> {
        let refusal = match self.admit(attempt, mechanism).await {
            Some(Ok(())) => match self.moor().await? {
                Ok(upstream) => {
                    let list = capability::after_login(&upstream.capabilities, self.gatekeeper.costly_search());
                    self.answer(&format!("{tag} OK [CAPABILITY {list}] logged in")).await?;
                    return Ok(Step::In(Box::new(upstream)));
                }
                Err(refusal) => refusal,
            },
            // A failure challenge would say that the token is bad.
            Some(Err(refusal)) if refusal.is_last => {
                self.answer(&format!("{tag} NO {}", refusal_text(&refusal))).await?;
                return Err(End::Bye(refusal.text));
            }
            Some(Err(refusal)) => refusal,
            None => {
                let told =
                    format!("{tag} NO [PRIVACYREQUIRED] use STARTTLS first; what you sent is known to others now");
                return self.answer(&told).await;
            }
        };
        self.refuse(mechanism, &format!("{tag} NO {}", refusal_text(&refusal))).await
    }

    /// Finds the admitted session a connection to its mailbox. The session ends where there is none, and when it is cut meanwhile.
    async fn moor(&mut self) -> Result<Result<Connection, Refusal>, End> {
        let Some(session) = &*self.admitted else { return Err(End::Quiet) };
        let mut ended = session.ended();
        let (end, reason) = tokio::select! {
            biased;
            told = ended.wait_for(Option::is_some) => {
                let reason = told.ok().and_then(|reason| *reason).unwrap_or(EndReason::Killed);
                (Ok(Err(Refusal::of(Fault::Unavailable))), reason.as_str())
            }
            found = self.gatekeeper.imap(session) => match found {
                Ok(upstream) => return Ok(Ok(upstream)),
                Err(refusal) => (Ok(Err(refusal)), "upstream"),
            },
            () = self.client.gone() => (Err(End::Quiet), "tool"),
        };
        if let Some(session) = self.admitted.take() {
            self.gatekeeper.close(session, reason).await;
        }
        end
    }
}
