//! Folder paths and the patterns that bound them.
//!
//! A path is a list of segments, so that it does not matter which hierarchy delimiter an upstream uses: with the delimiter `.`, the
//! upstream's `Archive.2026` is the path `Archive/2026` here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A folder as the bounds see it: decoded Unicode segments. `INBOX` in any case is one folder (RFC 9051 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FolderPath(Vec<String>);

impl FolderPath {
    /// The path of an already decoded name under the upstream's delimiter (`None`: the upstream is flat).
    /// Gives `None` for names that have more than one spelling or no meaning: empty segments, `.` and `..` segments, control
    /// characters. Nothing bounded may reach such a name.
    pub fn from_name(name: &str, delimiter: Option<char>) -> Option<Self> {
        let mut segments: Vec<String> = match delimiter {
            Some(delimiter) => name.split(delimiter).map(str::to_owned).collect(),
            None => vec![name.to_owned()],
        };
        if segments
            .iter()
            .any(|part| part.is_empty() || part == "." || part == ".." || part.chars().any(char::is_control))
        {
            return None;
        }
        if let Some(first) = segments.first_mut()
            && first.eq_ignore_ascii_case("INBOX")
        {
            "INBOX".clone_into(first);
        }
        Some(Self(segments))
    }

    /// The segments, outermost first.
    pub fn segments(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for FolderPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// The text is no folder pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a folder pattern: write a path such as Archive/2026, a path with /* behind it for everything below, or *")]
pub struct InvalidFolderPattern;

/// Which folders a bound lets through: `Archive` (that folder only), `Archive/*` (everything below it, at any depth), `*` (all).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderPattern {
    segments: Vec<String>,
    and_below: bool,
}

impl FolderPattern {
    /// Whether `path` is let through.
    pub fn matches(&self, path: &FolderPath) -> bool {
        if self.and_below {
            path.0.len() > self.segments.len() && path.0.starts_with(&self.segments)
        } else {
            path.0 == self.segments
        }
    }

    /// Whether it lets through all that `other` does.
    pub fn covers(&self, other: &Self) -> bool {
        let within = other.segments.starts_with(&self.segments);
        let is_deeper = other.segments.len() > self.segments.len();
        if self.and_below { within && (is_deeper || other.and_below) } else { self == other }
    }

    /// Whether everything below `path` is let through, at any depth.
    pub fn covers_all_below(&self, path: &FolderPath) -> bool {
        self.and_below && path.0.starts_with(&self.segments)
    }

    /// Whether `path` is a parent of something that this pattern may let through, so that it must be shown (as `\Noselect`) for
    /// tools that walk the tree level by level. Only says what the pattern's own text says.
    pub fn is_below(&self, path: &FolderPath) -> bool {
        let reach = self.segments.len() + usize::from(self.and_below);
        path.0.len() < reach && self.segments.starts_with(&path.0)
    }

    /// What both let through: of two patterns one lies within the other, or they have nothing in common.
    pub fn common(&self, other: &Self) -> Option<Self> {
        if self.covers(other) { Some(other.clone()) } else { other.covers(self).then(|| self.clone()) }
    }
}

impl FromStr for FolderPattern {
    type Err = InvalidFolderPattern;

    fn from_str(text: &str) -> Result<Self, InvalidFolderPattern> {
        let (path, and_below) = match text.strip_suffix('*') {
            Some("") => return Ok(Self { segments: Vec::new(), and_below: true }),
            Some(rest) => (rest.strip_suffix('/').ok_or(InvalidFolderPattern)?, true),
            None => (text, false),
        };
        if path.contains(['*', '%']) {
            return Err(InvalidFolderPattern);
        }
        let path = FolderPath::from_name(path, Some('/')).ok_or(InvalidFolderPattern)?;
        Ok(Self { segments: path.0, and_below })
    }
}

impl fmt::Display for FolderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.segments.join("/");
        match (self.and_below, path.is_empty()) {
            (true, true) => f.write_str("*"),
            (true, false) => write!(f, "{path}/*"),
            (false, _) => f.write_str(&path),
        }
    }
}

impl Serialize for FolderPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FolderPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{FolderPath, FolderPattern};

    fn path(name: &str) -> FolderPath {
        FolderPath::from_name(name, Some('.')).unwrap()
    }

    #[test]
    fn patterns_say_this_folder_or_everything_below() {
        let only: FolderPattern = "Archive".parse().unwrap();
        assert!(
            only.matches(&path("Archive")) && !only.matches(&path("Archive.2026")) && !only.matches(&path("archive"))
        );
        let below: FolderPattern = "Archive/*".parse().unwrap();
        assert!(
            below.matches(&path("Archive.2026.May"))
                && !below.matches(&path("Archive"))
                && !below.matches(&path("Archive2"))
        );
        assert!(below.is_below(&path("Archive")) && !below.is_below(&path("Other")));
        let all: FolderPattern = "*".parse().unwrap();
        assert!(all.matches(&path("Anything.At.All")));
    }

    #[test]
    fn a_pattern_covers_what_lies_within_it() {
        for (wide, narrow, covers) in [
            ("*", "*", true),
            ("*", "A", true),
            ("*", "A/*", true),
            ("A/*", "A/B", true),
            ("A/*", "A/B/*", true),
            ("A/*", "A/*", true),
            ("A/*", "A", false),
            ("A/*", "AB/C", false),
            ("A", "A", true),
            ("A", "A/*", false),
            ("A", "A/B", false),
            ("A/B", "A", false),
            ("A/B/*", "A/*", false),
            ("A/*", "*", false),
        ] {
            let (wide_one, narrow_one): (FolderPattern, FolderPattern) =
                (wide.parse().unwrap(), narrow.parse().unwrap());
            assert_eq!(wide_one.covers(&narrow_one), covers, "{wide} for {narrow}");
        }
    }

    #[test]
    fn a_folder_with_all_below_it_lies_within_patterns_for_everything_below() {
        for (pattern, covers) in [
            ("*", true),
            ("Archive/*", true),
            ("Archive/2026/*", false),
            ("Archive/2026", false),
            ("Archive/2026/May/*", false),
        ] {
            let pattern: FolderPattern = pattern.parse().unwrap();
            assert_eq!(
                pattern.covers_all_below(&path("Archive.2026")) && pattern.matches(&path("Archive.2026")),
                covers
            );
        }
        let below: FolderPattern = "Archive/2026/*".parse().unwrap();
        assert!(below.covers_all_below(&path("Archive.2026")));
    }

    #[test]
    fn inbox_is_one_folder_in_any_case() {
        let inbox: FolderPattern = "inbox".parse().unwrap();
        assert!(inbox.matches(&path("INBOX")) && inbox.matches(&path("InBox")));
        assert_eq!(inbox.to_string(), "INBOX");
    }

    #[test]
    fn names_with_two_spellings_have_no_path() {
        for wrong in ["", "A.", ".A", "A..B", "A\r\nB", "A\0"] {
            assert_eq!(FolderPath::from_name(wrong, Some('.')), None, "{wrong:?}");
        }
        assert_eq!(FolderPath::from_name("a/../b", Some('/')), None);
        for wrong in ["", "a*", "a/%", "/a", "a//b", "*/a"] {
            assert!(wrong.parse::<FolderPattern>().is_err(), "{wrong:?}");
        }
    }
}
