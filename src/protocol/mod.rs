//! Bytes ↔ commands and responses. Knows nothing of grants, and does no I/O.

pub mod imap;
pub mod message_id;
pub mod pop3;
pub mod proxy;
pub mod sasl;
pub mod smtp;
