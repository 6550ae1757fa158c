//! The manual: what has to be known beside the code. Each page is a module, so that its links are checked with the documentation.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("operating.md")]
pub mod operating {}

#[doc = include_str!("requirements.md")]
pub mod requirements {}
