//! The token service's promises.

mod jwt;
mod mtls;
mod service;
