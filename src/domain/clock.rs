//! Time as a parameter: the system's clock in production, one moved by hand in tests.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A handle to the clock; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `start` until [`Clock::advance`] moves it.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.0))))
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one lawful place: every other module takes a Clock")]
            Source::System => Timestamp(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)),
            ),
            Source::Manual(millis) => Timestamp(millis.load(Ordering::SeqCst)),
        }
    }

    /// Time since some moment in the past, by a clock that nobody sets: for ages. A manual clock gives its own time.
    pub fn elapsed(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        match &self.0 {
            Source::System => START.get_or_init(Instant::now).elapsed(),
            Source::Manual(_) => Duration::from_millis(u64::try_from(self.now().0).unwrap_or_default()),
        }
    }

    /// Moves a manual clock by `millis` (negative: back). The system's clock is left alone.
    pub fn advance(&self, millis: i64) {
        if let Source::Manual(at) = &self.0 {
            at.fetch_add(millis, Ordering::SeqCst);
        }
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z; what the database stores and the API prints as RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whole seconds since the epoch, rounded down (JWT NumericDate, RFC 7519 section 2).
    pub fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment `secs` seconds after the epoch.
    pub fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// This moment plus `millis`.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// This moment plus `secs` seconds.
    #[must_use]
    pub fn plus_secs(self, secs: i64) -> Self {
        self.plus_millis(secs.saturating_mul(1000))
    }

    /// RFC 3339 text in UTC with milliseconds, e.g. `2026-11-24T08:00:00.000Z`.
    pub fn to_rfc3339(self) -> String {
        use time::OffsetDateTime;
        use time::macros::format_description;
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|moment| moment.format(&format).ok())
            .unwrap_or_else(|| format!("{}ms", self.0))
    }

    /// RFC 5322 section 3.3 text in UTC, e.g. `Tue, 24 Nov 2026 08:00:00 +0000`.
    pub fn to_rfc5322(self) -> String {
        use time::OffsetDateTime;
        use time::format_description::well_known::Rfc2822;
        let moment = OffsetDateTime::from_unix_timestamp(self.as_secs()).ok();
        moment.and_then(|moment| moment.format(&Rfc2822).ok()).unwrap_or_default()
    }

    /// Reads RFC 3339 text with any offset. `None` when it is not RFC 3339.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        use time::OffsetDateTime;
        use time::format_description::well_known::Rfc3339;
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Timestamp};

    #[test]
    fn rfc3339_goes_there_and_back() {
        let moment = Timestamp(1_795_507_200_123);
        assert_eq!(Timestamp::parse_rfc3339(&moment.to_rfc3339()), Some(moment));
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = Clock::manual(Timestamp(5));
        assert_eq!(clock.now(), Timestamp(5));
        clock.advance(10);
        assert_eq!(clock.now(), Timestamp(15));
    }
}
