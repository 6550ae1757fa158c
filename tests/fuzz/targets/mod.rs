//! One function per parser that a peer or an operator reaches. Each takes any octets, must come to an answer, and holds what was
//! understood against what the parser promises. libFuzzer drives them (`tests/fuzz/run`), and the kept inputs go through them in
//! every test run (`tests/it/parsers.rs`).
//!
//! A parser of another protocol has a file of its own here and a row in [`TARGETS`].

mod files;
mod imap;
mod names;
mod oauth;
mod pop3;
mod proxy;
mod reads;
mod sasl;
mod smtp;

/// A parser under test.
pub(crate) type Target = fn(&[u8]);

/// The parsers by name; the kept inputs of each are in the folder `tests/fuzz/corpus/NAME`.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("imap_command", imap::command),
    ("imap_append", imap::append),
    ("imap_reply", imap::reply),
    ("imap_folder_name", imap::folder_name),
    ("imap_uid_set", reads::uid_set),
    ("imap_fetch", reads::fetch),
    ("message_id", reads::message_id),
    ("smtp_command", smtp::command),
    ("smtp_data", smtp::data),
    ("smtp_header", smtp::header),
    ("smtp_reply", smtp::reply),
    ("pop3_command", pop3::command),
    ("pop3_fetched", pop3::fetched),
    ("pop3_stuffing", pop3::stuffing),
    ("proxy_header", proxy::header),
    ("sasl", sasl::response),
    ("token_request", oauth::request),
    ("jwt", oauth::token),
    ("jwk", oauth::key),
    ("dpop", oauth::proof),
    ("details", oauth::details),
    ("address", names::address),
    ("folder_pattern", names::folder),
    ("distinguished_name", names::distinguished),
    ("secret", names::secret),
    ("config", files::config),
    ("apply", files::apply),
    ("audit_export", files::export),
];

/// The text that the octets are, if they are one.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// The text up to the first LF, and the rest.
fn halves(data: &[u8]) -> Option<(&str, &str)> {
    let text = text(data)?;
    Some(text.split_once('\n').unwrap_or((text, "")))
}
