//! The token service's promises.

mod assertions;
mod bound;
mod jwt;
mod key_hosts;
mod mtls;
mod service;
mod signers;
