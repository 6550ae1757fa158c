//! The numbers that a SEARCH found (RFC 3501 section 7.2.5), read from a line of any length; and what a FETCH of UIDs tells.

use crate::protocol::imap::uid_set::UidSet;

/// So many ranges of UIDs are kept: what a mailbox with every second message in question takes is not told any more.
const MAX_RANGES: usize = 20_000;

/// UIDs that come one by one.
#[derive(Debug, Default)]
pub struct Found {
    ranges: Vec<(u32, u32)>,
    /// The number that the part before has begun.
    begun: Option<u32>,
    /// Whether not all could be kept or read.
    is_broken: bool,
}

impl Found {
    /// Reads a part of the line `* SEARCH 2 5 7`, the first one without its first two words.
    pub fn part(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match (byte, self.begun) {
                (b'0'..=b'9', begun) => {
                    let digit = u32::from(byte - b'0');
                    let number = begun.unwrap_or(0).checked_mul(10).and_then(|tens| tens.checked_add(digit));
                    self.is_broken |= number.is_none();
                    self.begun = number;
                }
                (b' ', _) => self.line_end(),
                // `(MODSEQ 7)` and whatever else was not asked for.
                _ => self.is_broken = true,
            }
        }
    }

    /// The line is over.
    pub fn line_end(&mut self) {
        if let Some(number) = self.begun.take() {
            self.add(number);
        }
    }

    /// Adds one UID.
    pub fn add(&mut self, uid: u32) {
        let is_full = self.ranges.len() >= MAX_RANGES;
        match self.ranges.last_mut() {
            _ if self.is_broken => (),
            Some(last) if last.1.checked_add(1) == Some(uid) => last.1 = uid,
            _ if is_full => self.is_broken = true,
            _ => self.ranges.push((uid, uid)),
        }
    }

    /// Adds a set.
    pub fn add_all(&mut self, uids: &UidSet) {
        self.is_broken |= uids.ranges().len() + self.ranges.len() > MAX_RANGES;
        if !self.is_broken {
            self.ranges.extend(uids.ranges());
        }
    }

    /// All that was found; `None` when that is not known.
    pub fn finish(self) -> Option<UidSet> {
        (!self.is_broken && !self.ranges.iter().any(|range| range.0 == 0)).then(|| UidSet::of(self.ranges))
    }
}

/// The UID of `* 5 FETCH (UID 7)`, with nothing else in it.
pub fn only_uid(line: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix("* ")?.to_ascii_uppercase();
    let (number, rest) = text.split_once(" FETCH (UID ")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    rest.strip_suffix(')').filter(|uid| is_number(uid) && is_number(number))?.parse().ok().filter(|uid| *uid > 0)
}

/// Whether it is `* 5 EXPUNGE`: the numbers of the messages behind that one move.
pub fn is_expunge(line: &[u8]) -> bool {
    line.strip_prefix(b"* ")
        .and_then(|rest| rest.split(|byte| *byte == b' ').nth(1))
        .is_some_and(|word| word.eq_ignore_ascii_case(b"EXPUNGE"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Found, MAX_RANGES, is_expunge, only_uid};

    fn read(parts: &[&str]) -> Option<String> {
        let mut found = Found::default();
        for part in parts {
            found.part(part.as_bytes());
        }
        found.line_end();
        found.finish().map(|uids| uids.to_string())
    }

    #[test]
    fn numbers_are_read_in_whatever_parts_they_come() {
        assert_eq!(read(&[" 2 3 7"]).as_deref(), Some("2:3,7"));
        assert_eq!(read(&[" 9 2", "3 1"]).as_deref(), Some("1,9,23"));
        assert_eq!(
            (read(&[]).as_deref(), read(&[""]).as_deref(), read(&["  "]).as_deref()),
            (Some(""), Some(""), Some(""))
        );
        for odd in [" 2 (MODSEQ 7)", " 0", " 4294967296", " x", " 1:2", " 99999999999999999999 1"] {
            assert_eq!(read(&[odd]), None, "{odd}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_not_kept_is_not_known() {
        let many = |ranges: usize| (0..ranges).map(|at| format!(" {}", 2 * at + 1)).collect::<String>();
        assert!(read(&[&many(MAX_RANGES)]).is_some());
        assert_eq!(read(&[&many(MAX_RANGES + 1)]), None);
        let mut found = Found::default();
        for uid in 1..1_000_000 {
            found.add(uid);
        }
        assert_eq!(found.finish().map(|uids| uids.to_string()).as_deref(), Some("1:999999"));
    }

    #[test]
    fn a_fetch_of_uids_tells_one() {
        assert_eq!((only_uid(b"* 5 FETCH (UID 7)"), only_uid(b"* 5 fetch (uid 7)")), (Some(7), Some(7)));
        for other in [
            "* 5 FETCH (UID 7 FLAGS ())",
            "* 5 FETCH (FLAGS () UID 7)",
            "* 5 FETCH (UID 0)",
            "* 5 FETCH (UID 7) x",
            "* FETCH (UID 7)",
            "* 5 EXPUNGE",
        ] {
            assert_eq!(only_uid(other.as_bytes()), None, "{other}");
            assert_eq!(is_expunge(other.as_bytes()), other.ends_with("EXPUNGE"), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd(noise in any::<Vec<u8>>(), uids in proptest::collection::btree_set(1_u32.., 0..40), cut in 1_usize..9) {
            let mut found = Found::default();
            found.part(&noise);
            let _ = (found.finish(), only_uid(&noise));
            let line: String = uids.iter().map(|uid| format!(" {uid}")).collect();
            let parts: Vec<&str> = line.as_bytes().chunks(cut).map(|part| std::str::from_utf8(part).unwrap()).collect();
            let expected: crate::protocol::imap::uid_set::UidSet = uids.into_iter().collect();
            prop_assert_eq!(read(&parts), Some(expected.to_string()));
        }
    }
}
