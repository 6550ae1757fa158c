//! A POP3 client that says exactly what it is told to say.

use super::gateway::{Gateway, xoauth2};
use super::wire::Wire;

/// One connection past the greeting.
pub(crate) struct Pop3 {
    pub(crate) wire: Wire,
}

impl Pop3 {
    /// A connection that is not logged in.
    pub(crate) fn open(gateway: &Gateway) -> Self {
        let mut pop3 = Self { wire: Wire::connect(gateway.port("pop3s"), gateway.ca_file()) };
        let greeting = pop3.wire.line();
        assert!(greeting.starts_with("+OK"), "{greeting}");
        pop3
    }

    /// A connection that is logged in with a token.
    #[track_caller]
    pub(crate) fn session(gateway: &Gateway, mailbox: &str, token: &str) -> Self {
        let mut pop3 = Self::open(gateway);
        pop3.say(&format!("AUTH XOAUTH2 {}", xoauth2(mailbox, token)), "+OK");
        pop3
    }

    /// Sends one line and gives the one line of answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.wire.send(format!("{line}\r\n"));
        self.wire.line()
    }

    /// The same; the answer must begin with `expected`.
    #[track_caller]
    pub(crate) fn say(&mut self, line: &str, expected: &str) -> String {
        let answer = self.ask(line);
        assert!(answer.starts_with(expected), "{line:?} was answered {answer:?}, not {expected}");
        answer
    }

    /// Sends one line whose answer must be OK and have several lines; gives what they hold.
    #[track_caller]
    pub(crate) fn fetch(&mut self, line: &str) -> Vec<u8> {
        self.say(line, "+OK");
        self.lines().unwrap_or_else(|| panic!("{line:?}: the connection ended in the middle"))
    }

    /// The lines of an answer up to its end, the dots in front taken off; `None` when the connection ends before that.
    pub(crate) fn lines(&mut self) -> Option<Vec<u8>> {
        let mut octets = Vec::new();
        loop {
            let line = self.wire.raw_line()?;
            if line == b".\r\n" {
                return Some(octets);
            }
            octets.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }

    /// The unique ids, in the order of the messages.
    pub(crate) fn unique_ids(&mut self) -> Vec<String> {
        let listed = String::from_utf8(self.fetch("UIDL")).expect("text");
        listed.lines().map(|line| line.split_once(' ').expect("a number and an id").1.to_owned()).collect()
    }
}
