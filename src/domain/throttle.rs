//! Wrong secrets slow down where they come from, never whom they name: nobody can lock a tool out from elsewhere (CA-08).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use crate::domain::clock::Timestamp;

/// Failures that cost nothing.
const FREE: u32 = 20;
/// How long a source is remembered after its last failure, in milliseconds.
const MEMORY_MS: i64 = 15 * 60 * 1000;
/// Longest wait in milliseconds.
const MAX_WAIT_MS: i64 = 60 * 1000;
/// Most sources remembered; past that the oldest are forgotten.
const MAX_SOURCES: usize = 100_000;

/// Counts failures by source.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<HashMap<IpAddr, (u32, Timestamp)>>);

impl Throttle {
    /// How many seconds `source` must wait, if it must.
    pub fn must_wait(&self, source: IpAddr, now: Timestamp) -> Option<u64> {
        let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (failures, last) = sources.get(&network(source)).copied()?;
        let over = failures.checked_sub(FREE)?;
        let wait = (500_i64 << over.min(7)).min(MAX_WAIT_MS);
        let left = last.plus_millis(wait).0 - now.0;
        u64::try_from(left).ok().filter(|left| *left > 0).map(|left| left.div_ceil(1000))
    }

    /// Counts a failure of `source`, unless it must wait: then says how many seconds, and counts nothing.
    pub fn count(&self, source: IpAddr, now: Timestamp) -> Result<(), u64> {
        if let Some(wait) = self.must_wait(source, now) {
            return Err(wait);
        }
        self.failed(source, now);
        Ok(())
    }

    /// Counts a failure of `source`.
    pub fn failed(&self, source: IpAddr, now: Timestamp) {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = MEMORY_MS;
        while sources.len() >= MAX_SOURCES {
            sources.retain(|_, (_, last)| last.plus_millis(memory) > now);
            memory /= 2;
        }
        let entry = sources.entry(network(source)).or_insert((0, now));
        if entry.1.plus_millis(MEMORY_MS) < now {
            entry.0 = 0;
        }
        *entry = (entry.0.saturating_add(1), now);
    }

    /// Takes one failure off what `source` has: something was right that came from there.
    pub fn forgive(&self, source: IpAddr) {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((failures, _)) = sources.get_mut(&network(source)) {
            *failures = failures.saturating_sub(1);
        }
    }
}

/// What counts as one source: an IPv4 address, or the /64 that a subscriber of IPv6 has to choose addresses from.
pub fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::{FREE, Throttle};
    use crate::domain::clock::Timestamp;

    #[test]
    fn only_the_source_of_failures_waits() {
        let (throttle, now) = (Throttle::default(), Timestamp(1_000_000));
        let (bad, good) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..FREE {
            assert_eq!(throttle.must_wait(bad, now), None);
            throttle.failed(bad, now);
        }
        assert!(throttle.must_wait(bad, now).is_some());
        assert_eq!(throttle.must_wait(good, now), None);
        for host in 0..=u128::from(FREE) {
            throttle.failed(std::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) + host).into(), now);
        }
        assert!(throttle.must_wait("2001:db8::ffff".parse().unwrap(), now).is_some(), "one subscriber, many addresses");
        assert_eq!(throttle.must_wait("2001:db8:0:1::1".parse().unwrap(), now), None);
        assert_eq!(throttle.must_wait(bad, now.plus_secs(120)), None);
    }

    #[test]
    fn who_fails_no_more_often_than_not_never_waits() {
        let (throttle, now) = (Throttle::default(), Timestamp(1_000_000));
        let source = "192.0.2.1".parse().unwrap();
        throttle.forgive(source);
        for _ in 0..10 * FREE {
            throttle.failed(source, now);
            assert_eq!(throttle.must_wait(source, now), None);
            throttle.forgive(source);
        }
    }
}
