//! The public keys of those who sign assertions: registered, or fetched from a registered URL and kept for a while (CA-14).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::client_auth::KeySource;
use crate::domain::clock::{Clock, Timestamp};
use crate::oauth::jose::json::{self, Members};
use crate::oauth::jose::jwk::JwkSet;
use crate::upstream::Dialer;
use crate::upstream::jwks;

/// How long a set is taken for fresh, whatever its owner says.
const FRESH_SECS: std::ops::RangeInclusive<i64> = 300..=3600;
/// How long a set is used beyond that while its owner does not answer.
const STALE_SECS: i64 = 4 * 3600;
/// The least time between two fetches of one URL.
const PAUSE_SECS: i64 = 30;

/// Fetched key sets, by URL.
#[derive(Debug)]
pub(in crate::oauth) struct KeyCache {
    dialer: Dialer,
    clock: Clock,
    places: Mutex<HashMap<String, Arc<Place>>>,
}

/// One URL. Who waits for it waits for this one only.
#[derive(Debug, Default)]
struct Place {
    state: Mutex<State>,
    /// Held while it is fetched.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    keys: Option<Arc<JwkSet>>,
    fresh_until: Timestamp,
    tried_at: Option<Timestamp>,
}

impl State {
    /// The keys, when no fetch could give better ones now.
    fn settled(&self, kid: Option<&str>, now: Timestamp) -> Option<Option<Arc<JwkSet>>> {
        let keys = self.keys.as_ref().filter(|_| now < self.fresh_until.plus_secs(STALE_SECS));
        let has_it = keys.is_some_and(|keys| keys.candidates(kid).next().is_some());
        let is_waiting = self.tried_at.is_some_and(|tried| now < tried.plus_secs(PAUSE_SECS));
        ((has_it && now < self.fresh_until) || is_waiting).then(|| keys.cloned())
    }
}

impl Place {
    /// Fetches the set; gives what is to be used now, be it the older one.
    async fn fetch(&self, dialer: &Dialer, clock: &Clock, url: &str) -> Option<Arc<JwkSet>> {
        let found = match jwks::fetch(dialer, url).await {
            Ok(published) => read(&published.body).map(|keys| (keys, published.max_age)),
            Err(error) => {
                tracing::warn!(url, %error, "a client's keys could not be fetched");
                None
            }
        };
        let now = clock.now();
        let mut state = locked(&self.state);
        // Only now: until then, whoever else wants these keys waits for them.
        state.tried_at = Some(now);
        if let Some((keys, max_age)) = found {
            let fresh = max_age.unwrap_or(*FRESH_SECS.start()).clamp(*FRESH_SECS.start(), *FRESH_SECS.end());
            state.keys = Some(Arc::new(keys));
            state.fresh_until = now.plus_secs(fresh);
        }
        state.keys.clone().filter(|_| now < state.fresh_until.plus_secs(STALE_SECS))
    }
}

fn read(body: &[u8]) -> Option<JwkSet> {
    JwkSet::read(&json::object(body)?).filter(|keys| !keys.is_empty())
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KeyCache {
    pub(in crate::oauth) fn new(dialer: Dialer, clock: Clock) -> Self {
        Self { dialer, clock, places: Mutex::default() }
    }

    /// The set, hopefully with the key that is named `kid`; `None` when there is none to be had.
    pub(in crate::oauth) async fn of(&self, source: &KeySource, kid: Option<&str>) -> Option<Arc<JwkSet>> {
        match source {
            KeySource::Jwks(set) => JwkSet::read(&Members::of(set)?).map(Arc::new),
            KeySource::JwksUri(url) => self.fetched(url, kid).await,
        }
    }

    async fn fetched(&self, url: &str, kid: Option<&str>) -> Option<Arc<JwkSet>> {
        let place = self.place(url);
        let settled = |place: &Place| locked(&place.state).settled(kid, self.clock.now());
        if let Some(keys) = settled(&place) {
            return keys;
        }
        let one_at_a_time = Arc::clone(&place.fetching).lock_owned().await;
        if let Some(keys) = settled(&place) {
            return keys;
        }
        // A task of its own: whoever asks and goes away at once must not keep the keys of others old.
        let (dialer, clock, url) = (self.dialer.clone(), self.clock.clone(), url.to_owned());
        let fetched = tokio::spawn(async move {
            let keys = place.fetch(&dialer, &clock, &url).await;
            drop(one_at_a_time);
            keys
        });
        fetched.await.ok().flatten()
    }

    /// The place of a URL. Places of clients that are long gone make room when a new one comes.
    fn place(&self, url: &str) -> Arc<Place> {
        let now = self.clock.now();
        let mut places = locked(&self.places);
        if let Some(place) = places.get(url) {
            return Arc::clone(place);
        }
        places.retain(|_, place| {
            let state = locked(&place.state);
            let last = state.fresh_until.max(state.tried_at.unwrap_or(now));
            now < last.plus_secs(STALE_SECS)
        });
        Arc::clone(places.entry(url.to_owned()).or_default())
    }
}
