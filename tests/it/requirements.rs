//! The manual's table of requirements and the tests are the same list.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The areas of the threat model; a test whose name starts with one of them and a number proves that row.
const AREAS: &[&str] =
    &["tok", "ca", "jwt", "int", "gw", "im", "sm", "po", "ht", "up", "vl", "ad", "au", "cf", "sc", "rl"];

#[test]
fn every_requirement_has_its_test_and_every_such_test_its_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeMap::new();
    for folder in ["src", "tests/it"] {
        collect(root, &root.join(folder), &mut tests);
    }
    let manual = fs::read_to_string(root.join("src/manual/requirements.md")).expect("read the manual");
    let head = manual.split("\n| ").next().unwrap_or_default();
    let rows: Vec<Vec<&str>> = manual
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('-') && !line.starts_with("| ---"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(!rows.is_empty(), "the manual has a table");
    let mut faults = Vec::new();
    let mut named = Vec::new();
    for row in &rows {
        let [id, _, proofs] = row[..] else { panic!("not three columns: {row:?}") };
        let area = id.split('-').next().unwrap_or_default();
        if !head.contains(&format!("({area})")) {
            faults.push(format!("{id}: the head does not say what {area} is"));
        }
        let prefix = format!("{}_", id.to_lowercase().replace('-', "_"));
        let proofs: Vec<&str> = proofs.split(", ").map(|name| name.trim_matches('`')).collect();
        for proof in proofs {
            match tests.get(proof) {
                None => faults.push(format!("{id}: there is no test {proof}")),
                Some(_) if !proof.starts_with(&prefix) => faults.push(format!("{id}: {proof} does not bear its id")),
                Some(_) => named.push(proof.to_owned()),
            }
        }
    }
    for (name, file) in &tests {
        if !named.contains(name) {
            faults.push(format!("{file}: {name} is in no row of the manual"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Finds functions that bear a row's id and are tests, in all files below `folder`.
fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("read a folder") {
        let path = entry.expect("a folder entry").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("read a source file");
            let file = path.strip_prefix(root).expect("below the root").display().to_string();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let Some(name) = function(line) {
                    if is_test && bears_an_id(name) {
                        found.insert(name.to_owned(), file.clone());
                    }
                    is_test = false;
                }
            }
        }
    }
}

/// The name of the function that a line declares.
fn function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))?;
    rest.split(['(', '<']).next()
}

fn bears_an_id(name: &str) -> bool {
    let mut words = name.split('_');
    let (area, number) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    AREAS.contains(&area) && number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit())
}
