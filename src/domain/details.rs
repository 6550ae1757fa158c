//! Authorization details of the type `mailbox` (RFC 9396): what a tool asks to be left of its grant, and a token then carries.

use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::address::{AddressPattern, MailAddress};
use crate::domain::bounds::Bounds;
use crate::domain::budget::Budgets;
use crate::domain::folder::FolderPattern;
use crate::domain::session::Protocol;

/// Longest text of granted details in octets: they travel in every token.
pub const MAX_OCTETS: usize = 2048;

/// A narrowing of the grant's bounds. An absent field narrows nothing; an empty list lets nothing through. A field that this version
/// does not know makes the whole unreadable: it may be a newer node's restriction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailboxDetails {
    #[serde(rename = "type")]
    kind: Kind,
    /// Folders that may be seen, read and written.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub folders: Option<Vec<FolderPattern>>,
    /// Addresses that mail may come from.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub senders: Option<Vec<AddressPattern>>,
    /// Addresses that mail may go to.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub recipients: Option<Vec<AddressPattern>>,
    /// Mail protocols that may be spoken.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub protocols: Option<Vec<Protocol>>,
    /// How much may be used up, on the grant's own counters.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub budgets: Option<Budgets>,
}

/// The one type that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Mailbox,
}

/// A field that is there has its type: `null` is not the same as absent.
pub(in crate::domain) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl MailboxDetails {
    /// The value of RFC 9396's `type`.
    pub const TYPE: &'static str = "mailbox";

    /// Reads the array that RFC 9396 defines: exactly one element, because a token opens one mailbox. `None` for anything else.
    pub fn from_array(array: &serde_json::Value) -> Option<Self> {
        match array.as_array()?.as_slice() {
            [one] => serde_json::from_value(one.clone()).ok(),
            _ => None,
        }
    }

    /// The array that goes into answers and tokens, in canonical spelling.
    pub fn to_array(&self) -> serde_json::Value {
        serde_json::json!([self])
    }
}

impl Bounds {
    /// Whether every pattern of `details` lies within one pattern of these bounds, so that nothing has to be cut off in silence. `own` is
    /// the mailbox's address.
    pub fn cover_details(&self, details: &MailboxDetails, own: &MailAddress) -> bool {
        fn all<T>(asked: Option<&Vec<T>>, within: impl Fn(&T) -> bool) -> bool {
            asked.is_none_or(|list| list.iter().all(within))
        }
        let (folders, recipients) = (self.folders.as_ref(), self.recipients.as_ref());
        all(details.folders.as_ref(), |asked| {
            folders.is_none_or(|granted| granted.iter().any(|pattern| pattern.covers(asked)))
        }) && all(details.senders.as_ref(), |asked| self.senders(own).iter().any(|pattern| pattern.covers(asked)))
            && all(details.recipients.as_ref(), |asked| {
                recipients.is_none_or(|granted| granted.iter().any(|pattern| pattern.covers(asked)))
            })
            && all(details.protocols.as_ref(), |asked| self.allow_protocol(*asked))
            && details.budgets.is_none_or(|asked| self.budgets.unwrap_or_default().hold(&asked))
    }

    /// These bounds cut down to `details`: what either refuses is refused.
    #[must_use]
    pub fn narrow(&self, details: &MailboxDetails, own: &MailAddress) -> Self {
        Self {
            folders: both(self.folders.clone(), details.folders.as_deref(), FolderPattern::common),
            senders: match details.senders.as_deref() {
                None => self.senders.clone(),
                asked => both(Some(self.senders(own)), asked, AddressPattern::common),
            },
            recipients: both(self.recipients.clone(), details.recipients.as_deref(), AddressPattern::common),
            networks: self.networks.clone(),
            protocols: both(self.protocols.clone(), details.protocols.as_deref(), |one, other| {
                (one == other).then_some(*one)
            }),
            mechanisms: self.mechanisms.clone(),
            pin: self.pin,
            pop3_delete: self.pop3_delete,
            budgets: match (self.budgets, details.budgets) {
                (Some(granted), Some(asked)) => Some(granted.narrow(&asked)),
                (granted, asked) => granted.or(asked),
            },
            audit_recipients: self.audit_recipients,
        }
    }

    /// The senders that are meant, also where no list says so.
    fn senders(&self, own: &MailAddress) -> Vec<AddressPattern> {
        self.senders.clone().unwrap_or_else(|| vec![AddressPattern::Address(own.clone())])
    }
}

/// What two lists have in common, where `common` says what two of their patterns have in common.
fn both<T: Clone + PartialEq>(
    granted: Option<Vec<T>>,
    asked: Option<&[T]>,
    common: impl Fn(&T, &T) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(asked) = asked else { return granted };
    let Some(granted) = granted else { return Some(asked.to_vec()) };
    let mut left: Vec<T> = Vec::new();
    for pattern in granted.iter().flat_map(|one| asked.iter().filter_map(|other| common(one, other))) {
        if !left.contains(&pattern) {
            left.push(pattern);
        }
    }
    Some(left)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::{ProptestConfig, Strategy, proptest};
    use proptest::sample::select;
    use serde_json::json;

    use super::MailboxDetails;
    use crate::domain::address::{AddressPattern, MailAddress};
    use crate::domain::bounds::Bounds;
    use crate::domain::folder::{FolderPath, FolderPattern};
    use crate::domain::session::Protocol;

    const OWN: &str = "own@a.test";
    const FOLDERS: [&str; 8] = ["*", "INBOX", "A", "A/*", "A/B", "A/B/*", "A/B/C", "B/*"];
    const PATHS: [&str; 8] = ["INBOX", "inbox", "A", "A/B", "A/B/C", "A/B/C/D", "B", "B/A"];
    const ADDRESSES: [&str; 7] = ["*", "@a.test", "@b.test", OWN, "x@a.test", "x@b.test", "x@sub.a.test"];

    fn patterns<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug + Clone + 'static>(
        from: &'static [&'static str],
    ) -> impl Strategy<Value = Option<Vec<T>>> {
        option::of(vec(select(from).prop_map(|text| text.parse().unwrap()), 0..4))
    }

    fn protocols() -> impl Strategy<Value = Option<Vec<Protocol>>> {
        option::of(vec(select(Protocol::ALL.to_vec()), 0..3))
    }

    fn bounds() -> impl Strategy<Value = Bounds> {
        let lists = (patterns(&FOLDERS), patterns(&ADDRESSES), patterns(&ADDRESSES), protocols());
        lists.prop_map(|(folders, senders, recipients, protocols)| Bounds {
            audit_recipients: None,
            pin: None,
            mechanisms: None,
            pop3_delete: None,
            budgets: None,
            folders,
            senders,
            recipients,
            networks: None,
            protocols,
        })
    }

    fn details() -> impl Strategy<Value = MailboxDetails> {
        let lists = (patterns(&FOLDERS), patterns(&ADDRESSES), patterns(&ADDRESSES), protocols());
        lists.prop_map(|(folders, senders, recipients, protocols)| MailboxDetails {
            kind: super::Kind::Mailbox,
            folders,
            senders,
            recipients,
            protocols,
            budgets: None,
        })
    }

    fn let_through<T>(list: Option<&Vec<T>>, matches: impl Fn(&T) -> bool) -> bool {
        list.is_none_or(|list| list.iter().any(matches))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn tok_12_what_is_left_is_exactly_what_both_let_through(bounds in bounds(), details in details()) {
            let own: MailAddress = OWN.parse().unwrap();
            let left = bounds.narrow(&details, &own);
            for path in PATHS.map(|path| FolderPath::from_name(path, Some('/')).unwrap()) {
                let asked = let_through(details.folders.as_ref(), |pattern| pattern.matches(&path));
                assert_eq!(left.allow_folder(&path), bounds.allow_folder(&path) && asked, "{path}");
            }
            for address in ADDRESSES.iter().filter_map(|text| text.parse::<MailAddress>().ok()) {
                let asked = let_through(details.senders.as_ref(), |pattern| pattern.matches(&address));
                assert_eq!(left.allow_sender(&address, &own), bounds.allow_sender(&address, &own) && asked, "{address}");
                let asked = let_through(details.recipients.as_ref(), |pattern| pattern.matches(&address));
                assert_eq!(left.allow_recipient(&address), bounds.allow_recipient(&address) && asked, "{address}");
            }
            for protocol in Protocol::ALL {
                let asked = let_through(details.protocols.as_ref(), |known| *known == protocol);
                assert_eq!(left.allow_protocol(protocol), bounds.allow_protocol(protocol) && asked);
            }
        }

        #[test]
        fn tok_12_what_is_covered_loses_nothing(bounds in bounds(), details in details()) {
            let own: MailAddress = OWN.parse().unwrap();
            if !bounds.cover_details(&details, &own) {
                return Ok(());
            }
            let asked_for = |list: &Option<Vec<AddressPattern>>, address: &MailAddress| {
                list.as_ref().is_some_and(|list| list.iter().any(|pattern| pattern.matches(address)))
            };
            for path in PATHS.map(|path| FolderPath::from_name(path, Some('/')).unwrap()) {
                let asked = details.folders.as_ref().is_some_and(|list| list.iter().any(|one| one.matches(&path)));
                assert!(!asked || bounds.allow_folder(&path), "{path}");
            }
            for address in ADDRESSES.iter().filter_map(|text| text.parse::<MailAddress>().ok()) {
                assert!(!asked_for(&details.senders, &address) || bounds.allow_sender(&address, &own), "{address}");
                assert!(!asked_for(&details.recipients, &address) || bounds.allow_recipient(&address), "{address}");
            }
        }
    }

    #[test]
    fn tok_12_details_lower_budgets_and_never_raise_them() {
        let own: MailAddress = OWN.parse().unwrap();
        let granted: Bounds =
            serde_json::from_value(json!({ "budgets": { "bytes": { "hour": 10 }, "sessions": 2 } })).unwrap();
        for (asked, is_held, left) in [
            (json!({ "bytes": { "hour": 9 } }), true, json!({ "bytes": { "hour": 9 }, "sessions": 2 })),
            (
                json!({ "recipients": { "day": 0 } }),
                true,
                json!({ "recipients": { "day": 0 }, "bytes": { "hour": 10 }, "sessions": 2 }),
            ),
            (json!({ "bytes": { "day": 99 } }), true, json!({ "bytes": { "hour": 10, "day": 99 }, "sessions": 2 })),
            (json!({ "bytes": { "hour": 11 } }), false, json!({ "bytes": { "hour": 10 }, "sessions": 2 })),
            (json!({ "sessions": 3 }), false, json!({ "bytes": { "hour": 10 }, "sessions": 2 })),
        ] {
            let details = MailboxDetails::from_array(&json!([{ "type": "mailbox", "budgets": asked }])).unwrap();
            assert_eq!(granted.cover_details(&details, &own), is_held, "{asked}");
            assert_eq!(serde_json::to_value(granted.narrow(&details, &own).budgets).unwrap(), left, "{asked}");
            let free = serde_json::to_value(Bounds::default().narrow(&details, &own).budgets).unwrap();
            assert_eq!(free, asked, "a grant without budgets");
        }
    }

    #[test]
    fn tok_12_a_pattern_covers_what_it_lets_through() {
        for one in FOLDERS.map(|text| text.parse::<FolderPattern>().unwrap()) {
            for other in FOLDERS.map(|text| text.parse::<FolderPattern>().unwrap()) {
                // Below each pattern that is open at its end, a name that no pattern above knows stands for all of them.
                let probes: Vec<_> = PATHS
                    .iter()
                    .map(|path| (*path).to_owned())
                    .chain(FOLDERS.iter().map(|text| text.replace('*', "z/z")))
                    .collect();
                let covered = probes
                    .iter()
                    .filter_map(|path| FolderPath::from_name(path, Some('/')))
                    .all(|path| !other.matches(&path) || one.matches(&path));
                assert_eq!(one.covers(&other), covered, "{one} {other}");
            }
        }
    }

    #[test]
    fn tok_12_details_are_strictly_typed() {
        let read = |value: serde_json::Value| MailboxDetails::from_array(&value);
        let whole = json!([{ "type": "mailbox", "folders": ["inbox", "A/*"], "senders": ["X@A.test"], "recipients": ["@B.test"],
            "protocols": ["imap", "smtp"] }]);
        let canonical = json!([{ "type": "mailbox", "folders": ["INBOX", "A/*"], "senders": ["x@a.test"], "recipients": ["@b.test"],
            "protocols": ["imap", "smtp"] }]);
        assert_eq!(read(whole).unwrap().to_array(), canonical);
        assert_eq!(read(json!([{ "type": "mailbox" }])).unwrap().to_array(), json!([{ "type": "mailbox" }]));
        for wrong in [
            json!([]),
            json!({ "type": "mailbox" }),
            json!("mailbox"),
            json!(null),
            json!([null]),
            json!([{}]),
            json!([{ "type": "Mailbox" }]),
            json!([{ "type": "payment_initiation" }]),
            json!([{ "type": ["mailbox"] }]),
            json!([{ "type": "mailbox" }, { "type": "mailbox" }]),
            json!([{ "type": "mailbox", "budgets": null }]),
            json!([{ "type": "mailbox", "budgets": { "moons": {} } }]),
            json!([{ "type": "mailbox", "budgets": { "bytes": 1 } }]),
            json!([{ "type": "mailbox", "identifier": "x" }]),
            json!([{ "type": "mailbox", "folders": "INBOX" }]),
            json!([{ "type": "mailbox", "folders": null }]),
            json!([{ "type": "mailbox", "folders": [null] }]),
            json!([{ "type": "mailbox", "folders": [1] }]),
            json!([{ "type": "mailbox", "folders": { "0": "INBOX" } }]),
            json!([{ "type": "mailbox", "folders": ["a*b"] }]),
            json!([{ "type": "mailbox", "senders": ["nobody"] }]),
            json!([{ "type": "mailbox", "recipients": [["x@a.test"]] }]),
            json!([{ "type": "mailbox", "protocols": ["IMAP"] }]),
            json!([{ "type": "mailbox", "protocols": true }]),
        ] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }
}
