//! Distinguished names (RFC 4514), read into what they mean, so that two ways to write one name are equal and nothing else is.

use std::str::FromStr;

/// A distinguished name: its relative names from the root down, each a set of attributes. Values are compared octet for octet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName(Vec<Vec<Attribute>>);

/// The type as a dotted object identifier, and the value.
pub type Attribute = (String, String);

/// Not a name that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a distinguished name as RFC 4514 writes it")]
pub struct NotAName;

/// The short names of attribute types: RFC 4514 section 3, and two that certificates often have.
const SHORT: [(&str, &str); 12] = [
    ("CN", "2.5.4.3"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("C", "2.5.4.6"),
    ("STREET", "2.5.4.9"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("EMAILADDRESS", "1.2.840.113549.1.9.1"),
    ("E", "1.2.840.113549.1.9.1"),
];

impl DistinguishedName {
    /// Puts a name together from its relative names, from the root down. An empty one names nobody.
    pub fn new(mut relative: Vec<Vec<Attribute>>) -> Option<Self> {
        for attributes in &mut relative {
            attributes.sort_unstable();
        }
        let is_whole = !relative.is_empty() && relative.iter().all(|attributes| !attributes.is_empty());
        is_whole.then_some(Self(relative))
    }
}

impl FromStr for DistinguishedName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let mut relative = vec![Vec::new()];
        let mut rest = text;
        loop {
            let (name, behind) = rest.split_once('=').ok_or(NotAName)?;
            let (value, end) = value(behind)?;
            let attribute = (attribute_type(name.trim())?, value);
            relative.last_mut().ok_or(NotAName)?.push(attribute);
            let mut characters = end.chars();
            match characters.next() {
                None => break,
                Some('+') => {}
                Some(_) => relative.push(Vec::new()),
            }
            rest = characters.as_str();
        }
        // The text begins at the leaf.
        relative.reverse();
        Self::new(relative).ok_or(NotAName)
    }
}

fn attribute_type(name: &str) -> Result<String, NotAName> {
    if let Some((_, dotted)) = SHORT.iter().find(|(short, _)| short.eq_ignore_ascii_case(name)) {
        return Ok((*dotted).to_owned());
    }
    let is_number = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !(part.is_empty() || part.starts_with('0')))
    };
    let is_dotted = name.contains('.') && name.split('.').all(is_number);
    if is_dotted { Ok(name.to_owned()) } else { Err(NotAName) }
}

/// One value without its escapes, and what follows: nothing, or text that begins with a separator.
fn value(text: &str) -> Result<(String, &str), NotAName> {
    let text = text.trim_start_matches(' ');
    if text.starts_with('#') {
        // A value in BER: none of ours has one.
        return Err(NotAName);
    }
    let mut octets = Vec::new();
    // Up to where white space was asked for.
    let mut kept = 0;
    let mut characters = text.char_indices();
    let end = loop {
        let Some((at, character)) = characters.next() else { break text.len() };
        match character {
            ',' | ';' | '+' => break at,
            '"' | '<' | '>' | '\0' => return Err(NotAName),
            '\\' => {
                let (_, escaped) = characters.next().ok_or(NotAName)?;
                if let Some(high) = escaped.to_digit(16) {
                    let low = characters.next().and_then(|(_, low)| low.to_digit(16)).ok_or(NotAName)?;
                    octets.push(u8::try_from(high * 16 + low).map_err(|_| NotAName)?);
                } else if " \"#+,;<=>\\".contains(escaped) {
                    octets.extend(escaped.to_string().bytes());
                } else {
                    return Err(NotAName);
                }
                kept = octets.len();
            }
            ' ' => octets.push(b' '),
            other => {
                octets.extend(other.to_string().bytes());
                kept = octets.len();
            }
        }
    };
    octets.truncate(kept);
    let value = String::from_utf8(octets).map_err(|_| NotAName)?;
    if value.is_empty() { Err(NotAName) } else { Ok((value, text.get(end..).unwrap_or_default())) }
}

#[cfg(test)]
mod tests {
    use super::DistinguishedName;

    fn name(relative: &[&[(&str, &str)]]) -> DistinguishedName {
        let own = |attributes: &&[(&str, &str)]| {
            attributes.iter().map(|(kind, value)| ((*kind).to_owned(), (*value).to_owned())).collect()
        };
        DistinguishedName::new(relative.iter().map(own).collect()).unwrap()
    }

    const CN: &str = "2.5.4.3";
    const O: &str = "2.5.4.10";

    #[test]
    fn ways_to_write_one_name_are_equal() {
        let tool = name(&[&[(O, "Acme, Inc.")], &[("2.5.4.11", "IT"), (CN, "Tool")]]);
        for text in [
            r"CN=Tool+OU=IT,O=Acme\, Inc.",
            r"ou=IT+cn=Tool, o=Acme\2C Inc.",
            r"2.5.4.3=Tool + 2.5.4.11=IT ; 2.5.4.10=\41cme\, Inc. ",
        ] {
            assert_eq!(text.parse(), Ok(tool.clone()), "{text}");
        }
        assert_eq!(r"CN=L\C3\BC=\ ".parse(), Ok(name(&[&[(CN, "L\u{fc}= ")]])));
    }

    #[test]
    fn whatever_differs_is_another_name() {
        let tool: DistinguishedName = "CN=Tool,O=Acme".parse().unwrap();
        for other in ["CN=Tool", "O=Acme", "CN=Tool2,O=Acme", "CN=tool,O=Acme", "O=Acme,CN=Tool", "CN=Tool+O=Acme"] {
            assert_ne!(other.parse::<DistinguishedName>().unwrap(), tool, "{other}");
        }
        // One attribute whose value looks like two.
        assert_ne!(name(&[&[(CN, "Tool,O=Acme")]]), tool);
        assert_eq!(r"CN=Tool\,O\=Acme".parse(), Ok(name(&[&[(CN, "Tool,O=Acme")]])));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in [
            "",
            "Tool",
            "CN=",
            "CN=Tool,",
            "CN=Tool+",
            "XY=Tool",
            "1.02=x",
            "=x",
            "CN=#0C0141",
            "CN=\"Tool\"",
            "CN=a\\",
            "CN=a\\z",
            "CN=\\C3",
            "CN=a\0",
            "CN=<a>",
        ] {
            assert!(wrong.parse::<DistinguishedName>().is_err(), "{wrong:?}");
        }
        assert!(DistinguishedName::new(Vec::new()).is_none());
        assert!(DistinguishedName::new(vec![Vec::new()]).is_none());
    }
}
