//! The tags of our commands at an IMAP upstream.

use crate::domain::entropy::Entropy;

/// How many tags' randomness is drawn in one go: each way to the system's generator costs as much as a good part of a small command.
const AHEAD: usize = 8;

/// Tags that an upstream cannot answer before it has heard them (IM-06), each given once.
#[derive(Debug)]
pub(in crate::gateway) struct Tags {
    entropy: Entropy,
    number: u64,
    drawn: [[u8; 8]; AHEAD],
    /// How many of `drawn` are left.
    left: usize,
}

impl Tags {
    /// The tags of one connection.
    pub(in crate::gateway) fn new(entropy: Entropy) -> Self {
        // A login takes the numbers below ten.
        Self { entropy, number: 9, drawn: [[0; 8]; AHEAD], left: 0 }
    }

    /// The next one.
    pub(in crate::gateway) fn next(&mut self) -> String {
        if self.left == 0 {
            self.entropy.fill(self.drawn.as_flattened_mut());
            self.left = AHEAD;
        }
        self.left -= 1;
        let random = self.drawn.get_mut(self.left).map(std::mem::take).unwrap_or_default();
        self.number += 1;
        format!("w{}x{:016x}", self.number, u64::from_be_bytes(random))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{AHEAD, Tags};
    use crate::domain::entropy::Entropy;

    #[test]
    fn im_06_no_two_tags_share_their_randomness() {
        let next = Arc::new(AtomicU64::new(1));
        let entropy = Entropy::new(move |buffer| {
            for piece in buffer.chunks_mut(8) {
                piece.copy_from_slice(&next.fetch_add(1, Ordering::Relaxed).to_be_bytes()[..piece.len()]);
            }
        });
        let mut tags = Tags::new(entropy);
        let given: Vec<String> = (0..=2 * AHEAD).map(|_| tags.next()).collect();
        assert!(given[0].starts_with("w10x") && given[1].starts_with("w11x"), "{given:?}");
        let mut random: Vec<&str> = given.iter().map(|tag| tag.split_once('x').unwrap().1).collect();
        random.sort_unstable();
        random.dedup();
        assert_eq!(random.len(), given.len(), "{given:?}");
        assert!(!random.contains(&"0000000000000000"), "randomness that was not drawn: {given:?}");
    }
}
