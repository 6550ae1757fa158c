//! Bounds: what limits a grant beyond its scopes. An absent bound does not limit; an empty list lets nothing through.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::address::{AddressPattern, MailAddress};
use crate::domain::budget::Budgets;
use crate::domain::folder::{FolderPath, FolderPattern};
use crate::domain::mechanism::Mechanism;
use crate::domain::privacy::RecipientDetail;
use crate::domain::session::Protocol;

/// The limits inside a grant. A field that this version does not know makes the whole grant unreadable, and so without effect: a
/// newer node's restriction must not be dropped in silence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Folders that may be seen, read and written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub folders: Option<Vec<FolderPattern>>,
    /// Addresses that mail may come from, on the envelope and in the header. Absent: the mailbox's own address only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub senders: Option<Vec<AddressPattern>>,
    /// Addresses that mail may go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub recipients: Option<Vec<AddressPattern>>,
    /// Networks that a tool may come from, at the token endpoint and at the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub networks: Option<Vec<IpNet>>,
    /// Mail protocols that may be spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocols: Option<Vec<Protocol>>,
    /// SASL mechanisms that a token or handle may be presented by at the mail doors; the LOGIN command counts as `LOGIN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanisms: Option<Vec<Mechanism>>,
    /// What ties a token to the tool that asked for it, where the tool can prove no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// What DELE does in POP3. Absent: `refuse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pop3_delete: Option<Pop3Delete>,
    /// How much may be used up, and how many sessions there may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgets: Option<Budgets>,
    /// What the audit log tells of recipients: `full`, `domain`, `digest` or `none`; `digest` when absent. It limits nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_recipients: Option<RecipientDetail>,
}

/// What DELE does in POP3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pop3Delete {
    /// It is refused without `mail.delete`, and removes the message with it.
    #[default]
    Refuse,
    /// It takes the message out of this tool's sight and changes nothing at the upstream, whatever the scopes are.
    Virtual,
}

impl Pop3Delete {
    /// The word in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Virtual => "virtual",
        }
    }
}

/// What ties a token to the tool that asked for it, where the tool can prove no key: less than a binding, and more than nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// A token opens sessions only from the address that it was asked for from. The address stands in the token, as `src`.
    #[serde(default)]
    pub source: bool,
    /// A token opens one session, once.
    #[serde(default)]
    pub single_connection: bool,
}

impl Bounds {
    /// Whether `folder` may be used.
    pub fn allow_folder(&self, folder: &FolderPath) -> bool {
        self.folders.as_ref().is_none_or(|list| list.iter().any(|pattern| pattern.matches(folder)))
    }

    /// Whether `folder` may be used, and so may everything that lies below it.
    pub fn allow_tree(&self, folder: &FolderPath) -> bool {
        let covers = |pattern: &FolderPattern| pattern.covers_all_below(folder);
        self.allow_folder(folder) && self.folders.as_ref().is_none_or(|list| list.iter().any(covers))
    }

    /// Whether `folder` lies above one that may be used, and so is shown as `\Noselect`.
    pub fn leads_to_allowed(&self, folder: &FolderPath) -> bool {
        self.folders.as_ref().is_none_or(|list| list.iter().any(|pattern| pattern.is_below(folder)))
    }

    /// Whether mail may come from `sender`; `own` is the mailbox's address.
    pub fn allow_sender(&self, sender: &MailAddress, own: &MailAddress) -> bool {
        match &self.senders {
            None => sender == own,
            Some(list) => list.iter().any(|pattern| pattern.matches(sender)),
        }
    }

    /// Whether mail may go to `recipient`.
    pub fn allow_recipient(&self, recipient: &MailAddress) -> bool {
        self.recipients.as_ref().is_none_or(|list| list.iter().any(|pattern| pattern.matches(recipient)))
    }

    /// Whether a tool may come from `source`. An IPv4 address in IPv6 clothes is the IPv4 address.
    pub fn allow_source(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.networks.as_ref().is_none_or(|list| list.iter().any(|network| network.contains(&source)))
    }

    /// Whether all that `other` lets through is let through here too, in the mailbox `own`. Says no where it takes more than
    /// comparing entry by entry to see it.
    pub fn cover(&self, other: &Self, own: &MailAddress) -> bool {
        // Named one by one, so that a new bound cannot be forgotten here.
        let Self {
            folders,
            senders,
            recipients,
            networks,
            protocols,
            mechanisms,
            pin,
            pop3_delete,
            budgets,
            audit_recipients: _,
        } = self;
        let (pin, other_pin) = (pin.unwrap_or_default(), other.pin.unwrap_or_default());
        let own = vec![AddressPattern::Address(own.clone())];
        within(folders.as_deref(), other.folders.as_deref(), FolderPattern::covers)
            && within(
                Some(senders.as_ref().unwrap_or(&own)),
                Some(other.senders.as_ref().unwrap_or(&own)),
                AddressPattern::covers,
            )
            && within(recipients.as_deref(), other.recipients.as_deref(), AddressPattern::covers)
            && within(networks.as_deref(), other.networks.as_deref(), |wide, narrow| wide.contains(narrow))
            && within(protocols.as_deref(), other.protocols.as_deref(), PartialEq::eq)
            && within(mechanisms.as_deref(), other.mechanisms.as_deref(), PartialEq::eq)
            // Neither is more than the other.
            && pop3_delete.unwrap_or_default() == other.pop3_delete.unwrap_or_default()
            && (!pin.source || other_pin.source)
            && (!pin.single_connection || other_pin.single_connection)
            && budgets.unwrap_or_default().cover(&other.budgets.unwrap_or_default())
    }

    /// Whether a token that was asked for from `issued_to` may be used from `source`.
    pub fn allow_moved(&self, issued_to: Option<IpAddr>, source: IpAddr) -> bool {
        let is_pinned = self.pin.is_some_and(|pin| pin.source);
        // What a token says of itself holds whatever the grant says by now.
        issued_to.map_or(!is_pinned, |issued_to| issued_to.to_canonical() == source.to_canonical())
    }

    /// Whether DELE in POP3 removes a message for its tool alone.
    pub fn hides_deleted(&self) -> bool {
        self.pop3_delete == Some(Pop3Delete::Virtual)
    }

    /// Whether a token is used up by its first session.
    pub fn is_single_connection(&self) -> bool {
        self.pin.is_some_and(|pin| pin.single_connection)
    }

    /// Whether `protocol` may be spoken.
    pub fn allow_protocol(&self, protocol: Protocol) -> bool {
        self.protocols.as_ref().is_none_or(|list| list.contains(&protocol))
    }

    /// Whether a token may be presented by `mechanism`.
    pub fn allow_mechanism(&self, mechanism: Mechanism) -> bool {
        self.mechanisms.as_ref().is_none_or(|list| list.contains(&mechanism))
    }
}

/// Whether each entry of `narrow` is covered by one of `wide`; an absent list does not limit.
fn within<T>(wide: Option<&[T]>, narrow: Option<&[T]>, covers: impl Fn(&T, &T) -> bool) -> bool {
    match (wide, narrow) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow.iter().all(|one| wide.iter().any(|other| covers(other, one))),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::Bounds;

    #[test]
    fn bounds_cover_what_they_let_through_and_nothing_more() {
        let own = "support@contoso.com".parse().unwrap();
        let read = |text: &str| serde_json::from_str::<Bounds>(text).unwrap();
        for (wide, narrow, covers) in [
            ("{}", r#"{"folders":["A"],"recipients":[],"networks":["10.0.0.0/8"],"protocols":["imap"]}"#, true),
            (r#"{"folders":["A/*","B"]}"#, r#"{"folders":["B","A/C"]}"#, true),
            (r#"{"folders":["A/*"]}"#, "{}", false),
            (r#"{"folders":["A/*"]}"#, r#"{"folders":["A/B","C"]}"#, false),
            (r#"{"folders":["A"]}"#, r#"{"folders":[]}"#, true),
            ("{}", r#"{"senders":["support@contoso.com"]}"#, true),
            (r#"{"senders":["support@contoso.com"]}"#, "{}", true),
            ("{}", r#"{"senders":["boss@contoso.com"]}"#, false),
            (r#"{"senders":["@contoso.com"]}"#, "{}", true),
            (r#"{"senders":[]}"#, "{}", false),
            (r#"{"recipients":["*"]}"#, r#"{"recipients":["@a.example","b@b.example"]}"#, true),
            (r#"{"recipients":["@a.example"]}"#, r#"{"recipients":["x@a.example"]}"#, true),
            (r#"{"recipients":["x@a.example"]}"#, r#"{"recipients":["@a.example"]}"#, false),
            (r#"{"recipients":["@a.example"]}"#, "{}", false),
            (r#"{"networks":["10.0.0.0/8"]}"#, r#"{"networks":["10.1.0.0/16"]}"#, true),
            (r#"{"networks":["10.1.0.0/16"]}"#, r#"{"networks":["10.0.0.0/8"]}"#, false),
            (r#"{"protocols":["imap","smtp"]}"#, r#"{"protocols":["smtp"]}"#, true),
            (r#"{"protocols":["smtp"]}"#, r#"{"protocols":["imap"]}"#, false),
            (r#"{"mechanisms":["XOAUTH2","PLAIN"]}"#, r#"{"mechanisms":["XOAUTH2"]}"#, true),
            (r#"{"mechanisms":["XOAUTH2"]}"#, r#"{"mechanisms":["PLAIN"]}"#, false),
            (r#"{"mechanisms":["XOAUTH2"]}"#, "{}", false),
            ("{}", r#"{"pop3_delete":"refuse"}"#, true),
            ("{}", r#"{"pop3_delete":"virtual"}"#, false),
            (r#"{"pop3_delete":"virtual"}"#, "{}", false),
            (r#"{"pop3_delete":"virtual"}"#, r#"{"pop3_delete":"virtual"}"#, true),
            ("{}", r#"{"budgets":{"bytes":{"hour":1},"sessions":2}}"#, true),
            (r#"{"budgets":{}}"#, "{}", true),
            (r#"{"budgets":{"bytes":{"hour":2}}}"#, r#"{"budgets":{"bytes":{"hour":2,"day":9}}}"#, true),
            (r#"{"budgets":{"bytes":{"hour":2}}}"#, r#"{"budgets":{"bytes":{"hour":3}}}"#, false),
            (r#"{"budgets":{"bytes":{"hour":2}}}"#, "{}", false),
            (r#"{"budgets":{"sessions":2}}"#, r#"{"budgets":{"sessions":3}}"#, false),
        ] {
            assert_eq!(read(wide).cover(&read(narrow), &own), covers, "{wide} for {narrow}");
        }
    }

    #[test]
    fn an_unknown_restriction_makes_the_bounds_unreadable() {
        assert!(serde_json::from_str::<Bounds>(r#"{"moon_phase":"full"}"#).is_err());
        assert_eq!(serde_json::from_str::<Bounds>("{}").unwrap(), Bounds::default());
    }

    #[test]
    fn without_a_sender_bound_only_the_mailbox_itself_may_send() {
        let own = "support@contoso.com".parse().unwrap();
        assert!(Bounds::default().allow_sender(&own, &own));
        assert!(!Bounds::default().allow_sender(&"boss@contoso.com".parse().unwrap(), &own));
    }

    #[test]
    fn mapped_addresses_meet_ipv4_networks() {
        let bounds: Bounds = serde_json::from_str(r#"{"networks":["192.0.2.0/24"]}"#).unwrap();
        assert!(bounds.allow_source("::ffff:192.0.2.7".parse().unwrap()));
        assert!(!bounds.allow_source("198.51.100.1".parse().unwrap()));
    }

    #[test]
    fn a_pinned_token_stays_where_it_was_asked_for() {
        let [here, mapped, there] =
            ["192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"].map(|text| text.parse::<IpAddr>().unwrap());
        let pinned: Bounds = serde_json::from_str(r#"{"pin":{"source":true}}"#).unwrap();
        assert!(pinned.allow_moved(Some(here), mapped) && pinned.allow_moved(Some(mapped), here));
        assert!(!pinned.allow_moved(Some(here), there));
        assert!(!pinned.allow_moved(None, here), "issued before the pin");
        assert!(Bounds::default().allow_moved(None, there));
        assert!(!Bounds::default().allow_moved(Some(here), there), "the token says so");
        assert!(!pinned.is_single_connection() && !Bounds::default().is_single_connection());
        assert!(
            serde_json::from_str::<Bounds>(r#"{"pin":{"single_connection":true}}"#).unwrap().is_single_connection()
        );
        assert!(serde_json::from_str::<Bounds>(r#"{"pin":{"colour":true}}"#).is_err());
    }
}
