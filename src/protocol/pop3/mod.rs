//! POP3 (RFC 1939, RFC 2449, RFC 5034): command lines, and how a message is put into a multi-line answer.

pub mod command;
pub mod stuffing;
