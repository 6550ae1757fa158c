//! When and from where each client secret was used last, so that people see which one is safe to retire.
//!
//! This is an observation, not policy: it decides nothing, so its rows carry no MAC, and it costs no write per token. Each node keeps it
//! in memory and writes it down every few seconds, the later of two nodes' notes wins, and a crash loses what came since.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::client::ClientSecretRecord;
use crate::domain::clock::Timestamp;
use crate::domain::id::{ClientId, ClientSecretId};
use crate::registry::{Registry, RegistryError};
use crate::store::sql;

/// How often a node writes down what it saw.
const FLUSH: Duration = Duration::from_secs(3);

/// The last use of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// When.
    pub at: Timestamp,
    /// From which address.
    pub source: IpAddr,
}

type Noted = HashMap<ClientSecretId, SecretUse>;

/// What this node saw since it last wrote it down.
#[derive(Clone, Debug, Default)]
pub(in crate::registry) struct SecretUses(Arc<Mutex<Noted>>);

impl SecretUses {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(in crate::registry) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Notes a use.
    pub(in crate::registry) fn note(&self, secret: &ClientSecretId, seen: SecretUse) {
        let mut noted = self.lock();
        match noted.get_mut(secret) {
            Some(known) => *known = later(*known, seen),
            None => drop(noted.insert(secret.clone(), seen)),
        }
    }
}

impl Registry {
    /// The last use of each of a client's secrets that was ever used, on any node.
    pub async fn secret_uses(&self, client: &ClientId) -> Result<HashMap<ClientSecretId, SecretUse>, RegistryError> {
        // What is not written yet counts too; taken first, so that nothing slips between memory and table.
        let mut uses = self.secret_uses.lock().clone();
        for row in self.store.rows(sql::SECRET_USES, &[client.as_str().into()]).await? {
            let (Ok(id), Ok(source)) = (row.text(0)?.parse(), row.text(2)?.parse()) else { continue };
            let written = SecretUse { at: Timestamp(row.int(1)?), source };
            uses.entry(id).and_modify(|known| *known = later(*known, written)).or_insert(written);
        }
        Ok(uses)
    }

    /// Writes down what this node saw. Costs nothing when it saw nothing.
    pub async fn write_secret_uses(&self) -> Result<(), RegistryError> {
        let noted = self.secret_uses.lock().clone();
        if noted.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        // In one order, so that two nodes do not wait for each other.
        let mut in_order: Vec<_> = noted.iter().collect();
        in_order.sort_unstable_by_key(|(id, _)| *id);
        for (id, seen) in in_order {
            let row = [id.as_str().into(), seen.at.0.into(), seen.source.to_string().as_str().into()];
            tx.execute(sql::SECRET_USED, &row).await?;
        }
        tx.commit().await?;
        self.secret_uses.lock().retain(|id, seen| noted.get(id) != Some(seen));
        Ok(())
    }

    /// Writes it down every few seconds. Runs until it is dropped.
    pub async fn keep_secret_uses(&self) {
        let mut tick = tokio::time::interval(FLUSH);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = self.write_secret_uses().await {
                tracing::warn!(%error, "the last uses of client secrets could not be written down");
            }
        }
    }
}

fn later(one: SecretUse, other: SecretUse) -> SecretUse {
    if one.at < other.at { other } else { one }
}

/// Whether `secret` can be ended and no tool will miss it: there is a newer one that works, and since that one was made this one was
/// quiet for `quiet_secs`. One that has ended is missed by nobody. `all` are the client's secrets, oldest first.
pub fn is_safe_to_retire(
    secret: &ClientSecretRecord,
    all: &[ClientSecretRecord],
    last_use: Option<SecretUse>,
    quiet_secs: u32,
    now: Timestamp,
) -> bool {
    let lives = |record: &ClientSecretRecord| record.expires_at.is_none_or(|end| now < end);
    let Some(newest) = all.iter().rfind(|record| lives(record)) else { return false };
    let since = last_use.map_or(newest.created_at, |last| last.at.max(newest.created_at));
    !lives(secret) || (newest.id != secret.id && since.plus_secs(i64::from(quiet_secs)) <= now)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{SecretUse, is_safe_to_retire};
    use crate::domain::client::ClientSecretRecord;
    use crate::domain::clock::Timestamp;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn secret(name: &str, created: i64, expires: Option<i64>) -> ClientSecretRecord {
        ClientSecretRecord {
            id: format!("cse_00000000000{name}").parse().unwrap(),
            client_id: "cli_00000000000a".parse().unwrap(),
            digest: [0; 32],
            created_at: Timestamp::from_secs(created),
            expires_at: expires.map(Timestamp::from_secs),
        }
    }

    #[test]
    fn ca_17_a_secret_is_safe_to_retire_when_it_was_quiet_beside_a_newer_one() {
        let (older, newer) = (secret("a", 0, Some(9000)), secret("b", 1000, None));
        let all = [older.clone(), newer.clone()];
        let safe = |secret, all: &[_], used: Option<i64>, now| {
            let used = used.map(|secs| SecretUse { at: Timestamp::from_secs(secs), source: HERE });
            is_safe_to_retire(secret, all, used, 100, Timestamp::from_secs(now))
        };
        for (used, now, expected) in [
            (None, 1099, false),
            (None, 1100, true),
            (Some(500), 1099, false),
            (Some(500), 1100, true),
            (Some(2000), 2099, false),
            (Some(2000), 2100, true),
            (Some(8999), 9000, true),
        ] {
            assert_eq!(safe(&older, &all, used, now), expected, "used {used:?}, now {now}");
        }
        assert!(!safe(&newer, &all, None, 100_000), "the newest is the one to use");
        assert!(!safe(&older, std::slice::from_ref(&older), None, 8000), "the only one that lives");
        assert!(!safe(&older, std::slice::from_ref(&older), None, 10_000), "there is no other");
    }
}
