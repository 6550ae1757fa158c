//! The token service's promises.

mod jwt;
mod rotation;
mod service;
