//! Modified UTF-7 (RFC 3501 section 5.1.3), in its one canonical spelling.

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};

const ENGINE: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// Decodes a mailbox name. `None` when it is not the canonical spelling of a name: two spellings of one folder would be two names
/// to a bound and one to the upstream (IM-08).
pub fn decode(name: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(name).ok().filter(|text| text.is_ascii() && text.len() <= 1000)?;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, shifted)) = rest.split_once('&') {
        out.push_str(plain);
        let (code, after) = shifted.split_once('-')?;
        if code.is_empty() {
            out.push('&');
        } else {
            let bytes = ENGINE.decode(code).ok()?;
            let (units, odd) = bytes.as_chunks::<2>();
            if !odd.is_empty() {
                return None;
            }
            let units: Vec<u16> = units.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            out.push_str(&String::from_utf16(&units).ok()?);
        }
        rest = after;
    }
    out.push_str(rest);
    (encode(&out) == text).then_some(out)
}

/// Encodes a mailbox name.
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    let flush = |shifted: &mut Vec<u8>, out: &mut String| {
        if !shifted.is_empty() {
            out.push('&');
            out.push_str(&ENGINE.encode(&*shifted));
            out.push('-');
            shifted.clear();
        }
    };
    for character in name.chars() {
        if (' '..='~').contains(&character) {
            flush(&mut shifted, &mut out);
            out.push(character);
            if character == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            shifted.extend(character.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    flush(&mut shifted, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{decode, encode};

    #[test]
    fn the_rfc_example_goes_both_ways() {
        let wire = "~peter/mail/&U,BTFw-/&ZeVnLIqe-";
        let name = decode(wire.as_bytes()).unwrap();
        assert_eq!(name, "~peter/mail/台北/日本語");
        assert_eq!(encode(&name), wire);
        assert_eq!(decode(b"Tom &- Jerry").as_deref(), Some("Tom & Jerry"));
    }

    #[test]
    fn other_spellings_are_no_names() {
        for wrong in [&b"&AEE-"[..], b"&", b"&U", b"&U,BTFw", b"&AA-", b"&2AA-", b"&U,BTFw-&ZeVnLIqe-", b"\xc3\xa9"] {
            assert_eq!(decode(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }

    proptest! {
        #[test]
        fn im_08_every_name_has_one_spelling(name in "\\PC{0,30}", spelled in "[A-Za-z0-9+,/&-]{0,24}", noise in any::<Vec<u8>>()) {
            prop_assert_eq!(decode(encode(&name).as_bytes()), Some(name));
            if let Some(found) = decode(spelled.as_bytes()) {
                prop_assert_eq!(encode(&found), spelled);
            }
            if let Some(found) = decode(&noise) {
                prop_assert_eq!(encode(&found).into_bytes(), noise);
            }
        }
    }
}
