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

/// A file of the project.
fn document(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("read a document")
}

#[test]
fn what_is_written_of_the_layers_is_what_they_are() {
    let spans = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rules = document("CONTRIBUTING.md");
    let (_, rule) = rules.split_once("**Layers.** ").expect("a rule of layers");
    let told: Vec<_> = rule.split('.').next().unwrap_or_default().split(" <").map(spans).collect();
    assert_eq!(told, LAYERS, "CONTRIBUTING.md");
    let manual = document("src/manual/architecture.md");
    let told: Vec<_> = manual.split("](crate::").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    let modules: Vec<_> = told.into_iter().filter(|name| !name.contains("::")).collect();
    let mut known: Vec<_> = LAYERS.iter().copied().flatten().copied().collect();
    for module in modules {
        // Named again further down, in sentences.
        if let Some(at) = known.iter().position(|one| *one == module) {
            assert!(layer(module) == layer(known[0]), "{module} comes before {} in the manual", known[0]);
            known.remove(at);
        }
    }
    assert!(known.is_empty(), "not in the manual: {known:?}");
    let tour = document("README.md");
    let missing =
        LAYERS.iter().copied().flatten().filter(|module| {
            !tour.contains(&format!("`src/{module}`")) && !tour.contains(&format!("`src/{module}.rs`"))
        });
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new(), "not in the README's tour");
}

#[test]
fn the_journeys_are_told_in_the_same_words_everywhere() {
    let journeys = |path: &str| {
        let text = document(path);
        let lines = text.lines().map(|line| line.strip_prefix("//! ").unwrap_or(line).to_owned());
        lines.filter(|line| line.contains('▶')).collect::<Vec<_>>()
    };
    let told = journeys("README.md");
    assert_eq!(told.len(), 4, "{told:?}");
    for path in ["src/lib.rs", "src/manual/architecture.md"] {
        assert_eq!(journeys(path), told, "{path}");
    }
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
