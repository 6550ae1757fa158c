//! The token service's promises.

mod assertions;
mod jwt;
mod key_hosts;
mod service;
mod signers;
