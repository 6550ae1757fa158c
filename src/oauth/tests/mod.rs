//! The token service's promises.

mod dpop;
mod jwt;
mod service;
