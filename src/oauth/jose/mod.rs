//! JOSE, as strict as it gets: JSON without repeated names at any depth, JWS in compact form, JWK and its thumbprint.

pub mod json;
pub mod jwk;
pub mod jws;
