//! What passes by on its way to a tool and is taken note of: UIDs, content, Message-IDs.

use mailwarden::protocol::imap::fetch::{FetchScan, Shown};
use mailwarden::protocol::imap::uid_set::UidSet;
use mailwarden::protocol::imap::veil::Hidden;
use mailwarden::protocol::message_id::{HeaderScan, canonical};

/// Most messages that are looked at one by one.
const MOST: u64 = 1000;

/// Two sets of UIDs, a line each: sums that must come out, and one spelling.
pub(super) fn uid_set(data: &[u8]) {
    let Some((one, other)) = super::halves(data) else { return };
    let Some(set) = UidSet::parse(one.as_bytes()) else { return };
    assert_eq!(UidSet::parse(set.to_string().as_bytes()).as_ref(), Some(&set));
    assert_eq!(UidSet::parse(set.texts(20).join(",").as_bytes()).as_ref(), Some(&set));
    assert!(set.first() <= set.last() && !set.is_empty());
    let other = UidSet::parse(other.as_bytes()).unwrap_or_default();
    let left = set.minus(&other);
    let common = set.minus(&left);
    assert_eq!(left.len() + common.len(), set.len());
    assert!(left.minus(&other) == left && common.minus(&other).is_empty());
    if left.len() <= MOST {
        let places: Vec<u64> = set.places_without(&other).collect();
        assert_eq!(places.len() as u64, left.len());
        assert!(places.windows(2).all(|pair| pair[0] > pair[1]), "places are told from the last one on");
        let mut rest = set.clone();
        for place in places {
            assert!(u32::try_from(place).is_ok_and(|place| rest.take(place).is_some()));
        }
        assert_eq!(rest, common, "what is told to be gone leaves what is there");
    }
}

/// A FETCH response, in parts that end anywhere: what is found lies where it is said to, a tool gets all of it where nothing is hidden,
/// and the same whatever the parts are.
pub(super) fn fetch(data: &[u8]) {
    let _ = FetchScan::number(data);
    for hidden in [Hidden::default(), Hidden { uid: true, message_id: true }] {
        let whole = fetched(data, hidden, data.len().max(1));
        assert!(hidden != Hidden::default() || whole.as_deref() == Some(data), "nothing was to be hidden");
        for size in [7, 1] {
            assert_eq!(fetched(data, hidden, size), whole, "cut into parts of {size}");
        }
    }
}

/// What a tool gets of one line of a response; `None`: nothing, not even the end of the line.
fn fetched(data: &[u8], hidden: Hidden, size: usize) -> Option<Vec<u8>> {
    let (mut scan, mut left) = (FetchScan::hiding(hidden), Vec::new());
    for part in data.chunks(size) {
        let (shown, rest) = scan.part(part);
        for one in shown {
            if let Shown::Octets(at) = one {
                assert!(part.get(at).is_some(), "it lies in the part");
            }
        }
        left.extend(rest.unwrap_or_else(|| part.to_vec()));
    }
    let has_literal = data.ends_with(b"}");
    let end = scan.line_end(has_literal);
    assert_eq!(end.is_none() && has_literal, scan.is_ours() && has_literal, "a literal comes where it is announced");
    if has_literal {
        let (content, _) = (scan.literal(), scan.is_structure());
        assert!(!content.is_some_and(|content| content.is_ours) || scan.is_ours());
    }
    left.extend(end?);
    Some(left)
}

/// A message: its ids are found however it is cut.
pub(super) fn message_id(data: &[u8]) {
    let found = |size: usize| {
        let mut scan = HeaderScan::default();
        for part in data.chunks(size) {
            scan.feed(part);
        }
        scan.finish()
    };
    let ids = found(data.len().max(1));
    assert_eq!(ids, found(1));
    assert!(ids.iter().all(|id| !id.is_empty()));
    if let Some(id) = super::text(data).and_then(canonical) {
        assert!(!id.is_empty() && !id.contains([' ', '\t', '\r', '\n']));
    }
}
