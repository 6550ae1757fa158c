//! Names: addresses, folders, distinguished names, identifiers, the forms of secrets, moments.

use mailwarden::crypto::encoding::{
    AGENT_PASSWORD, CLIENT_SECRET, HANDLE, OPERATOR_TOKEN, base64, base64url, from_base64, from_base64url, from_hex,
    hex, is_well_formed, is_well_formed_short,
};
use mailwarden::domain::address::{AddressPattern, MailAddress};
use mailwarden::domain::clock::Timestamp;
use mailwarden::domain::distinguished_name::DistinguishedName;
use mailwarden::domain::folder::{FolderPath, FolderPattern};
use mailwarden::domain::id::{ClientId, GrantId, MailboxId};

/// Two addresses or patterns, one a line.
pub(super) fn address(data: &[u8]) {
    let Some((first, second)) = super::halves(data) else { return };
    if let Ok(address) = MailAddress::from_resource(first) {
        assert_eq!(MailAddress::from_resource(&address.to_resource()), Ok(address));
    }
    if let Ok(address) = first.parse::<MailAddress>() {
        let text = address.as_str();
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>()[]\\,;:\"%".contains(&byte)), "{text:?}");
        assert!(text.matches('@').count() == 1 && text.ends_with(address.domain()) && text.eq_ignore_ascii_case(first));
        assert_eq!(text.parse(), Ok(address));
    }
    let (Ok(one), Ok(other)) = (first.parse::<AddressPattern>(), second.parse::<AddressPattern>()) else { return };
    assert_eq!(one.to_string().parse(), Ok(one.clone()));
    assert!(one.covers(&one));
    let common = one.common(&other);
    assert_eq!(common, other.common(&one));
    let addresses = [first, second, "x@a.test"]
        .into_iter()
        .filter_map(|text| text.trim_start_matches('@').parse::<MailAddress>().ok());
    for address in addresses {
        assert!(!one.covers(&other) || !other.matches(&address) || one.matches(&address));
        let both = one.matches(&address) && other.matches(&address);
        assert_eq!(common.as_ref().is_some_and(|pattern| pattern.matches(&address)), both);
    }
}

/// Two folders or patterns, one a line.
pub(super) fn folder(data: &[u8]) {
    let Some((first, second)) = super::halves(data) else { return };
    for delimiter in [Some('/'), Some('.'), None] {
        if let Some(path) = FolderPath::from_name(first, delimiter) {
            assert!(path.segments().iter().all(|part| !part.is_empty() && part != "." && part != ".."));
        }
    }
    let (Ok(one), Ok(other)) = (first.parse::<FolderPattern>(), second.parse::<FolderPattern>()) else { return };
    assert_eq!(one.to_string().parse(), Ok(one.clone()));
    assert!(one.covers(&one));
    let common = one.common(&other);
    assert_eq!(common, other.common(&one));
    let below = [first, second].map(|text| text.trim_end_matches('*').trim_end_matches('/').to_owned());
    for name in below.iter().flat_map(|name| [name.clone(), format!("{name}/x"), "INBOX".to_owned()]) {
        let Some(path) = FolderPath::from_name(&name, Some('/')) else { continue };
        assert!(
            !one.covers(&other) || !other.matches(&path) || one.matches(&path),
            "{one} covers {other} but not {path}"
        );
        let both = one.matches(&path) && other.matches(&path);
        assert_eq!(common.as_ref().is_some_and(|pattern| pattern.matches(&path)), both, "{one} and {other} at {path}");
    }
}

/// A distinguished name: unchanged by what means nothing, changed by what means something.
pub(super) fn distinguished(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    let Ok(name) = text.parse::<DistinguishedName>() else { return };
    assert!(!text.contains(['\0', '"', '<', '>']) || text.contains('\\'));
    assert_eq!(format!(" {text}").parse(), Ok(name.clone()), "white space before it means nothing");
    assert_eq!(format!("CN=a,{text}").parse::<DistinguishedName>().map(|other| other == name), Ok(false));
    assert_eq!(format!("CN=a+{text}").parse::<DistinguishedName>().map(|other| other == name), Ok(false));
    assert!(format!("{text},").parse::<DistinguishedName>().is_err(), "half a name");
}

/// What looks like a secret, an identifier, a moment or octets as text.
pub(super) fn secret(data: &[u8]) {
    if let Some(octets) = from_base64(data) {
        assert_eq!(base64(&octets).as_bytes(), data);
    }
    let Some(text) = super::text(data) else { return };
    for prefix in [CLIENT_SECRET, OPERATOR_TOKEN, HANDLE, AGENT_PASSWORD] {
        let [long, short] = [is_well_formed(prefix, text), is_well_formed_short(prefix, text)];
        assert!(!(long && short) && (!(long || short) || text.starts_with(prefix)));
    }
    if let Some(octets) = from_base64url(text) {
        assert_eq!(base64url(&octets), text);
    }
    if let Some(octets) = from_hex(text) {
        assert_eq!(hex(&octets), text.to_ascii_lowercase());
    }
    if let Ok(id) = text.parse::<ClientId>() {
        assert_eq!(id.as_str(), text);
        assert!(text.parse::<MailboxId>().is_err() && text.parse::<GrantId>().is_err());
    }
    if let Some(moment) = Timestamp::parse_rfc3339(text) {
        assert_eq!(Timestamp::parse_rfc3339(&moment.to_rfc3339()), Some(moment));
        let _ = (moment.to_rfc5322(), moment.plus_secs(i64::MAX), moment.plus_millis(i64::MIN));
    }
}
