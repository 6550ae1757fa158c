//! Command lines of submission (RFC 5321 section 4.1, RFC 1870).

/// The verb of a command line in upper case, and the rest.
pub fn verb(line: &[u8]) -> Option<(String, &str)> {
    let text = std::str::from_utf8(line).ok()?;
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some((verb.to_ascii_uppercase(), rest))
}

/// `FROM:<address> PARAMETERS` (or `TO:`), with nothing else in it (SM-05).
pub fn path<'a>(rest: &'a str, word: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let (head, rest) = rest.split_at_checked(word.len())?;
    if !head.eq_ignore_ascii_case(word) {
        return None;
    }
    let (address, parameters) = rest.trim_start_matches(' ').strip_prefix('<')?.split_once('>')?;
    if !(parameters.is_empty() || parameters.starts_with(' ')) || address.contains(['<', ' ', '"']) {
        return None;
    }
    Some((address, parameters.split(' ').filter(|word| !word.is_empty()).collect()))
}

/// The value of SIZE: digits (RFC 1870 section 3) that fit.
pub fn size(value: &str) -> Option<u64> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok())?
}

/// A line of DATA as it was meant, or `None` for the dot that ends the message (RFC 5321 section 4.5.2).
pub fn undot(mut line: Vec<u8>) -> Option<Vec<u8>> {
    if line == b"." {
        return None;
    }
    if line.first() == Some(&b'.') {
        line.remove(0);
    }
    Some(line)
}

/// A line of a message as DATA carries it: it cannot be the dot that ends the message.
pub fn dotted(line: &[u8]) -> Vec<u8> {
    let dot: &[u8] = if line.first() == Some(&b'.') { b"." } else { b"" };
    [dot, line, b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{dotted, path, size, undot, verb};
    use crate::domain::address::MailAddress;

    #[test]
    fn only_a_plain_path_is_taken() {
        assert_eq!(path("FROM:<a@b> SIZE=1", "FROM:"), Some(("a@b", vec!["SIZE=1"])));
        assert_eq!(path("from: <>", "FROM:"), Some(("", vec![])));
        for wrong in ["FROM:a@b", "FROM:<a@b", "FROM:<a@b>AUTH=<>", "FROM:<a b@c>", "FROM:<<a@b>>", "TO:<a@b>", "FRO"] {
            assert_eq!(path(wrong, "FROM:").filter(|(address, _)| !address.is_empty()), None, "{wrong}");
        }
    }

    #[test]
    fn a_dot_alone_ends_a_message_and_no_line_of_it_can() {
        assert_eq!(undot(b".".to_vec()), None);
        for (meant, sent) in [("", "\r\n"), (".", "..\r\n"), ("..", "...\r\n"), (".x", "..x\r\n"), ("x.", "x.\r\n")] {
            assert_eq!(dotted(meant.as_bytes()), sent.as_bytes());
            assert_eq!(undot(sent.trim_end().as_bytes().to_vec()).unwrap(), meant.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), parts in prop::collection::vec(
            prop::sample::select(vec!["FROM:", "TO:", "<", ">", " ", "a@b.test", "SIZE=", "9", "\u{f6}", "\"", "@"]), 0..12,
        )) {
            let line = [b"MAIL ", bytes.as_slice()].concat();
            if let Some((_, rest)) = verb(&line) {
                let _ = path(rest, "FROM:");
            }
            let text = parts.concat();
            let _ = size(&text);
            if let Some((address, parameters)) = path(&text, "FROM:") {
                prop_assert!(!address.contains(['<', '>', ' ']) && parameters.iter().all(|word| !word.contains(' ')));
            }
        }

        #[test]
        fn what_was_read_is_written_and_read_alike(
            local in "[A-Za-z0-9!#$&'*+/=?^_`{|}~.-]{1,20}", domain in "[A-Za-z0-9.-]{1,20}", parameter in "[A-Z]{1,8}=[0-9]{0,20}",
        ) {
            let line = format!("MAIL FROM:<{local}@{domain}> {parameter}");
            let (verb, rest) = verb(line.as_bytes()).unwrap();
            prop_assert_eq!(verb, "MAIL");
            let (address, parameters) = path(rest, "FROM:").unwrap();
            prop_assert_eq!(parameters, vec![parameter.as_str()]);
            if let Ok(address) = address.parse::<MailAddress>() {
                let again: MailAddress = address.to_string().parse().unwrap();
                prop_assert_eq!(&again, &address);
                let said = format!("FROM:<{address}>");
                let (read, parameters) = path(&said, "FROM:").unwrap();
                prop_assert!(read == address.as_str() && parameters.is_empty());
            }
        }

        #[test]
        fn a_number_is_read_as_it_was_written(number in any::<u64>()) {
            prop_assert_eq!(size(&number.to_string()), Some(number));
        }
    }
}
