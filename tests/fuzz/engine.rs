//! Gives libFuzzer's inputs to one target: `MAILWARDEN_FUZZ` says which. `tests/fuzz/run` builds and starts it.
#![no_main]

use std::sync::LazyLock;

mod targets;

use targets::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "libFuzzer's command line is its own")]
    let wanted = std::env::var("MAILWARDEN_FUZZ").unwrap_or_default();
    let found = TARGETS.iter().find(|(name, _)| *name == wanted);
    let names = || TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
    found.unwrap_or_else(|| panic!("MAILWARDEN_FUZZ must be one of: {}", names())).1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
