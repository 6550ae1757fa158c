//! What may be used once only: the `jti` of assertions and proofs. The database decides, so that of many uses at once, on all nodes and
//! across crashes, one wins.

use std::time::Duration;

use crate::crypto::hash::sha256;
use crate::domain::clock::Timestamp;
use crate::registry::{Registry, RegistryError};
use crate::store::sql;

/// How often what can no longer be used is forgotten.
const SWEEP: Duration = Duration::from_secs(30);
/// How much longer it is remembered: another node's clock may be behind this one's.
const LONGER_SECS: i64 = 60;

impl Registry {
    /// Whether this is the first use of `id` of `owner`; durable when it returns. It is remembered until `until`, the instant from
    /// which its bearer is refused for its age alone: with all leeway added.
    pub async fn first_use(&self, kind: &str, owner: &str, id: &str, until: Timestamp) -> Result<bool, RegistryError> {
        // A digest of what a stranger chose: one length, and no octet that a database minds.
        let digest = sha256(id.as_bytes());
        let args = [kind.into(), owner.into(), digest.as_slice().into(), until.0.into()];
        let mut tx = self.store.begin().await?;
        let is_first = tx.execute(sql::USED_ADD, &args).await? == 1;
        tx.commit().await?;
        Ok(is_first)
    }

    /// Forgets what has expired, for as long as it is not dropped.
    pub async fn sweep_used(&self) {
        let mut tick = tokio::time::interval(SWEEP);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = self.forget_used().await {
                tracing::warn!(%error, "used assertions and proofs that have expired could not be forgotten");
            }
        }
    }

    /// Forgets what has expired; says how many.
    pub(crate) async fn forget_used(&self) -> Result<u64, RegistryError> {
        let before = self.clock.now().plus_secs(-LONGER_SECS);
        let mut tx = self.store.begin().await?;
        let forgotten = tx.execute(sql::USED_SWEEP, &[before.0.into()]).await?;
        tx.commit().await?;
        Ok(forgotten)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use crate::registry::tests::House;

    #[tokio::test]
    async fn of_many_uses_at_once_one_is_the_first() {
        let house = House::new().await;
        let until = house.clock.now().plus_secs(300);
        let uses = (0..50).map(|_| house.registry.first_use("assertion", "cli_a", "one", until));
        let first = join_all(uses).await.into_iter().filter(|first| *first.as_ref().unwrap()).count();
        assert_eq!(first, 1);
        for (kind, owner, id) in
            [("proof", "cli_a", "one"), ("assertion", "cli_b", "one"), ("assertion", "cli_a", "o\0ne")]
        {
            assert!(house.registry.first_use(kind, owner, id, until).await.unwrap(), "{kind} {owner} {id:?}");
            assert!(!house.registry.first_use(kind, owner, id, until).await.unwrap(), "{kind} {owner} {id:?}");
        }
    }

    #[tokio::test]
    async fn what_has_expired_everywhere_is_forgotten_and_nothing_else() {
        let house = House::new().await;
        for (id, secs) in [("short", 10), ("long", 300)] {
            assert!(house.registry.first_use("proof", "k", id, house.clock.now().plus_secs(secs)).await.unwrap());
        }
        for (advance, forgotten) in [(70_000, 0), (1, 1), (290_000, 1)] {
            house.clock.advance(advance);
            assert_eq!(house.registry.forget_used().await.unwrap(), forgotten, "{advance}");
        }
    }
}
