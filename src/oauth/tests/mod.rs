//! The token service's promises.

mod jwt;
mod service;
