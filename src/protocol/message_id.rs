//! The Message-ID of a message that passes by: found in its header as it streams, and brought into the one form that is compared.

/// So much of a header is looked at.
const MAX_HEADER: usize = 64 * 1024;
/// Longest Message-ID; what is longer is told apart by its beginning.
const MAX_ID: usize = 998;
/// A header should have one; whoever puts in two could hide behind either.
const MAX_IDS: usize = 4;
const NAME: &[u8] = b"message-id";

/// The form that is compared: what stands between the first `<` and the `>` after it, without white space; all of it where there are
/// no brackets. `None` when nothing is left.
pub fn canonical(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|one| !one.is_whitespace() && !one.is_control()).collect();
    let inner = text.split_once('<').map_or(text.as_str(), |(_, rest)| rest.split('>').next().unwrap_or(rest));
    let kept: String = inner.chars().take(MAX_ID).collect();
    (!kept.is_empty()).then_some(kept)
}

#[derive(Debug)]
enum At {
    /// At the start of a line: so many octets of the name were found there.
    Name(usize),
    /// Behind the name, before the colon.
    Colon,
    /// In the value.
    Value,
    /// At the start of a line that may go on with the value.
    Fold,
    /// In a line that is of no interest.
    Skip,
}

/// Looks for Message-ID fields in the octets of a message. It stops at the end of the header, and costs nothing afterwards.
#[derive(Debug)]
pub struct HeaderScan {
    at: At,
    seen: usize,
    is_over: bool,
    value: Vec<u8>,
    found: Vec<String>,
}

impl Default for HeaderScan {
    fn default() -> Self {
        Self { at: At::Name(0), seen: 0, is_over: false, value: Vec::new(), found: Vec::new() }
    }
}

impl HeaderScan {
    /// Whether the end of the header, or of what is looked at, has been reached.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes the next octets, however they are cut.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes.get(..bytes.len().min(MAX_HEADER.saturating_sub(self.seen))).unwrap_or_default();
        self.seen += rest.len();
        while let Some((first, after)) = rest.split_first() {
            if self.is_over {
                return;
            }
            if matches!(self.at, At::Skip) {
                let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { break };
                self.at = At::Name(0);
                rest = rest.get(end + 1..).unwrap_or_default();
                continue;
            }
            rest = after;
            self.octet(*first);
        }
        if self.seen >= MAX_HEADER {
            self.over();
        }
    }

    fn octet(&mut self, byte: u8) {
        match self.at {
            At::Fold if matches!(byte, b' ' | b'\t') => self.at = At::Value,
            At::Fold => {
                self.keep();
                self.at = At::Name(0);
                self.octet(byte);
            }
            At::Name(0) if byte == b'\r' => (),
            At::Name(0) if byte == b'\n' => self.over(),
            At::Name(found) if NAME.get(found).is_some_and(|known| byte.eq_ignore_ascii_case(known)) => {
                self.at = if found + 1 == NAME.len() { At::Colon } else { At::Name(found + 1) };
            }
            At::Colon if byte == b':' => self.at = At::Value,
            At::Colon if matches!(byte, b' ' | b'\t') => (),
            At::Value if byte == b'\n' => self.at = At::Fold,
            At::Value if self.value.len() < 4 * MAX_ID => self.value.push(byte),
            At::Value => (),
            At::Name(_) | At::Colon | At::Skip => self.at = if byte == b'\n' { At::Name(0) } else { At::Skip },
        }
    }

    fn keep(&mut self) {
        let value = std::mem::take(&mut self.value);
        if let Some(id) = canonical(&String::from_utf8_lossy(&value))
            && self.found.len() < MAX_IDS
            && !self.found.contains(&id)
        {
            self.found.push(id);
        }
    }

    fn over(&mut self) {
        self.keep();
        self.is_over = true;
    }

    /// The ids that were found, in the form that is compared.
    pub fn finish(mut self) -> Vec<String> {
        self.over();
        self.found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{HeaderScan, MAX_HEADER, canonical};

    fn ids(message: &[u8]) -> Vec<String> {
        let mut scan = HeaderScan::default();
        scan.feed(message);
        scan.finish()
    }

    #[test]
    fn the_id_is_found_in_each_of_its_forms() {
        for (header, expected) in [
            ("From: a\r\nMessage-ID: <1@x.test>\r\n\r\n", vec!["1@x.test"]),
            ("message-id:<1@x.test>\r\n\r\n", vec!["1@x.test"]),
            ("Message-Id :\r\n\t<1@\r\n x.test> (why)\r\nTo: b\r\n\r\n", vec!["1@x.test"]),
            ("Message-ID: <1@x.test>\n\nbody", vec!["1@x.test"]),
            ("Message-ID: bare@x.test\r\n", vec!["bare@x.test"]),
            ("Message-ID: <1@x.test>", vec!["1@x.test"]),
            (
                "Subject: Message-ID: <no@x.test>\r\nX-Message-ID: <no@x.test>\r\nMessage-IDs: <no@x.test>\r\n\r\n",
                vec![],
            ),
            ("Subject: x\r\n Message-ID: <no@x.test>\r\n\r\n", vec![]),
            ("Message-ID:\r\n\r\n", vec![]),
            ("Subject: none\r\n\r\nMessage-ID: <in-the-body@x.test>\r\n", vec![]),
            (
                "Message-ID: <1@x.test>\r\nMESSAGE-ID: <2@x.test>\r\nMessage-ID: <1@x.test>\r\n\r\n",
                vec!["1@x.test", "2@x.test"],
            ),
            ("", vec![]),
        ] {
            assert_eq!(ids(header.as_bytes()), expected, "{header:?}");
        }
    }

    #[test]
    fn an_absurdly_long_id_or_header_costs_no_more_and_is_told_apart_alike() {
        let long = format!("<{}@x.test>", "i".repeat(50_000));
        let found = ids(format!("Message-ID: {long}\r\n\r\n").as_bytes());
        assert_eq!(found, vec![canonical(&long).unwrap()]);
        let late = format!("X: {}\r\nMessage-ID: <late@x.test>\r\n\r\n", "x".repeat(MAX_HEADER));
        assert!(ids(late.as_bytes()).is_empty());
        let mut scan = HeaderScan::default();
        scan.feed(b"A: b\r\n\r\n");
        assert!(scan.is_over());
    }

    proptest! {
        #[test]
        fn it_is_found_however_the_octets_are_cut(cuts in proptest::collection::vec(1_usize..9, 1..40), lead in "[ -~]{0,30}") {
            let message = format!("Subject: {lead}\r\nMessage-ID:\r\n <1@x.test>\r\nTo: b\r\n\r\nbody");
            let (mut scan, mut rest) = (HeaderScan::default(), message.as_bytes());
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                scan.feed(piece);
                rest = after;
            }
            scan.feed(rest);
            prop_assert_eq!(scan.finish(), vec!["1@x.test".to_owned()]);
        }

        #[test]
        fn no_octets_are_too_odd(noise in any::<Vec<u8>>()) {
            let _ = ids(&noise);
        }
    }
}
