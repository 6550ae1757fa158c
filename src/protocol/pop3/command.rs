//! Command lines, read strictly: one space between words, numbers in digits, nothing left over.

/// Longest command line before login in octets (GW-09); AUTH and PASS carry tokens and may be longer.
pub const MAX_STRANGERS_LINE: usize = 8192;
/// Longest command line after login in octets. RFC 2449 section 4 asks for 255.
pub const MAX_LINE: usize = 512;

/// The verb of a command line in upper case, and the rest: `None` when it is not text or holds control characters.
pub fn verb(line: &[u8]) -> Option<(String, &str)> {
    let text = std::str::from_utf8(line).ok().filter(|text| !text.chars().any(char::is_control))?;
    let (verb, rest) = text.split_once(' ').map_or((text, None), |(verb, rest)| (verb, Some(rest)));
    // A blank that nothing follows is no argument.
    (rest != Some("")).then(|| (verb.to_ascii_uppercase(), rest.unwrap_or_default()))
}

/// What a tool may ask of an open maildrop. Messages are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// How many messages and octets there are.
    Stat,
    /// The sizes of all messages, or of one.
    List(Option<u32>),
    /// The unique ids of all messages, or of one.
    Uidl(Option<u32>),
    /// A message.
    Retr(u32),
    /// A message's header and so many lines of its body.
    Top(u32, u32),
    /// Marks a message, so that QUIT removes it.
    Dele(u32),
}

impl Command {
    /// The command's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stat => "STAT",
            Self::List(_) => "LIST",
            Self::Uidl(_) => "UIDL",
            Self::Retr(_) => "RETR",
            Self::Top(..) => "TOP",
            Self::Dele(_) => "DELE",
        }
    }

    /// Reads a command by its verb and arguments; `None` for any that is not one of these, or malformed.
    pub fn parse(verb: &str, rest: &str) -> Option<Self> {
        let message = || number(rest).filter(|number| *number > 0);
        let message_or_all = || if rest.is_empty() { Some(None) } else { message().map(Some) };
        match verb {
            "STAT" if rest.is_empty() => Some(Self::Stat),
            "LIST" => message_or_all().map(Self::List),
            "UIDL" => message_or_all().map(Self::Uidl),
            "RETR" => message().map(Self::Retr),
            "DELE" => message().map(Self::Dele),
            "TOP" => {
                let (message, lines) = rest.split_once(' ')?;
                Some(Self::Top(number(message).filter(|number| *number > 0)?, number(lines)?))
            }
            _ => None,
        }
    }
}

/// A number in digits that fits.
fn number(text: &str) -> Option<u32> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{Command, verb};

    fn parse(line: &[u8]) -> Option<Command> {
        let (verb, rest) = verb(line)?;
        Command::parse(&verb, rest)
    }

    #[test]
    fn commands_have_one_form() {
        for (line, command) in [
            ("STAT", Command::Stat),
            ("list", Command::List(None)),
            ("List 7", Command::List(Some(7))),
            ("UIDL 007", Command::Uidl(Some(7))),
            ("RETR 4294967295", Command::Retr(u32::MAX)),
            ("top 1 0", Command::Top(1, 0)),
            ("DELE 1", Command::Dele(1)),
        ] {
            assert_eq!(parse(line.as_bytes()), Some(command), "{line}");
        }
        for wrong in [
            "",
            " ",
            "STAT ",
            "STAT 1",
            "LIST ",
            "LIST  1",
            "LIST 1 ",
            "LIST 0",
            "LIST -1",
            "LIST +1",
            "LIST 1x",
            "RETR",
            "RETR 0",
            "RETR 4294967296",
            "RETR 1 2",
            "TOP 1",
            "TOP 0 1",
            "TOP 1 -1",
            "TOP 1  1",
            "TOP 1 1 1",
            "DELE",
            "DELE 1,2",
            "DELE\t1",
            "RETR 1\rDELE 1",
            "RETR 1\nDELE 1",
            "RETR 1\0",
            "QUIT",
            "APOP a b",
            "RETR \u{661}",
        ] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert_eq!(parse(b"RETR \xff"), None);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(bytes in any::<Vec<u8>>(), text in "(STAT|LIST|UIDL|RETR|TOP|DELE)?[ -~]{0,12}") {
            let _ = (parse(&bytes), parse(text.as_bytes()));
        }

        #[test]
        fn what_was_written_is_read(message in 1_u32.., lines in any::<u32>()) {
            prop_assert_eq!(parse(format!("TOP {message} {lines}").as_bytes()), Some(Command::Top(message, lines)));
            prop_assert_eq!(parse(format!("dele {message}").as_bytes()), Some(Command::Dele(message)));
            let two = format!("RETR {message} {lines}");
            prop_assert!(parse(two.as_bytes()).is_none());
        }
    }
}
