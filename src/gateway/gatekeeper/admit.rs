//! Letting a tool in: what it shows is examined, what it opens is looked up, the session is registered and recorded.

use crate::domain::bounds::Bounds;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::fault::{Classify, Fault};
use crate::domain::id::{ClientId, SessionId};
use crate::domain::session::{Protocol, SessionInfo};
use crate::domain::token::Claims;
use crate::gateway::gatekeeper::moor::Had;
use crate::gateway::gatekeeper::{Gatekeeper, Refusal, Session};
use crate::gateway::stream::Peer;
use crate::oauth::{self, TokenRejected};
use crate::policy::Rights;
use crate::protocol::sasl::Attempt;
use crate::registry::sessions::Standing;
use crate::registry::{Admitted, Purse, RegistryError, Seat};

/// Why a tool does not come in.
enum Doubt {
    /// What it showed is not good enough. The reason is for the audit log.
    Refused { reason: String, client: Option<ClientId> },
    /// It is good, and a freeze keeps it out.
    Frozen { client: ClientId, refusal: Refusal },
    /// Something of ours that must work does not.
    Failed(Refusal),
}

impl Doubt {
    fn of(claims: &Claims, reason: &str) -> Self {
        Self::Refused { reason: reason.to_owned(), client: Some(claims.client_id.clone()) }
    }

    fn from(claims: &Claims, error: &RegistryError) -> Self {
        if matches!(error, RegistryError::Frozen(_)) {
            return Self::Frozen { client: claims.client_id.clone(), refusal: Refusal::from(error) };
        }
        match error.fault() {
            Fault::Unavailable | Fault::Internal => Self::Failed(Refusal::from(error)),
            _ => Self::of(claims, &error.to_string()),
        }
    }
}

impl Gatekeeper {
    /// Lets a tool in, or not. Bad token, unknown mailbox, missing grant and wrong network give the same refusal (GW-08); the
    /// difference is in the audit log.
    pub async fn admit(&self, attempt: &Attempt, protocol: Protocol, peer: &Peer) -> Result<Session, Refusal> {
        let (reason, client, answer) = match self.examine(attempt, protocol, peer).await {
            Ok((claims, admitted)) => return self.let_in(attempt, protocol, peer, &claims, admitted).await,
            Err(Doubt::Failed(refusal)) => return Err(refusal),
            Err(Doubt::Refused { reason, client }) => (reason, client, Refusal::of(Fault::Unauthenticated)),
            // It will be good again: the tool is not told to ask its user for another one.
            Err(Doubt::Frozen { client, refusal }) => (refusal.text.clone(), Some(client), refusal),
        };
        let mut event = AuditEvent::new(EventCode::LoginRefused, Actor::Anonymous, Outcome::Denied)
            .source(peer.address.ip())
            .detail("protocol", protocol.as_str())
            .detail("mechanism", attempt.mechanism.as_str())
            .detail("reason", reason);
        event.client_id = client;
        self.record(event).await?;
        Err(answer)
    }

    async fn examine(&self, attempt: &Attempt, protocol: Protocol, peer: &Peer) -> Result<(Claims, Admitted), Doubt> {
        let unproven = |reason: String| Doubt::Refused { reason, client: None };
        let claims = match self.0.tokens.presented(&attempt.token, protocol, peer.address.ip()).await {
            Ok(claims) => claims,
            Err(TokenRejected::Unknowable) => return Err(Doubt::Failed(Refusal::of(Fault::Unavailable))),
            Err(error) => return Err(unproven(error.to_string())),
        };
        oauth::check_binding(&claims, &peer.certificates).map_err(|error| Doubt::of(&claims, &error.to_string()))?;
        if attempt.user.as_ref().is_some_and(|user| !user.eq_ignore_ascii_case(claims.mailbox.as_str())) {
            return Err(Doubt::of(&claims, "user name is not the token's mailbox"));
        }
        if let Some(host) = &attempt.host
            && !host.eq_ignore_ascii_case(&self.0.hostname)
            && !self.0.identity.answers_to(host)
        {
            // Somebody else collected this message and passes it on (RFC 7628 section 3.1).
            return Err(Doubt::of(&claims, "the host in the message is not ours"));
        }
        let registry = &self.0.registry;
        let admitted = registry.admit(&claims, protocol, peer.address.ip()).await;
        let admitted = admitted.map_err(|error| Doubt::from(&claims, &error))?;
        if !admitted.bounds.allow_mechanism(attempt.mechanism) {
            return Err(Doubt::of(&claims, "the grant does not let this mechanism be used"));
        }
        match registry.may_open(&claims, &admitted.grant).await {
            Ok(true) => Ok((claims, admitted)),
            Ok(false) => Err(Doubt::of(&claims, "the token was used up by an earlier login")),
            Err(error) => Err(Doubt::Failed(Refusal::from(&error))),
        }
    }

    async fn let_in(
        &self,
        attempt: &Attempt,
        protocol: Protocol,
        peer: &Peer,
        claims: &Claims,
        admitted: Admitted,
    ) -> Result<Session, Refusal> {
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
        let seat = self.seat(&info, &admitted).await?;
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
        self.record(accepted).await?;
        // The grant may have gone or changed between the first look and the registration; what was seen a moment ago does not count.
        match self.0.registry.admit_now(claims, protocol, source).await {
            Ok(again) if again.grant == admitted.grant => {}
            Err(error @ RegistryError::Frozen(_)) => return Err(Refusal::from(&error)),
            Ok(_) | Err(_) => return Err(Refusal::of(Fault::Unauthenticated)),
        }
        let rights =
            Rights { scopes: admitted.scopes, bounds: admitted.bounds, mailbox: admitted.mailbox.address.clone() };
        let freezes = self.0.registry.freeze_board().clone();
        let purse = Purse::of(&rights.bounds);
        Ok(Session { info, mailbox: admitted.mailbox, rights, purse, seat, handle, freezes, had: Had::default() })
    }

    /// A place among the sessions that the grant lets be at a time, where it says how many.
    async fn seat(&self, info: &SessionInfo, admitted: &Admitted) -> Result<Option<Seat>, Refusal> {
        let Some(most) = admitted.bounds.budgets.and_then(|budgets| budgets.sessions) else { return Ok(None) };
        let seat = self.0.registry.take_seat(&info.grant_id, &info.id, most).await;
        if let Some(seat) = seat.map_err(|error| Refusal::from(&error))? {
            return Ok(Some(seat));
        }
        let event = AuditEvent::new(EventCode::LoginRefused, Actor::Client(info.client_id.clone()), Outcome::Denied)
            .client(&info.client_id)
            .mailbox(&info.mailbox_id)
            .grant(&info.grant_id)
            .source(info.source)
            .detail("protocol", info.protocol.as_str())
            .detail("reason", format!("the grant's budget sessions={most} is used up"));
        self.record(event).await?;
        Err(Refusal { fault: Fault::Throttled, text: "too many sessions under this grant, try again later".to_owned() })
    }
}
