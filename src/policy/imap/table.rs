//! The table: every IMAP command with a name of its own, and what a session needs for it (RFC 3501, RFC 9051 and their extensions).
//! `decide` asks it first; a command without a row is refused like one that is never permitted.

use crate::domain::scope::Scope;

/// What a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// A session, and no right: it touches nothing of the mailbox.
    Session,
    /// One of these scopes at least; arguments may ask for more.
    AnyOf(&'static [Scope]),
    /// No scope gives it; the words say why.
    Never(&'static str),
}

use Needs::{AnyOf, Never, Session};
use Scope::{Append, Delete, Flag, Metadata, Organize};

const OTHER_WAYS_IN: &str = "it hands out other ways into the mailbox";
const ADMINISTRATION: &str = "it changes who may do what, which is decided here";
const ELSEWHERE: &str = "it reaches outside the selected folder";
const NOT_PARSED: &str = "its arguments are not inspected here";
const AT_LOGIN: &str = "it belongs before the login";

/// One row a command. `UID` forms are the row of the command itself.
pub const COMMANDS: &[(&str, Needs)] = &[
    ("APPEND", AnyOf(&[Append])),
    ("AUTHENTICATE", Never(AT_LOGIN)),
    ("CANCELUPDATE", Never(NOT_PARSED)),
    ("CAPABILITY", Session),
    ("CHECK", Session),
    ("CLOSE", Session),
    ("COMPARATOR", Never(NOT_PARSED)),
    ("COMPRESS", Never("compressed bytes cannot be inspected")),
    ("CONVERSIONS", Never(NOT_PARSED)),
    ("CONVERT", Never(NOT_PARSED)),
    ("COPY", AnyOf(&[Append, Organize])),
    ("CREATE", AnyOf(&[Organize])),
    ("DELETE", AnyOf(&[Delete])),
    ("DELETEACL", Never(ADMINISTRATION)),
    ("DUMP", Never(ADMINISTRATION)),
    ("ENABLE", Session),
    ("ESEARCH", Never(ELSEWHERE)),
    ("EXAMINE", AnyOf(&[Metadata])),
    ("EXPUNGE", AnyOf(&[Delete])),
    ("FETCH", AnyOf(&[Metadata])),
    ("GENURLAUTH", Never(OTHER_WAYS_IN)),
    ("GETACL", Never(ADMINISTRATION)),
    ("GETANNOTATION", Never(NOT_PARSED)),
    ("GETJMAPACCESS", Never(OTHER_WAYS_IN)),
    ("GETMETADATA", Never(NOT_PARSED)),
    ("GETQUOTA", AnyOf(&[Metadata])),
    ("GETQUOTAROOT", AnyOf(&[Metadata])),
    ("ID", Session),
    ("IDLE", AnyOf(&[Metadata])),
    ("LANGUAGE", Never(NOT_PARSED)),
    // Who adds messages has to find the folder to add them to.
    ("LIST", AnyOf(&[Metadata, Append])),
    ("LISTRIGHTS", Never(ADMINISTRATION)),
    ("LOGIN", Never(AT_LOGIN)),
    ("LOGOUT", Session),
    ("LSUB", AnyOf(&[Metadata, Append])),
    ("MOVE", AnyOf(&[Organize])),
    ("MYRIGHTS", Never(ADMINISTRATION)),
    ("NAMESPACE", AnyOf(&[Metadata, Append])),
    ("NOOP", Session),
    ("NOTIFY", Never(ELSEWHERE)),
    ("RENAME", AnyOf(&[Organize])),
    ("REPLACE", Never(NOT_PARSED)),
    ("RESETKEY", Never(OTHER_WAYS_IN)),
    ("RLIST", Never(ELSEWHERE)),
    ("RLSUB", Never(ELSEWHERE)),
    ("SEARCH", AnyOf(&[Metadata])),
    ("SELECT", AnyOf(&[Metadata])),
    ("SETACL", Never(ADMINISTRATION)),
    ("SETANNOTATION", Never(ADMINISTRATION)),
    ("SETMETADATA", Never(ADMINISTRATION)),
    ("SETQUOTA", Never(ADMINISTRATION)),
    ("SORT", AnyOf(&[Metadata])),
    ("STARTTLS", Never(AT_LOGIN)),
    ("STATUS", AnyOf(&[Metadata])),
    ("STORE", AnyOf(&[Flag, Delete])),
    ("SUBSCRIBE", AnyOf(&[Organize])),
    ("THREAD", AnyOf(&[Metadata])),
    ("UNAUTHENTICATE", Never("a session has one owner from its login to its end")),
    ("UNDUMP", Never(ADMINISTRATION)),
    ("UNSELECT", Session),
    ("UNSUBSCRIBE", AnyOf(&[Organize])),
    ("URLFETCH", Never(OTHER_WAYS_IN)),
];

/// What the command called `name` needs; `None` when there is no such row. Names that begin with `X` are private extensions.
pub fn needs(name: &str) -> Option<Needs> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("UID ").unwrap_or(&name);
    match COMMANDS.iter().find(|(known, _)| *known == name) {
        Some((_, needs)) => Some(*needs),
        None if name.starts_with('X') => Some(Never("private extensions are not inspected here")),
        None => None,
    }
}

/// The name of a command that may not have been understood otherwise: its first word, or two where the first is `UID`.
pub fn name_in(command: &[u8]) -> Option<String> {
    let mut words = command.split(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    let mut word = || {
        let word = words.next().filter(|word| (1..=32).contains(&word.len()))?;
        word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-').then_some(word)
    };
    let first = String::from_utf8_lossy(word()?).to_ascii_uppercase();
    if first != "UID" {
        return Some(first);
    }
    Some(format!("UID {}", String::from_utf8_lossy(word()?).to_ascii_uppercase()))
}
