//! Ranges of message UIDs, as they are kept of what a tool has put out of its sight.

/// UIDs from the first to the last, under one UIDVALIDITY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UidRange {
    /// The UIDVALIDITY of the folder: under another one the UIDs are other messages'.
    pub validity: u32,
    /// The first.
    pub first: u32,
    /// The last.
    pub last: u32,
}

impl UidRange {
    /// Whether a message lies in it.
    pub fn holds(&self, uid: u32) -> bool {
        (self.first..=self.last).contains(&uid)
    }

    /// Whether a message of `uids`, which ascend, lies in it.
    pub fn holds_any(&self, uids: &[u32]) -> bool {
        let at = uids.partition_point(|uid| *uid < self.first);
        uids.get(at).is_some_and(|uid| self.holds(*uid))
    }

    /// As few ranges as hold all of `ranges` and none of `left`, which ascend. What lies between and is no message any more cannot
    /// become one: UIDs only grow.
    pub fn merged(ranges: &[Self], left: &[u32]) -> Vec<Self> {
        let mut sorted = ranges.to_vec();
        sorted.sort_unstable();
        let mut merged: Vec<Self> = Vec::new();
        for range in sorted {
            match merged.last_mut() {
                Some(before)
                    if before.validity == range.validity
                        && !(Self { first: before.first, last: before.last.max(range.last), ..*before })
                            .holds_any(left) =>
                {
                    before.last = before.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::UidRange;

    fn one(uid: u32) -> UidRange {
        UidRange { validity: 1, first: uid, last: uid }
    }

    #[test]
    fn what_is_out_of_sight_takes_few_ranges() {
        let merged = UidRange::merged(&[one(9), one(1), one(2), one(7), one(5)], &[3, 8]);
        let expected = [(1, 2), (5, 7), (9, 9)].map(|(first, last)| UidRange { validity: 1, first, last });
        assert_eq!(merged, expected, "4 and 6 are no messages any more");
        let other = UidRange { validity: 2, ..one(3) };
        assert_eq!(UidRange::merged(&[one(2), other], &[]), [one(2), other]);
    }

    proptest! {
        #[test]
        fn merging_hides_what_was_hidden_and_nothing_that_was_left(fates in prop::collection::vec(any::<Option<bool>>(), 0..60)) {
            let uids = |wanted: bool| -> Vec<u32> {
                (1..).zip(&fates).filter(|(_, fate)| **fate == Some(wanted)).map(|(uid, _)| uid).collect()
            };
            let (hidden, left) = (uids(true), uids(false));
            let ranges: Vec<UidRange> = hidden.iter().map(|uid| one(*uid)).collect();
            let merged = UidRange::merged(&ranges, &left);
            for uid in &hidden {
                prop_assert!(merged.iter().any(|range| range.holds(*uid)));
            }
            for range in &merged {
                prop_assert!(!range.holds_any(&left) && range.holds_any(&hidden));
            }
            prop_assert_eq!(UidRange::merged(&merged, &left), merged);
        }
    }
}
