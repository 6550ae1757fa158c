//! The system's random generator.

use ring::rand::{SecureRandom, SystemRandom};

use crate::domain::entropy::Entropy;

/// The operating system's generator. A failing generator ends the process (VL-13).
pub fn system() -> Entropy {
    let source = SystemRandom::new();
    Entropy::new(move |buffer| {
        if source.fill(buffer).is_err() {
            std::process::abort();
        }
    })
}
