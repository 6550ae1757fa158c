//! The nouns of Mailwarden. Everybody may import this module; it imports nobody and does no I/O.

pub mod address;
pub mod bounds;
pub mod client;
pub mod client_auth;
pub mod clock;
pub mod credential;
pub mod details;
pub mod distinguished_name;
pub mod entropy;
pub mod event;
pub mod fault;
pub mod folder;
pub mod grant;
pub mod handle;
pub mod id;
pub mod mailbox;
pub mod mechanism;
pub mod operator;
pub mod privacy;
pub mod scope;
pub mod secret;
pub mod session;
pub mod signing_key;
pub mod throttle;
pub mod token;
