//! The plan of the source tree, kept by a test: imports point downwards, files stay readable, and every file says what it is.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules from the lowest to the highest; modules of one entry stand side by side and do not know each other.
const LAYERS: &[&[&str]] = &[
    &["domain"],
    &["crypto"],
    &["protocol"],
    &["policy"],
    &["config", "proxies", "store", "upstream"],
    &["telemetry"],
    &["audit"],
    &["vault"],
    &["registry"],
    &["oauth"],
    &["agent", "gateway", "http", "sandbox"],
    &["app"],
    &["cli"],
];

/// Crates that only these modules may name.
const HOMES: &[(&str, &[&str])] = &[
    ("axum", &["http"]),
    ("sqlx", &["store"]),
    ("ring", &["crypto"]),
    ("clap", &["cli"]),
    ("utoipa", &["domain", "audit", "http"]),
    ("imap_codec", &["protocol", "policy", "agent", "gateway", "upstream", "sandbox"]),
];

const LONGEST_FILE: usize = 400;

#[test]
fn imports_point_downwards() {
    let mut faults = Vec::new();
    for file in sources() {
        let Some(own) = layer(&file.module) else {
            assert!(["lib", "main", "manual"].contains(&&*file.module), "{} belongs to no layer", file.path.display());
            continue;
        };
        for (number, line) in file.text.lines().enumerate() {
            for target in crate_paths(line) {
                let allowed = target == file.module || layer(&target).is_some_and(|other| other < own);
                if !allowed {
                    faults.push(format!("{}:{}: {} uses {target}", file.path.display(), number + 1, file.module));
                }
            }
        }
    }
    assert!(faults.is_empty(), "imports that point upwards or sideways:\n{}", faults.join("\n"));
}

#[test]
fn crates_stay_in_their_homes() {
    let mut faults = Vec::new();
    for file in sources() {
        for (name, homes) in HOMES {
            let named = code_lines(&file.text).any(|line| names_crate(line, name));
            // A test that plays the database thief edits rows behind the store's back.
            let is_test = file.path.ends_with("tests.rs");
            if named && !is_test && !homes.contains(&&*file.module) {
                faults.push(format!("{} names {name}", file.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "crates outside their homes:\n{}", faults.join("\n"));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut faults = Vec::new();
    for file in sources() {
        if !file.text.starts_with("//!") {
            faults.push(format!("{} does not begin with //!", file.path.display()));
        }
        let lines = file.text.lines().count();
        if lines > LONGEST_FILE {
            faults.push(format!("{} has {lines} lines, {LONGEST_FILE} at most", file.path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

struct Source {
    path: PathBuf,
    module: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).expect("read the source tree") {
            let path = entry.expect("a folder entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let relative = path.strip_prefix(&root).expect("below the root");
                let first = relative.iter().next().expect("a first part").to_string_lossy();
                let module = first.trim_end_matches(".rs").to_owned();
                let text = fs::read_to_string(&path).expect("read a source file");
                found.push(Source { path: relative.to_owned(), module, text });
            }
        }
    }
    assert!(!found.is_empty(), "there is a source tree");
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|side_by_side| side_by_side.contains(&module))
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The top-level modules that a line names through `crate::`.
fn crate_paths(line: &str) -> Vec<String> {
    if line.trim_start().starts_with("//") {
        return Vec::new();
    }
    let paths = line.split("crate::").skip(1);
    let names =
        paths.map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>());
    names.filter(|name| layer(name).is_some()).collect()
}

fn names_crate(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    line.match_indices(&path)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
}
