//! Upstreams that do what a script says, however wrong that is.

pub(crate) mod crowd;
pub(crate) mod imap;
