//! The mail listeners: a tool's connection from accept to end. What each protocol says is in its own folder; how a login goes is the
//! same for all and lies in `door`; who may come in, what is leased and what is recorded lies in [`gatekeeper`].

mod client_certificate;
mod door;
pub mod gatekeeper;
mod goodbye;
pub mod imap;
pub mod listener;
pub mod places;
pub mod pop3;
mod reads;
pub mod smtp;
pub mod stream;
mod tags;
pub mod tls;
