//! The UIDs of a folder's messages in order (RFC 3501 section 2.3.1.1), kept as ranges, and the places that they give the messages.

use std::fmt;

/// UIDs that ascend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UidSet(Vec<(u32, u32)>);

impl UidSet {
    /// Reads a set of numbers as an upstream writes it: `3,7:9`. In any order, overlapping or not; never with `*`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (from, to) = part.split_once(':').unwrap_or((part, part));
            let (from, to) = (number(from)?, number(to)?);
            ranges.push((from.min(to), from.max(to)));
        }
        Some(Self::of(ranges))
    }

    /// The UIDs of ranges in any order.
    pub fn of(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut set = Self::default();
        for (first, last) in ranges {
            match set.0.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => set.0.push((first, last)),
            }
        }
        set
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.iter().copied().map(count).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lowest.
    pub fn first(&self) -> Option<u32> {
        self.0.first().map(|range| range.0)
    }

    /// The highest.
    pub fn last(&self) -> Option<u32> {
        self.0.last().map(|range| range.1)
    }

    /// Takes out the UID at `place`, counted from 1 as messages are.
    pub fn take(&mut self, place: u32) -> Option<u32> {
        let mut rest = place.checked_sub(1)?;
        for at in 0..self.0.len() {
            let (first, last) = *self.0.get(at)?;
            if let Some(uid) = first.checked_add(rest).filter(|uid| *uid <= last) {
                self.0.splice(at..=at, without((first, last), uid));
                return Some(uid);
            }
            rest -= u32::try_from(count((first, last))).ok()?;
        }
        None
    }

    /// The UIDs at these places, counted from 1 as messages are. `None` when there are not so many.
    pub fn at(&self, places: &Self) -> Option<Self> {
        let (mut found, mut before) = (Vec::new(), 0);
        let mut ranges = self.0.iter().copied().peekable();
        for &(first, last) in &places.0 {
            let (mut next, last) = (u64::from(first), u64::from(last));
            while next <= last {
                let range = *ranges.peek()?;
                let end = before + count(range);
                if next > end {
                    before = end;
                    ranges.next();
                    continue;
                }
                let to = last.min(end);
                let uid = |place: u64| u32::try_from(u64::from(range.0) + place - before - 1).ok();
                found.push((uid(next)?, uid(to)?));
                next = to + 1;
            }
        }
        Some(Self::of(found))
    }

    /// Its ranges in order: they are what a set costs.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.0.iter().copied()
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        let mut others = other.0.iter().peekable();
        for &(first, last) in &self.0 {
            let mut from = Some(first);
            while let Some(&&(start, end)) = others.peek() {
                let Some(at) = from.filter(|at| start <= last && *at <= last) else { break };
                if start > at {
                    left.push((at, start - 1));
                }
                from = end.checked_add(1).map(|next| next.max(at));
                if end > last {
                    break;
                }
                others.next();
            }
            left.extend(from.filter(|at| *at <= last).map(|at| (at, last)));
        }
        Self(left)
    }

    /// The places in this set of those UIDs that `other` lacks, the highest place first.
    pub fn places_without<'a>(&'a self, other: &Self) -> impl Iterator<Item = u64> + use<'a> {
        let gone = self.minus(other);
        let mut before = self.len();
        let mut ranges = self.0.iter().rev().peekable();
        gone.0.into_iter().rev().flat_map(move |(first, last)| {
            // The range that holds them: what is gone lies in the set.
            while let Some(range) = ranges.peek() {
                if range.0 <= first {
                    break;
                }
                before -= count(**range);
                ranges.next();
            }
            let (start, below) = ranges.peek().map_or((first, 0), |range| (range.0, before - count(**range)));
            let place = move |uid: u32| below + u64::from(uid - start) + 1;
            (first..=last).rev().map(place)
        })
    }

    /// The ranges as text, in lines of about `most` octets.
    pub fn texts(&self, most: usize) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        for range in &self.0 {
            let text = Self(vec![*range]).to_string();
            match texts.last_mut() {
                Some(line) if line.len() + text.len() < most => {
                    line.push(',');
                    line.push_str(&text);
                }
                _ => texts.push(text),
            }
        }
        texts
    }
}

impl FromIterator<u32> for UidSet {
    fn from_iter<T: IntoIterator<Item = u32>>(uids: T) -> Self {
        Self::of(uids.into_iter().map(|uid| (uid, uid)).collect())
    }
}

impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}:{last}")? }
        }
        Ok(())
    }
}

/// A number that is no zero and written in one way.
fn number(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

fn count(range: (u32, u32)) -> u64 {
    u64::from(range.1 - range.0) + 1
}

/// What is left of a range that held `uid`.
fn without((first, last): (u32, u32), uid: u32) -> impl Iterator<Item = (u32, u32)> {
    let below = (uid > first).then(|| (first, uid - 1));
    let above = (uid < last).then(|| (uid + 1, last));
    below.into_iter().chain(above)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::UidSet;

    fn set(text: &str) -> UidSet {
        UidSet::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn single_uids_take_their_shortest_form() {
        let text = |uids: &[u32]| uids.iter().copied().collect::<UidSet>().to_string();
        assert_eq!(text(&[5, 1, 2, 3, 9, 2, 10]), "1:3,5,9:10");
        assert_eq!(text(&[u32::MAX]), "4294967295");
        assert_eq!(text(&[]), "");
    }

    #[test]
    fn ranges_are_read_as_upstreams_write_them() {
        for (text, kept) in [("1", "1"), ("9:7,3", "3,7:9"), ("1,2,3", "1:3"), ("4294967295,1", "1,4294967295")] {
            assert_eq!(set(text).to_string(), kept);
        }
        assert_eq!(set("1:4294967295").len(), 4_294_967_295, "nothing is expanded");
        for wrong in ["", "0", "1,", ",1", "1:*", "1:", "01", "+1", "4294967296", "1 2", "a"] {
            assert_eq!(UidSet::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn places_are_counted_from_one_and_lost_ones_told_from_the_end() {
        let mut known = set("5:7,20,30:31");
        assert_eq!(known.places_without(&set("6,30,90")).collect::<Vec<_>>(), [6, 4, 3, 1]);
        let at = |places: &str| known.at(&set(places)).map(|uids| uids.to_string());
        assert_eq!(at("1,3:5").as_deref(), Some("5,7,20,30"));
        assert_eq!((at("6").as_deref(), at("1:6").as_deref()), (Some("31"), Some("5:7,20,30:31")));
        assert_eq!((at("7"), at("6:7"), UidSet::default().at(&set("1"))), (None, None, None));
        assert_eq!(known.at(&UidSet::default()), Some(UidSet::default()));
        assert_eq!((known.take(4), known.take(6), known.take(0)), (Some(20), None, None));
        assert_eq!((known.take(2), known.to_string()), (Some(6), "5,7,30:31".to_owned()));
        assert_eq!(set("1:4,9,11").texts(6), ["1:4,9", "11"]);
    }

    proptest! {
        #[test]
        fn a_set_of_ranges_is_a_set(
            known in prop::collection::btree_set(1_u32..60, 0..40),
            others in prop::collection::btree_set(1_u32..60, 0..40),
            place in 0_u32..45,
        ) {
            let of = |uids: &BTreeSet<u32>| {
                let texts: Vec<String> = uids.iter().map(u32::to_string).collect();
                if texts.is_empty() { UidSet::default() } else { set(&texts.join(",")) }
            };
            let (ours, theirs) = (of(&known), of(&others));
            let gone: BTreeSet<u32> = known.difference(&others).copied().collect();
            prop_assert_eq!(ours.minus(&theirs), of(&gone));
            let list: Vec<u32> = known.iter().copied().collect();
            let at: Option<BTreeSet<u32>> = others.iter().map(|place| list.get(*place as usize - 1).copied()).collect();
            prop_assert_eq!(ours.at(&theirs), at.map(|uids| of(&uids)));
            let mut places: Vec<u64> = (1..).zip(&list).filter(|(_, uid)| gone.contains(uid)).map(|(place, _)| place).collect();
            places.reverse();
            prop_assert_eq!(ours.places_without(&theirs).collect::<Vec<_>>(), places);
            prop_assert_eq!((ours.len(), ours.last()), (known.len() as u64, list.last().copied()));
            // Told one after the other, the places lead from what was known to what is left.
            let mut walked = ours.clone();
            for place in ours.places_without(&theirs) {
                prop_assert!(walked.take(u32::try_from(place).unwrap()).is_some_and(|uid| gone.contains(&uid)));
            }
            prop_assert_eq!(walked, of(&known.intersection(&others).copied().collect()));
            let mut taken = ours.clone();
            let expected = usize::try_from(place).unwrap().checked_sub(1).and_then(|at| list.get(at)).copied();
            prop_assert_eq!(taken.take(place), expected);
            prop_assert_eq!(taken.len(), ours.len() - u64::from(expected.is_some()));
        }

        #[test]
        fn no_set_is_too_odd(noise in any::<Vec<u8>>(), odd in "[0-9:,*]{0,20}") {
            for text in [noise.as_slice(), odd.as_bytes()] {
                if let Some(read) = UidSet::parse(text) {
                    prop_assert_eq!(UidSet::parse(read.to_string().as_bytes()), Some(read));
                }
            }
        }
    }
}
