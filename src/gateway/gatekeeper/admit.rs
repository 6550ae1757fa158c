//! Letting a tool in: what it shows is examined, what it opens is looked up, the session is registered and recorded.

use crate::domain::bounds::Bounds;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::fault::{Classify, Fault};
use crate::domain::id::{SessionId, VerdictId};
use crate::domain::mechanism::Mechanism;
use crate::domain::session::{Protocol, SessionInfo};
use crate::domain::token::Claims;
use crate::gateway::gatekeeper::denial::Denials;
use crate::gateway::gatekeeper::moor::Had;
use crate::gateway::gatekeeper::{Gatekeeper, Refusal, Session};
use crate::gateway::stream::Peer;
use crate::oauth::{self, TokenRejected};
use crate::policy::charge::LOGIN;
use crate::policy::{Denial, Rights, budget};
use crate::protocol::sasl::Attempt;
use crate::registry::sessions::Standing;
use crate::registry::{Admitted, LoginRule, Purse, RegistryError, Seat};

/// Why a tool does not come in.
enum Doubt {
    /// What it showed is not good enough. The reason is for the audit log.
    Refused { reason: String, rule: LoginRule, claims: Option<Box<Claims>> },
    /// It cannot be read.
    Unread,
    /// It is good, and a freeze or a budget keeps it out for a while.
    Later { reason: String, rule: LoginRule, claims: Box<Claims>, refusal: Refusal },
    /// Something of ours that must work does not.
    Failed(Refusal),
}

impl Doubt {
    fn of(claims: &Claims, rule: &'static str, reason: &str) -> Self {
        Self::by(claims, LoginRule::plain(rule), reason)
    }

    fn by(claims: &Claims, rule: LoginRule, reason: &str) -> Self {
        Self::Refused { reason: reason.to_owned(), rule, claims: Some(Box::new(claims.clone())) }
    }

    fn later(claims: &Claims, rule: LoginRule, reason: &str, refusal: Refusal) -> Self {
        Self::Later { reason: reason.to_owned(), rule, claims: Box::new(claims.clone()), refusal }
    }
}

impl Gatekeeper {
    /// Lets a tool in, or not. Bad token, unknown mailbox, missing grant and wrong network give the same refusal (GW-08); the
    /// difference is in the audit log. From a network that has to wait for its failures, nothing is looked at.
    pub async fn admit(&self, attempt: &Attempt, protocol: Protocol, peer: &Peer) -> Result<Session, Refusal> {
        let source = peer.address.ip();
        if let Some(refusal) = self.slowed(source) {
            return Err(refusal);
        }
        // Without waiting for a database that does not answer.
        if !self.0.registry.freshness().is_fresh() {
            return Err(Refusal::of(Fault::Unavailable));
        }
        let outcome = match self.examine(attempt, protocol, peer).await {
            Ok((claims, admitted)) => self.let_in(attempt, protocol, peer, &claims, admitted).await,
            Err(doubt) => Err(doubt),
        };
        match outcome {
            Ok(session) => {
                self.forgive(source);
                Ok(session)
            }
            Err(doubt) => Err(self.turn_away(doubt, Some(attempt.mechanism), protocol, peer).await),
        }
    }

    /// What a tool is told whose login cannot be read: the same as of a token that is none.
    pub async fn unread(&self, mechanism: Option<Mechanism>, protocol: Protocol, peer: &Peer) -> Refusal {
        if let Some(refusal) = self.slowed(peer.address.ip()) {
            return refusal;
        }
        self.turn_away(Doubt::Unread, mechanism, protocol, peer).await
    }

    async fn turn_away(&self, doubt: Doubt, mechanism: Option<Mechanism>, protocol: Protocol, peer: &Peer) -> Refusal {
        let (source, same_words) = (peer.address.ip(), Refusal::of(Fault::Unauthenticated));
        let (reason, rule, claims, answer) = match doubt {
            Doubt::Failed(refusal) => return refusal,
            // The same words for every reason.
            Doubt::Refused { reason, rule, claims } => {
                if let Err(refusal) = self.count_failure(source) {
                    return refusal;
                }
                (reason, rule, claims, same_words)
            }
            Doubt::Unread if !self.records_unread(source) => return same_words,
            Doubt::Unread => ("the message is malformed".to_owned(), LoginRule::plain("token"), None, same_words),
            Doubt::Later { refusal, .. } if !self.records_later(source) => return refusal,
            // It will be good again: the tool is not told to ask its user for another one.
            Doubt::Later { reason, rule, claims, refusal } => (reason, rule, Some(claims), refusal),
        };
        let verdict = VerdictId::new(&self.0.clock, &self.0.entropy);
        let mut event = AuditEvent::new(EventCode::LoginRefused, Actor::Anonymous, Outcome::Denied)
            .verdict(&verdict)
            .source(source)
            .detail("protocol", protocol.as_str())
            .detail("mechanism", mechanism.map_or("LOGIN", Mechanism::as_str))
            .detail("asked", LOGIN)
            .detail("rule", rule.rule)
            .detail("reason", reason);
        if let Some(claims) = claims {
            event = event.client(&claims.client_id).detail("mailbox", claims.mailbox.as_str());
        }
        if let Some(object) = rule.object {
            event = event.detail("object", object);
        }
        if let Err(refusal) = self.record(event).await {
            return refusal;
        }
        // The id tells the tool nothing.
        Refusal { text: format!("{} (verdict {verdict})", answer.text), ..answer }
    }

    /// Which rule refuses a token that was verified.
    async fn doubt(&self, claims: &Claims, protocol: Protocol, peer: &Peer, error: &RegistryError) -> Doubt {
        if let RegistryError::Frozen(freeze) = error {
            let rule = LoginRule { rule: Denial::FROZEN, object: Some(freeze.to_string()) };
            return Doubt::later(claims, rule, &error.to_string(), Refusal::from(error));
        }
        if matches!(error.fault(), Fault::Unavailable | Fault::Internal) {
            return Doubt::Failed(Refusal::from(error));
        }
        match self.0.registry.login_rule(claims, protocol, peer.address.ip()).await {
            Ok(rule) => Doubt::by(claims, rule, &error.to_string()),
            Err(error) => Doubt::Failed(Refusal::from(&error)),
        }
    }

    async fn examine(&self, attempt: &Attempt, protocol: Protocol, peer: &Peer) -> Result<(Claims, Admitted), Doubt> {
        let unproven = |reason: String| Doubt::Refused { reason, rule: LoginRule::plain("token"), claims: None };
        let claims = match self.0.tokens.presented(&attempt.token, protocol, peer.address.ip()).await {
            Ok(claims) => claims,
            Err(TokenRejected::Unknowable) => return Err(Doubt::Failed(Refusal::of(Fault::Unavailable))),
            Err(error) => return Err(unproven(error.to_string())),
        };
        oauth::check_binding(&claims, &peer.certificates)
            .map_err(|error| Doubt::of(&claims, "binding", &error.to_string()))?;
        if attempt.user.as_ref().is_some_and(|user| !user.eq_ignore_ascii_case(claims.mailbox.as_str())) {
            return Err(Doubt::of(&claims, "user", "user name is not the token's mailbox"));
        }
        if let Some(host) = &attempt.host
            && !host.eq_ignore_ascii_case(&self.0.hostname)
            && !self.0.identity.answers_to(host)
        {
            // Somebody else collected this message and passes it on (RFC 7628 section 3.1).
            return Err(Doubt::of(&claims, "host", "the host in the message is not ours"));
        }
        let registry = &self.0.registry;
        let admitted = registry.admit(&claims, protocol, peer.address.ip()).await;
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(error) => return Err(self.doubt(&claims, protocol, peer, &error).await),
        };
        if !admitted.bounds.allow_mechanism(attempt.mechanism) {
            let object = Some(attempt.mechanism.as_str().to_owned());
            let rule = LoginRule { rule: "mechanism", object };
            return Err(Doubt::by(&claims, rule, "the grant does not let this mechanism be used"));
        }
        Ok((claims, admitted))
    }

    async fn let_in(
        &self,
        attempt: &Attempt,
        protocol: Protocol,
        peer: &Peer,
        claims: &Claims,
        admitted: Admitted,
    ) -> Result<Session, Doubt> {
        let (source, now) = (peer.address.ip(), self.0.clock.now());
        let mut ends_at = admitted.grant.session_ttl.end(now, claims.expires_at);
        if let Some(end) = admitted.grant.expires_at {
            ends_at = ends_at.min(end);
        }
        let info = SessionInfo {
            id: SessionId::new(&self.0.clock, &self.0.entropy),
            client_id: admitted.client.id.clone(),
            mailbox_id: admitted.mailbox.id.clone(),
            mailbox: admitted.mailbox.address.clone(),
            grant_id: admitted.grant.id.clone(),
            protocol,
            source: source.to_canonical(),
            started_at: now,
            ends_at,
        };
        let seat = self.seat(claims, &info, &admitted).await?;
        // A login that finds no seat does not use its token up.
        match self.0.registry.may_open(claims, &admitted.grant).await {
            Ok(true) => (),
            Ok(false) => return Err(Doubt::of(claims, "used-up", "the token was used up by an earlier login")),
            Err(error) => return Err(Doubt::Failed(Refusal::from(&error))),
        }
        // Registered before it is recorded: a revocation that comes between the check and here ends it.
        let standing = Standing {
            scopes: admitted.scopes,
            // Of these a session has one.
            bounds: Bounds { mechanisms: Some(vec![attempt.mechanism]), ..admitted.bounds.clone() },
            token_end: claims.expires_at,
            token_id: claims.token_id.clone(),
        };
        let handle = self.0.registry.sessions().open(info.clone(), standing);
        let accepted = self
            .session_event(&info, EventCode::LoginAccepted, Outcome::Success)
            .detail("protocol", protocol.as_str())
            .detail("mechanism", attempt.mechanism.as_str())
            .detail("scope", admitted.scopes.to_string())
            .detail("jti", claims.token_id.clone());
        self.record(accepted).await.map_err(Doubt::Failed)?;
        // The grant may have gone or changed between the first look and the registration; what was seen a moment ago does not count.
        match self.0.registry.admit_now(claims, protocol, source).await {
            Ok(again) if again.grant == admitted.grant => {}
            Ok(_) => return Err(Doubt::of(claims, "grant", "the grant was changed during the login")),
            Err(error) => return Err(self.doubt(claims, protocol, peer, &error).await),
        }
        let rights =
            Rights { scopes: admitted.scopes, bounds: admitted.bounds, mailbox: admitted.mailbox.address.clone() };
        let (freezes, freshness) = (self.0.registry.freeze_board().clone(), self.0.registry.freshness().clone());
        let (purse, denials) = (Purse::of(&rights.bounds), Denials::default());
        Ok(Session {
            info,
            mailbox: admitted.mailbox,
            rights,
            purse,
            seat,
            handle,
            freezes,
            freshness,
            had: Had::default(),
            denials,
        })
    }

    /// A place among the sessions that the grant lets be at a time, where it says how many.
    async fn seat(&self, claims: &Claims, info: &SessionInfo, admitted: &Admitted) -> Result<Option<Seat>, Doubt> {
        let Some(most) = admitted.bounds.budgets.and_then(|budgets| budgets.sessions) else { return Ok(None) };
        let seat = self.0.registry.take_seat(&info.grant_id, &info.id, most).await;
        if let Some(seat) = seat.map_err(|error| Doubt::Failed(Refusal::from(&error)))? {
            return Ok(Some(seat));
        }
        let (fault, text) = (Fault::Throttled, "too many sessions under this grant, try again later".to_owned());
        let denial = budget::no_seat(LOGIN, most);
        let rule = LoginRule { rule: denial.rule, object: denial.object };
        Err(Doubt::later(claims, rule, &denial.text, Refusal { fault, text, is_last: false }))
    }
}
