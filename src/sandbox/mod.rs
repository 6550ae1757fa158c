//! The demo upstream of `dev`.
