//! The token service's promises.

mod jwt;
mod memory;
mod service;
