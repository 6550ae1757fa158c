//! Putting a message into a multi-line answer (RFC 1939 section 3): lines that begin with a dot get another one, and a line of one dot
//! ends it. The message comes in pieces of any size and is never held.

/// The state between two pieces.
#[derive(Debug)]
pub struct Stuffer {
    /// Whether nothing stands in the line yet but, perhaps, a CR.
    is_line_empty: bool,
    is_after_cr: bool,
    part: Part,
}

/// Which part of the message this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// All of it is wanted.
    Whole,
    /// The header, with so many lines of body to follow.
    Header(u32),
    /// The body, with so many lines to go.
    Body(u32),
}

impl Stuffer {
    /// For all of a message.
    pub fn whole() -> Self {
        Self { is_line_empty: true, is_after_cr: false, part: Part::Whole }
    }

    /// For a message's header, the empty line behind it, and `lines` lines of its body.
    pub fn top(lines: u32) -> Self {
        Self { part: Part::Header(lines), ..Self::whole() }
    }

    /// Whether all that is wanted was there.
    pub fn is_full(&self) -> bool {
        self.part == Part::Body(0)
    }

    /// The next piece, as it is sent. A bare LF becomes CRLF: a program that takes it for the end of a line and one that does not
    /// must read the same lines. A bare CR ends no line.
    pub fn piece(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len() + piece.len() / 64 + 2);
        for byte in piece {
            if self.is_full() {
                break;
            }
            match byte {
                b'\n' => {
                    out.extend_from_slice(if self.is_after_cr { b"\n" } else { b"\r\n" });
                    self.line_ended();
                }
                // The CR of an empty line, or one that stands before other octets.
                b'\r' => {
                    self.is_line_empty &= !self.is_after_cr;
                    self.is_after_cr = true;
                    out.push(b'\r');
                }
                byte => {
                    if *byte == b'.' && self.is_line_empty && !self.is_after_cr {
                        out.push(b'.');
                    }
                    out.push(*byte);
                    (self.is_line_empty, self.is_after_cr) = (false, false);
                }
            }
        }
        out
    }

    fn line_ended(&mut self) {
        self.part = match self.part {
            Part::Header(lines) if self.is_line_empty => Part::Body(lines),
            Part::Body(lines) => Part::Body(lines.saturating_sub(1)),
            part => part,
        };
        (self.is_line_empty, self.is_after_cr) = (true, false);
    }

    /// What follows the last piece.
    pub fn end(&self) -> &'static [u8] {
        if self.is_line_empty && !self.is_after_cr { b".\r\n" } else { b"\r\n.\r\n" }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::Stuffer;

    fn sent(mut stuffer: Stuffer, message: &[u8], piece: usize) -> Vec<u8> {
        let mut out: Vec<u8> = message.chunks(piece.max(1)).flat_map(|piece| stuffer.piece(piece)).collect();
        out.extend_from_slice(stuffer.end());
        out
    }

    /// What a client makes of it: lines up to the one of a dot, the first dot of others taken off. Gives what follows as well.
    fn received(bytes: &[u8], is_end: impl Fn(&[u8], usize) -> bool) -> (Vec<u8>, Vec<u8>) {
        let (mut message, mut line) = (Vec::new(), Vec::new());
        for (at, byte) in bytes.iter().enumerate() {
            line.push(*byte);
            if is_end(bytes, at) {
                if line == b".\r\n" {
                    return (message, bytes[at + 1..].to_vec());
                }
                message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
                line.clear();
            }
        }
        panic!("no end in {:?}", String::from_utf8_lossy(bytes));
    }

    fn at_crlf(bytes: &[u8], at: usize) -> bool {
        bytes[..=at].ends_with(b"\r\n")
    }

    fn at_lf(bytes: &[u8], at: usize) -> bool {
        bytes[at] == b'\n'
    }

    #[test]
    fn dots_and_ends_of_lines() {
        for (message, expected) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"a\r\n.\r\n..b\r\n", b"a\r\n..\r\n...b\r\n.\r\n"),
            (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r.\r\r\n", b"a\r.\r\r\n.\r\n"),
            (b"\r.", b"\r.\r\n.\r\n"),
            (b"a\r", b"a\r\r\n.\r\n"),
        ] {
            for piece in 1..4 {
                assert_eq!(sent(Stuffer::whole(), message, piece), expected, "{:?}", String::from_utf8_lossy(message));
            }
        }
    }

    #[test]
    fn a_top_is_the_header_and_so_many_lines() {
        let message = b"A: b\r\n c\r\n\r\n1\r\n.2\r\n\r\n4";
        for (lines, expected) in [
            (0, &b"A: b\r\n c\r\n\r\n.\r\n"[..]),
            (1, b"A: b\r\n c\r\n\r\n1\r\n.\r\n"),
            (3, b"A: b\r\n c\r\n\r\n1\r\n..2\r\n\r\n.\r\n"),
            (9, b"A: b\r\n c\r\n\r\n1\r\n..2\r\n\r\n4\r\n.\r\n"),
        ] {
            for piece in 1..6 {
                assert_eq!(sent(Stuffer::top(lines), message, piece), expected, "{lines} lines");
            }
        }
        assert_eq!(
            sent(Stuffer::top(0), b"A: b\r\n\r\r\nx", 2),
            b"A: b\r\n\r\r\nx\r\n.\r\n",
            "CR CR LF is no empty line"
        );
    }

    proptest! {
        #[test]
        fn what_comes_out_is_what_went_in_whatever_the_client_takes_for_a_line(
            words in prop::collection::vec(prop::sample::select(vec!["\r\n", ".", "\r", "a", ".\r\n", "\r\n.\r\n", "\0"]), 0..30),
            piece in 1_usize..9,
        ) {
            let message = words.concat().into_bytes();
            let mut out = sent(Stuffer::whole(), &message, piece);
            out.extend_from_slice(b"+OK next\r\n");
            let mut expected = message.clone();
            if !(message.is_empty() || message.ends_with(b"\r\n")) {
                expected.extend_from_slice(b"\r\n");
            }
            let next = b"+OK next\r\n".to_vec();
            prop_assert_eq!(received(&out, at_crlf), (expected.clone(), next.clone()));
            prop_assert_eq!(received(&out, at_lf), (expected, next));
        }

        #[test]
        fn no_octets_end_it_early(message in any::<Vec<u8>>(), dots in "[.\r\na]{0,40}", piece in 1_usize..9) {
            for message in [message.as_slice(), dots.as_bytes()] {
                let out = sent(Stuffer::whole(), message, piece);
                for is_end in [at_crlf, at_lf] {
                    prop_assert!(received(&out, is_end).1.is_empty());
                }
            }
        }
    }
}
