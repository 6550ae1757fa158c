//! Mail addresses and address patterns.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text is no address that we accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a mail address of the form local@domain")]
pub struct InvalidAddress;

/// A mail address in canonical form: lower case, ASCII, no quoting, no comment (a subset of RFC 5321 section 4.1.2 Mailbox).
///
/// What a mail server may read as a route is none: `@a:b@c`, `b%c@a` and `c!b@a` can all end up elsewhere than at the last domain.
///
/// The local part is lower-cased too. RFC 5321 lets it be case-sensitive; no mailbox provider that we know does that, and two grants
/// that differ in case only would be a trap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailAddress(Box<str>);

impl MailAddress {
    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The resource indicator that names this mailbox (RFC 8707, RFC 6068).
    pub fn to_resource(&self) -> String {
        format!("mailto:{}", self.0)
    }

    /// Reads a resource indicator: the `mailto:` scheme with exactly one address and nothing else.
    pub fn from_resource(resource: &str) -> Result<Self, InvalidAddress> {
        let (scheme, rest) = resource.split_once(':').ok_or(InvalidAddress)?;
        if scheme.eq_ignore_ascii_case("mailto") { rest.parse() } else { Err(InvalidAddress) }
    }
}

impl FromStr for MailAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidAddress)?;
        let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"#$&'*+-/=^_`{|}~".contains(&byte);
        let dotted = |part: &str, allowed: &dyn Fn(u8) -> bool| {
            part.split('.').all(|label| !label.is_empty() && label.bytes().all(allowed))
        };
        let host = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let fits = local.len() <= 64 && domain.len() <= 253;
        if fits && dotted(local, &atom) && dotted(domain, &host) {
            Ok(Self(text.to_ascii_lowercase().into_boxed_str()))
        } else {
            Err(InvalidAddress)
        }
    }
}

/// Which addresses a bound lets through: one address, a whole domain (`@example.com`), or all (`*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressPattern {
    /// Any address.
    Any,
    /// Every address of exactly this domain (not of its subdomains).
    Domain(Box<str>),
    /// This address.
    Address(MailAddress),
}

impl AddressPattern {
    /// Whether `address` is let through.
    pub fn matches(&self, address: &MailAddress) -> bool {
        match self {
            Self::Any => true,
            Self::Domain(domain) => address.domain() == &**domain,
            Self::Address(only) => only == address,
        }
    }

    /// Whether it lets through all that `other` does.
    pub fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Address(address) => self.matches(address),
            Self::Domain(_) | Self::Any => *self == Self::Any || self == other,
        }
    }

    /// What both let through: of two patterns one lies within the other, or they have nothing in common.
    pub fn common(&self, other: &Self) -> Option<Self> {
        if self.covers(other) { Some(other.clone()) } else { other.covers(self).then(|| self.clone()) }
    }
}

impl FromStr for AddressPattern {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(domain) = text.strip_prefix('@') {
            // Borrow the address parser's rules for the domain.
            let probe: MailAddress = format!("x@{domain}").parse()?;
            return Ok(Self::Domain(probe.domain().into()));
        }
        text.parse().map(Self::Address)
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Domain(domain) => write!(f, "@{domain}"),
            Self::Address(address) => f.write_str(address.as_str()),
        }
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for MailAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MailAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for AddressPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AddressPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressPattern, MailAddress};

    #[test]
    fn addresses_have_one_canonical_form() {
        let address: MailAddress = "Support@Contoso.COM".parse().unwrap();
        assert_eq!(address.as_str(), "support@contoso.com");
        assert_eq!(MailAddress::from_resource("mailto:support@contoso.com"), Ok(address));
        for wrong in [
            "",
            "@",
            "a@",
            "@b",
            "a b@c",
            "a@b c",
            "a@b\r\n",
            "\"a\"@b",
            "a..b@c",
            "a@b..c",
            "a%b@c",
            "a!b@c",
            "!a@c",
            "@a,@b:c@d",
            "@a:b@c",
            "a@b@c",
            "\"a@b\"@c",
            "\"a!b\"@c",
            "a@[1.2.3.4]",
            "a@[IPv6:::1]",
            "a@b.",
            "a@.b",
            "a.@b",
            ".a@b",
            "a(x)@b",
            "a,b@c",
            "a:b@c",
            "a;b@c",
            "<a@b>",
            "a@b?cc=x@y",
            "é@b",
        ] {
            assert!(wrong.parse::<MailAddress>().is_err(), "{wrong:?}");
        }
        assert!(MailAddress::from_resource("https://contoso.com").is_err());
    }

    #[test]
    fn a_domain_pattern_is_exact() {
        let pattern: AddressPattern = "@Example.com".parse().unwrap();
        assert!(pattern.matches(&"a@example.com".parse().unwrap()));
        assert!(!pattern.matches(&"a@sub.example.com".parse().unwrap()));
        assert!(!pattern.matches(&"a@notexample.com".parse().unwrap()));
    }
}
