//! The mail listeners: a tool's connection from accept to end. What each protocol says is in its own folder; who may come in,
//! what is leased and what is recorded is the same for all and lies in [`gatekeeper`].

mod client_certificate;
pub mod gatekeeper;
pub mod imap;
pub mod listener;
pub mod places;
pub mod pop3;
mod reads;
pub mod smtp;
pub mod stream;
pub mod tls;
