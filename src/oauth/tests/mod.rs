//! The token service's promises.

mod assertions;
mod bound;
mod dpop;
mod jwt;
mod key_hosts;
mod memory;
mod mtls;
mod rotation;
mod service;
mod signers;
mod timing;
