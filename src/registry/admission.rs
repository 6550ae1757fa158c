//! Whether a verified token still opens its mailbox, now and while its session lasts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::domain::bounds::Bounds;
use crate::domain::client::Client;
use crate::domain::clock::Timestamp;
use crate::domain::freeze::{Act, Freezes};
use crate::domain::grant::Grant;
use crate::domain::id::GrantId;
use crate::domain::mailbox::Mailbox;
use crate::domain::scope::ScopeSet;
use crate::domain::session::{EndReason, Protocol, SessionInfo};
use crate::domain::token::{Claims, LATE_SECS};
use crate::registry::moment::Moment;
use crate::registry::roster::Written;
use crate::registry::view::Footing;
use crate::registry::{Registry, RegistryError};

/// What a token opens.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The tool.
    pub client: Client,
    /// The mailbox.
    pub mailbox: Mailbox,
    /// The grant it stands on.
    pub grant: Grant,
    /// What both token and grant allow.
    pub scopes: ScopeSet,
    /// The grant's bounds, cut down to the token's details.
    pub bounds: Bounds,
}

impl Registry {
    /// Lets a verified token in, or not: the grant stands, nothing was revoked since, and the bounds hold. What was read a moment
    /// ago will do for a yes; who acts on it asks [`Registry::admit_now`] in the end.
    pub async fn admit(&self, claims: &Claims, protocol: Protocol, source: IpAddr) -> Result<Admitted, RegistryError> {
        let footing = self.grant_seen(&claims.client_id, &claims.mailbox).await?;
        let freezes = self.freezes_seen().await?;
        match self.judged(&footing, &freezes, claims, (protocol, source)) {
            Ok(admitted) if !self.is_revoked(&claims.token_id).await? => Ok(admitted),
            Ok(_) | Err(_) => self.admit_now(claims, protocol, source).await,
        }
    }

    /// The same by what the database holds at this moment.
    pub async fn admit_now(
        &self,
        claims: &Claims,
        protocol: Protocol,
        source: IpAddr,
    ) -> Result<Admitted, RegistryError> {
        let Moment { footing, freezes, is_revoked } = self.moment(claims).await?;
        let admitted = self.judged(&footing, &freezes, claims, (protocol, source))?;
        if is_revoked { Err(RegistryError::Denied) } else { Ok(admitted) }
    }

    /// What a verified token opens now, apart from where it is shown: the grant stands, and nothing was revoked since.
    pub async fn standing(&self, claims: &Claims) -> Result<Admitted, RegistryError> {
        let footing = self.grant_for(&claims.client_id, &claims.mailbox).await?;
        let admitted = self.opened(&footing, claims)?;
        if self.is_revoked(&claims.token_id).await? { Err(RegistryError::Denied) } else { Ok(admitted) }
    }

    /// What of its scopes a token still has, for introspection: judged at each call, by rows that were read a moment ago when they say
    /// yes, and by those of this moment when they say no. A token that a freeze cuts off everywhere opens nothing while it lasts.
    pub async fn standing_scopes(&self, claims: &Claims) -> Result<ScopeSet, RegistryError> {
        let footing = self.grant_seen(&claims.client_id, &claims.mailbox).await?;
        if let Some(scopes) = self.left(&footing, claims)
            && !self.is_cut(&*self.freezes_seen().await?, &footing.0, &footing.1)
            && !self.seems_revoked(&claims.token_id).await?
        {
            return Ok(scopes);
        }
        let admitted = self.standing(claims).await?;
        let freezes = self.freezes_now().await?;
        if self.is_cut(&freezes, &admitted.client, &admitted.mailbox) {
            return Err(RegistryError::Denied);
        }
        Ok(admitted.scopes)
    }

    fn is_cut(&self, freezes: &Freezes, client: &Client, mailbox: &Mailbox) -> bool {
        freezes.stopping_all(Act::GoOn, (&client.id, &mailbox.id), self.clock.now()).is_some()
    }

    fn judged(
        &self,
        footing: &Footing,
        freezes: &Freezes,
        claims: &Claims,
        (protocol, source): (Protocol, IpAddr),
    ) -> Result<Admitted, RegistryError> {
        let admitted = self.opened(footing, claims)?;
        let bounded = admitted.bounds.allow_source(source)
            && admitted.bounds.allow_moved(claims.source, source)
            && admitted.bounds.allow_protocol(protocol);
        if !bounded {
            return Err(RegistryError::Denied);
        }
        let place = (&admitted.client.id, &admitted.mailbox.id, protocol);
        match freezes.stopping(Act::OpenSession, place, self.clock.now()) {
            Some(freeze) => Err(RegistryError::Frozen(freeze.id.clone())),
            None => Ok(admitted),
        }
    }

    /// What of its scopes a token still has, when it is in its time, nothing was revoked since, and there is any.
    fn left(&self, (client, mailbox, grant): &Footing, claims: &Claims) -> Option<ScopeSet> {
        let fresh = claims.issued_at > client.tokens_valid_after && claims.issued_at > mailbox.tokens_valid_after;
        let in_time = self.clock.now().as_secs() <= claims.expires_at.as_secs() + LATE_SECS;
        Some(claims.scopes.intersect(grant.scopes)).filter(|scopes| fresh && in_time && !scopes.is_empty())
    }

    fn opened(&self, footing: &Footing, claims: &Claims) -> Result<Admitted, RegistryError> {
        let scopes = self.left(footing, claims).ok_or(RegistryError::Denied)?;
        let (client, mailbox, grant) = footing;
        let bounds = match &claims.details {
            Some(details) => grant.bounds.narrow(details, &mailbox.address),
            None => grant.bounds.clone(),
        };
        Ok(Admitted { client: client.clone(), mailbox: mailbox.clone(), grant: grant.clone(), scopes, bounds })
    }

    /// Whether a token that was let in may open a session: one that is pinned to a single connection may once, on all nodes together.
    pub async fn may_open(&self, claims: &Claims, grant: &Grant) -> Result<bool, RegistryError> {
        if !grant.bounds.is_single_connection() {
            return Ok(true);
        }
        let until = claims.expires_at.plus_secs(LATE_SECS + 1);
        self.first_use("login", claims.client_id.as_str(), &claims.token_id, until).await
    }

    /// Ends sessions on this node whose grant no longer stands or no longer gives all that they have, whose time has come, or that an
    /// operator ended at another node, and keeps the roster; and all of them when nothing of this could be read for too long. Runs until it
    /// is dropped.
    pub async fn watch_grants(&self) {
        tokio::join!(self.watch(), self.end_unproven());
    }

    async fn watch(&self) {
        let mut written = Written::default();
        let (mut seen, mut heeded) = (None, self.clock.now());
        let mut ends: HashMap<GrantId, Option<Timestamp>> = HashMap::new();
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let began = self.freshness.begin();
            let freezes = self.obey_freezes().await;
            let freezes = is_done(freezes, "running sessions could not be checked for freezes");
            let revocations = self.heed_revocations(&mut heeded).await;
            let revocations = is_done(revocations, "running sessions could not be checked for revoked tokens");
            if freezes && revocations {
                self.freshness.go_on();
            }
            let grants = self.check_sessions(&mut seen, &mut ends).await;
            if is_done(grants, "running sessions could not be checked against their grants") && freezes && revocations {
                self.freshness.prove(began);
            }
            // What is written is no proof: a full disk leaves everything readable.
            is_done(self.end_freezes().await, "freezes that are over could not be ended");
            is_done(self.keep_roster(&mut written).await, "the roster of sessions could not be kept");
        }
    }

    /// Ends all sessions of this node when it has not heard for too long whether they may go on. Beside [`Registry::watch`], which may
    /// be waiting for a database that does not answer.
    async fn end_unproven(&self) {
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut was_lost = false;
        loop {
            tick.tick().await;
            let is_lost = self.freshness.is_lost();
            // Twice in a row: a process that stood still, with its machine perhaps, reads anew before it ends anything.
            if is_lost && was_lost {
                let count = self.sessions.end_where(|_| true, EndReason::Unproven);
                if count > 0 {
                    tracing::error!(count, "the database could not be read for too long: all sessions are ended");
                }
            }
            was_lost = is_lost;
        }
    }

    pub(in crate::registry) async fn check_sessions(
        &self,
        seen: &mut Option<i64>,
        ends: &mut HashMap<GrantId, Option<Timestamp>>,
    ) -> Result<(), RegistryError> {
        let now = self.clock.now();
        let expired = |info: &SessionInfo, ends: &HashMap<GrantId, Option<Timestamp>>| {
            info.ends_at <= now || ends.get(&info.grant_id).is_some_and(|end| end.is_some_and(|end| end <= now))
        };
        self.sessions.end_where(|info| expired(info, ends), EndReason::Expired);
        let epoch = self.store.policy_epoch().await?;
        let moved = *seen != Some(epoch);
        if moved {
            ends.clear();
            // At a change of its own this node has closed them already.
            if self.closed_for.fetch_max(epoch, Ordering::Relaxed) < epoch {
                self.berths.close_all();
            }
            self.heed_kills().await?;
        }
        // Thousands of sessions stand on few grants: each is read once.
        let mut footings = HashMap::new();
        for (info, standing) in self.sessions.standing() {
            if !moved && ends.contains_key(&info.grant_id) {
                continue;
            }
            let footing = match footings.entry((info.client_id.clone(), info.mailbox.clone())) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => match self.grant_for(&info.client_id, &info.mailbox).await {
                    Ok(footing) => new.insert(Some(footing)),
                    Err(RegistryError::Denied) => new.insert(None),
                    Err(error) => return Err(error),
                },
            };
            self.freshness.answered();
            match footing {
                Some((client, mailbox, grant))
                    if grant.id == info.grant_id
                        && info.started_at > client.tokens_valid_after
                        && info.started_at > mailbox.tokens_valid_after
                        && standing.is_given_by(grant, &info) =>
                {
                    self.sessions.shorten(&info.id, grant.session_ttl.end(info.started_at, standing.token_end));
                    ends.insert(grant.id.clone(), grant.expires_at);
                }
                Some(_) | None => {
                    self.sessions.end_where(|other| other.id == info.id, EndReason::Revoked);
                }
            }
        }
        // Some may have been shortened to before now.
        self.sessions.end_where(|info| expired(info, ends), EndReason::Expired);
        *seen = Some(epoch);
        Ok(())
    }
}

/// Whether it went well; what did not is logged.
fn is_done(outcome: Result<(), RegistryError>, else_said: &'static str) -> bool {
    outcome.inspect_err(|error| tracing::warn!(%error, "{else_said}")).is_ok()
}
