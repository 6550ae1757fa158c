//! IMAP (RFC 3501): framing of commands and responses. The commands themselves are parsed and serialised by imap-codec.

pub mod command;
pub mod content;
pub mod fetch;
#[cfg(test)]
mod fetch_tests;
pub mod fetched;
pub mod found;
pub mod framing;
pub mod list_form;
pub mod mutf7;
pub mod request;
pub mod response;
pub mod uid_set;
pub mod veil;
