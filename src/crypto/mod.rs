//! Thin words over ring. The first line of each function's documentation is its formula and source.

pub mod aead;
pub mod encoding;
pub mod hash;
pub mod kdf;
pub mod random;
pub mod sign;
pub mod verify;
