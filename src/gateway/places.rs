//! Places for connections: so many in all, and so many of one source, so that nobody takes them all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::throttle::network;

/// The places of all mail listeners of a node; cheap to clone.
#[derive(Clone, Debug)]
pub struct Places {
    all: Arc<Semaphore>,
    sources: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most_per_source: usize,
}

/// One of all places, for a connection of which is not known yet where it comes from; dropping it gives it back.
#[derive(Debug)]
pub(in crate::gateway) struct Entry {
    places: Places,
    of_all: OwnedSemaphorePermit,
}

/// A place; dropping it gives it back.
#[derive(Debug)]
pub(in crate::gateway) struct Place {
    places: Places,
    source: IpAddr,
    _of_all: OwnedSemaphorePermit,
}

impl Places {
    /// So many, and so many of one source (0: all).
    pub fn new(most: usize, most_per_source: usize) -> Self {
        let most_per_source = if most_per_source == 0 { usize::MAX } else { most_per_source };
        Self { all: Arc::new(Semaphore::new(most)), sources: Arc::default(), most_per_source }
    }

    /// One of all places, if there is one.
    pub(in crate::gateway) fn enter(&self) -> Option<Entry> {
        let of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Entry { places: self.clone(), of_all })
    }

    /// How many are free.
    #[cfg(test)]
    pub(in crate::gateway) fn free(&self) -> usize {
        self.all.available_permits()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// A place for a connection from `source`, if it has not its share already.
    pub(in crate::gateway) fn take(self, source: IpAddr) -> Option<Place> {
        let Self { places, of_all } = self;
        let source = network(source);
        let mut sources = places.lock();
        let taken = sources.entry(source).or_insert(0);
        if *taken >= places.most_per_source {
            return None;
        }
        *taken += 1;
        drop(sources);
        Some(Place { places, source, _of_all: of_all })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sources = self.places.lock();
        if let Some(taken) = sources.get_mut(&self.source) {
            *taken -= 1;
            if *taken == 0 {
                sources.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Places;

    #[test]
    fn gw_15_one_source_takes_its_share_of_the_places_and_no_more() {
        let places = Places::new(10, 3);
        let take = |source: &str| places.enter().and_then(|entry| entry.take(source.parse().unwrap()));
        let held: Vec<_> = (0..3).map(|_| take("192.0.2.1").unwrap()).collect();
        assert!(take("192.0.2.1").is_none() && take("::ffff:192.0.2.1").is_none());
        let others: Vec<_> = (0..3).map(|_| take("2001:db8::1").unwrap()).collect();
        assert!(take("2001:db8::2").is_none(), "of one /64");
        assert_eq!(places.free(), 4, "a refusal takes no place");
        drop(held);
        assert!(take("192.0.2.1").is_some());
        drop(others);
        for _ in 0..10_000 {
            drop(take("192.0.2.1").unwrap());
        }
        assert_eq!(places.free(), 10);
        assert!(places.lock().is_empty(), "nothing is kept of who has gone");
        let unlimited = Places::new(10, 0);
        let all: Vec<_> =
            (0..10).map(|_| unlimited.enter().unwrap().take("192.0.2.1".parse().unwrap()).unwrap()).collect();
        assert!(unlimited.enter().is_none());
        drop(all);
    }
}
