//! Scopes: the named rights in a grant and a token (design section 3), and the presets that bundle them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One right. Matching is exact and case-sensitive (JWT-05).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Folder names, envelopes, flags, sizes.
    Metadata,
    /// Metadata and content, with no side effect on the mailbox.
    Read,
    /// Flags and keywords except `\Deleted`.
    Flag,
    /// Adding messages.
    Append,
    /// Copy, move, create and rename folders, subscriptions.
    Organize,
    /// `\Deleted`, expunge, delete folders.
    Delete,
    /// Submitting mail.
    Send,
}

impl Scope {
    /// All scopes, in the order in which they are printed.
    pub const ALL: [Self; 7] =
        [Self::Metadata, Self::Read, Self::Flag, Self::Append, Self::Organize, Self::Delete, Self::Send];

    /// The word in tokens, JSON, SQL and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metadata => "mail.metadata",
            Self::Read => "mail.read",
            Self::Flag => "mail.flag",
            Self::Append => "mail.append",
            Self::Organize => "mail.organize",
            Self::Delete => "mail.delete",
            Self::Send => "mail.send",
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// The text names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown scope")]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;
    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes. `mail.read` implies `mail.metadata`: [`ScopeSet::allows`] knows that, the set itself stays as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(u8);

impl ScopeSet {
    /// No right at all.
    pub const EMPTY: Self = Self(0);

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this set gives the right `scope`.
    pub fn allows(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0 || (scope == Scope::Metadata && self.0 & Scope::Read.bit() != 0)
    }

    /// Whether this set gives any of `scopes`.
    pub fn allows_any(self, scopes: &[Scope]) -> bool {
        scopes.iter().any(|scope| self.allows(*scope))
    }

    /// Whether every right of `other` is given by this set.
    pub fn covers(self, other: Self) -> bool {
        other.iter().all(|scope| self.allows(scope))
    }

    /// The scopes that are rights under both sets.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Scope::ALL.into_iter().filter(|scope| self.allows(*scope) && other.allows(*scope)).collect::<Self>().reduced()
    }

    /// The set with `scope` added.
    #[must_use]
    pub fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// The scopes in it, in printing order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }

    /// The same rights in the fewest words: `mail.metadata` is dropped where `mail.read` says it too (short tokens).
    #[must_use]
    pub fn reduced(self) -> Self {
        if self.0 & Scope::Read.bit() == 0 { self } else { Self(self.0 & !Scope::Metadata.bit()) }
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// Space-separated scope tokens (RFC 6749 section 3.3).
impl FromStr for ScopeSet {
    type Err = UnknownScope;
    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        text.split(' ').filter(|word| !word.is_empty()).map(str::parse).collect()
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, scope) in self.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A job with its bundle of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Reads everything, changes nothing.
    Backup,
    /// Reads everything and adds messages.
    Archive,
    /// Adds messages, reads nothing.
    Restore,
    /// Sends, reads nothing.
    Marketing,
    /// Works the mailbox: reads, flags, files and sends.
    Helpdesk,
    /// All rights.
    Full,
}

impl Preset {
    /// All presets.
    pub const ALL: [Self; 6] =
        [Self::Backup, Self::Archive, Self::Restore, Self::Marketing, Self::Helpdesk, Self::Full];

    /// The word on the command line and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Archive => "archive",
            Self::Restore => "restore",
            Self::Marketing => "marketing",
            Self::Helpdesk => "helpdesk",
            Self::Full => "full",
        }
    }

    /// The scopes that the preset stands for.
    pub fn scopes(self) -> ScopeSet {
        let scopes: &[Scope] = match self {
            Self::Backup => &[Scope::Read],
            Self::Archive => &[Scope::Read, Scope::Append],
            Self::Restore => &[Scope::Append],
            Self::Marketing => &[Scope::Send],
            Self::Helpdesk => &[Scope::Read, Scope::Flag, Scope::Append, Scope::Organize, Scope::Send],
            Self::Full => &Scope::ALL,
        };
        scopes.iter().copied().collect::<ScopeSet>().reduced()
    }

    /// One honest line about what a holder can still do.
    pub fn caution(self) -> &'static str {
        match self {
            Self::Backup => "can read every message in the folders it may see; changes and sends nothing",
            Self::Archive => {
                "can read every message and add new ones, forged ones included; cannot remove, flag or send"
            }
            Self::Restore => "can add messages, forged ones included; cannot read, remove, flag or send",
            Self::Marketing => "can send mail as this mailbox to anybody the bounds allow; cannot read replies",
            Self::Helpdesk => {
                "can read, flag, file and answer as this mailbox, and move mail out of sight; cannot delete"
            }
            Self::Full => "can do all that the mailbox's owner can: read, send, and delete everything for good",
        }
    }
}

impl FromStr for Preset {
    type Err = UnknownScope;
    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|preset| preset.as_str() == text).ok_or(UnknownScope)
    }
}

#[cfg(test)]
mod tests {
    use super::{Preset, Scope, ScopeSet};

    #[test]
    fn jwt_05_all_of_what_is_needed_must_be_there_word_for_word() {
        let set = |text: &str| text.parse::<ScopeSet>().unwrap();
        for (held, needed, enough) in [
            ("mail.read", "mail.read", true),
            ("mail.read", "mail.read mail.send", false),
            ("mail.read mail.send", "mail.read mail.send", true),
            ("mail.read mail.send", "mail.send", true),
            ("mail.send", "mail.read", false),
            ("mail.metadata", "mail.read", false),
            ("", "mail.read", false),
        ] {
            assert_eq!(set(held).covers(set(needed)), enough, "{held:?} for {needed:?}");
        }
        for wrong in ["MAIL.READ", "mail.readwrite", "mail", "mail.read,mail.send", "*"] {
            assert!(wrong.parse::<ScopeSet>().is_err(), "{wrong}");
        }
        assert_eq!("".parse::<ScopeSet>(), Ok(ScopeSet::EMPTY));
    }

    #[test]
    fn read_implies_metadata_and_nothing_else() {
        let read: ScopeSet = [Scope::Read].into_iter().collect();
        for scope in Scope::ALL {
            assert_eq!(read.allows(scope), matches!(scope, Scope::Read | Scope::Metadata), "{scope}");
        }
    }

    #[test]
    fn an_intersection_never_widens() {
        for left in 0..=u8::MAX >> 1 {
            for right in 0..=u8::MAX >> 1 {
                let (left, right) = (ScopeSet(left), ScopeSet(right));
                let both = left.intersect(right);
                assert!(left.covers(both) && right.covers(both));
                for scope in Scope::ALL {
                    assert_eq!(both.allows(scope), left.allows(scope) && right.allows(scope));
                }
            }
        }
    }

    #[test]
    fn presets_hold_what_the_design_says() {
        assert_eq!(Preset::Backup.scopes().to_string(), "mail.read");
        assert_eq!(Preset::Helpdesk.scopes().to_string(), "mail.read mail.flag mail.append mail.organize mail.send");
        assert!(Scope::ALL.iter().all(|scope| Preset::Full.scopes().allows(*scope)));
    }
}
