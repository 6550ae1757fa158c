//! Identifiers: a prefix that names the kind, then 12 characters that sort by time of making.
//!
//! The 12 characters are 60 bits in lower-case Crockford base32: 34 bits of seconds since 2020 (good until 2564) and 26 random
//! bits. Ids are names, not secrets; where an unguessable value is needed, use [`crate::domain::secret`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::clock::Clock;
use crate::domain::entropy::Entropy;

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id of the form {prefix}xxxxxxxxxxxx")]
pub struct InvalidId {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 12;
const SECS_AT_2020: i64 = 1_577_836_800;

fn make(prefix: &str, clock: &Clock, entropy: &Entropy) -> String {
    let secs = u64::try_from(clock.now().as_secs() - SECS_AT_2020).unwrap_or(0) & ((1 << 34) - 1);
    let random = u64::from(u32::from_be_bytes(entropy.bytes::<4>())) & ((1 << 26) - 1);
    let bits = (secs << 26) | random;
    let mut text = String::with_capacity(prefix.len() + LENGTH);
    text.push_str(prefix);
    for place in (0..LENGTH).rev() {
        let index = usize::try_from((bits >> (place * 5)) & 31).unwrap_or(0);
        text.push(ALPHABET.get(index).copied().map_or('0', char::from));
    }
    text
}

fn is_valid(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == LENGTH && rest.bytes().all(|byte| ALPHABET.contains(&byte)))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// What every id of this kind starts with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes a new id.
            pub fn new(clock: &Clock, entropy: &Entropy) -> Self {
                Self(make($prefix, clock, entropy).into_boxed_str())
            }

            /// The text form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if is_valid($prefix, text) { Ok(Self(text.into())) } else { Err(InvalidId { prefix: $prefix }) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A registered tool.
    ClientId = "cli_";
    /// One client secret (not the secret itself).
    ClientSecretId = "cse_";
    /// A shared mailbox.
    MailboxId = "mbx_";
    /// One version of a mailbox's credential.
    CredentialId = "cre_";
    /// A grant: client x mailbox x scopes x bounds.
    GrantId = "gra_";
    /// A person or automation who manages Mailwarden.
    OperatorId = "ope_";
    /// A freeze: the graded kill switch.
    FreezeId = "frz_";
    /// A gateway session: one connection of a tool, from accept to end.
    SessionId = "ses_";
    /// One refused command; `grant explain --verdict` looks it up.
    VerdictId = "vrd_";
    /// One HTTP request; every problem document carries it.
    RequestId = "req_";
    /// One key encryption key.
    KekId = "kek_";
    /// One installation: binds sealed data and policy rows to this database and KEK.
    InstallationId = "ins_";
    /// One running process.
    NodeId = "nod_";
}

#[cfg(test)]
mod tests {
    use super::{ClientId, MailboxId};
    use crate::domain::clock::{Clock, Timestamp};
    use crate::domain::entropy::Entropy;

    #[test]
    fn ids_sort_by_time_and_keep_their_kind() {
        let clock = Clock::manual(Timestamp::from_secs(1_795_507_200));
        let entropy = Entropy::new(|buffer| buffer.fill(0xA5));
        let first = ClientId::new(&clock, &entropy);
        clock.advance(1000);
        let second = ClientId::new(&clock, &entropy);
        assert!(first < second);
        assert_eq!(first.as_str().parse(), Ok(first.clone()));
        assert!(first.as_str().parse::<MailboxId>().is_err());
        assert!("cli_UPPERCASE000".parse::<ClientId>().is_err());
        assert!("cli_short".parse::<ClientId>().is_err());
    }
}
