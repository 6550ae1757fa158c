//! Randomness as a parameter: the system's generator in production, a fixed one in tests.

use std::sync::Arc;

/// Fills a buffer with random bytes. An implementation that cannot must end the process: a predictable
/// secret is worse than none (VL-13).
pub type Fill = dyn Fn(&mut [u8]) + Send + Sync;

/// A handle to a source of random bytes; cheap to clone.
#[derive(Clone)]
pub struct Entropy(Arc<Fill>);

impl Entropy {
    /// Wraps a source.
    pub fn new(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// Fills `buffer`.
    pub fn fill(&self, buffer: &mut [u8]) {
        (self.0)(buffer);
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut buffer = [0; N];
        self.fill(&mut buffer);
        buffer
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}
