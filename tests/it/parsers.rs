//! Every input that fuzzing kept goes through its parser in each test run, whole, cut short and with an octet changed. Fuzzing itself is
//! `tests/fuzz/run`.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::fuzz_targets::{TARGETS, Target};

/// Cuts and changes are tried at so many places of an input, spread evenly over it.
const PLACES: usize = 24;

#[test]
fn sc_05_no_kept_input_breaks_a_parser() {
    for (name, target) in TARGETS {
        let inputs = kept(name);
        assert!(!inputs.is_empty(), "{name} has no kept inputs");
        for (file, input) in inputs {
            try_input(*target, &input, &file);
        }
    }
}

#[test]
fn sc_05_no_near_relative_of_a_kept_input_breaks_a_parser() {
    for (name, target) in TARGETS {
        for (file, input) in kept(name) {
            for at in (0..input.len()).step_by(input.len().div_ceil(PLACES).max(1)) {
                try_input(*target, &input[..at], &file);
                let mut changed = input.clone();
                for octet in [0, b'\r', b'\n', b'"', b'{', 0xff, input[at] ^ 0x20] {
                    changed[at] = octet;
                    try_input(*target, &changed, &file);
                }
            }
        }
    }
}

#[test]
fn sc_05_kept_inputs_belong_to_a_parser_and_are_small() {
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(known.len(), TARGETS.len(), "a name stands twice");
    let folders = fs::read_dir(corpus()).expect("the kept inputs").map(|entry| entry.expect("a folder"));
    let folders: BTreeSet<String> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(folders, known);
    let octets: usize = TARGETS.iter().flat_map(|(name, _)| kept(name)).map(|(_, input)| input.len()).sum();
    assert!(octets < 512 * 1024, "{octets} octets: keep the fewest that reach all");
}

fn try_input(target: Target, input: &[u8], file: &str) {
    // The panic itself has told what broke; this tells by what.
    let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
    assert!(outcome.is_ok(), "broken by {:?}, made from {file}", String::from_utf8_lossy(input));
}

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// The inputs of one target by file.
fn kept(name: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(corpus().join(name)).expect("a folder of kept inputs");
    let mut inputs: Vec<_> = files
        .map(|entry| {
            let path = entry.expect("a file").path();
            (path.display().to_string(), fs::read(&path).expect("a kept input"))
        })
        .collect();
    inputs.sort();
    inputs
}
