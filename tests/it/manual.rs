//! The manual's lists are the code's: what an operator reads of roles, freezes, budgets, rules, events, options and files is all there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use mailwarden::domain::budget::Budgeted;
use mailwarden::domain::event::EventCode;
use mailwarden::domain::freeze::{Act, Level};
use mailwarden::policy::{Denial, budget};

use crate::support::api::{Api, operations};
use crate::support::ca::Ca;
use crate::support::gateway::Gateway;
use crate::support::{folder, process};

type Rows = BTreeMap<String, Vec<String>>;

/// A file of the source tree.
fn read(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(whole).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The table whose head begins so: the cells after the first, by what stands in the first.
fn table(page: &str, head: &str) -> Rows {
    let page = read(page);
    let start = page.find(&format!("\n| {head} |")).unwrap_or_else(|| panic!("no table of {head}"));
    let rows = page[start + 1..].lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| {
        let row = row.strip_prefix('|').and_then(|row| row.strip_suffix('|')).expect("a row ends as it begins");
        row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    });
    let mut found = Rows::new();
    for mut row in cells {
        let first = row.remove(0).trim_matches('`').to_owned();
        assert!(found.insert(first.clone(), row).is_none(), "two rows of {first}");
    }
    found
}

fn operating(head: &str) -> Rows {
    table("src/manual/operating.md", head)
}

/// What stands in code spans.
fn spans(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows are of exactly these.
#[track_caller]
fn are<'a>(rows: &Rows, all: impl IntoIterator<Item = &'a str>) {
    let all: BTreeSet<&str> = all.into_iter().collect();
    assert_eq!(rows.keys().map(String::as_str).collect::<BTreeSet<_>>(), all);
}

/// The text of every source file, without its tests, and without the sandbox, which speaks of other things in the same words.
fn sources() -> Vec<String> {
    let is_left_out = |path: &Path| {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        stem == "sandbox" || stem.ends_with("tests")
    };
    let (mut open, mut found) = (vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")], Vec::new());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(path).expect("read a folder").map(|entry| entry.expect("an entry").path());
            open.extend(entries.filter(|path| !is_left_out(path)));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(path).expect("read a source file");
            found.push(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned());
        }
    }
    found
}

/// What the page says that records of each event tell in `detail`.
pub(crate) fn details() -> BTreeMap<String, BTreeSet<String>> {
    operating("event").into_iter().map(|(code, cells)| (code, spans(&cells[1]))).collect()
}

#[test]
fn every_event_stands_in_the_manual_and_so_does_whatever_is_told_of_one() {
    are(&operating("event"), EventCode::ALL.iter().map(|code| code.as_str()));
    let named: BTreeSet<String> = details().into_values().flatten().collect();
    let sources = sources();
    let mut told = BTreeSet::new();
    for begin in [".detail(\"", ".list(\""] {
        for rest in sources.iter().flat_map(|text| text.split(begin).skip(1)) {
            told.extend(rest.split('"').next().map(str::to_owned));
        }
    }
    assert!(told.len() > 40, "records tell of {told:?}");
    let missing: Vec<_> = told.difference(&named).collect();
    assert!(missing.is_empty(), "recorded, and not in the manual: {missing:?}");
    let invented = named.iter().filter(|name| !sources.iter().any(|text| text.contains(&format!("\"{name}\""))));
    assert_eq!(invented.collect::<Vec<_>>(), Vec::<&String>::new(), "in the manual, and nowhere else");
}

#[test]
fn every_rule_stands_in_the_manual() {
    let remedies = read("src/policy/remedy.rs");
    // An arm of a match: `"one" => ...` or `"one" | "other" => ...`.
    let arms = remedies.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once(" => "));
    let mut rules: BTreeSet<&str> = arms.flat_map(|(rules, _)| rules.trim_matches('"').split("\" | \"")).collect();
    rules.extend([Denial::FROZEN, budget::RULE]);
    assert!(rules.len() > 25, "{rules:?}");
    are(&operating("rule"), rules);
}

#[test]
fn the_manual_says_what_each_level_of_a_freeze_leaves() {
    let rows = operating("level");
    are(&rows, Level::ALL.map(Level::as_str));
    for level in Level::ALL {
        let leaves = [Act::TakeToken, Act::OpenSession, Act::Change, Act::GoOn].map(|act| !level.stops(act));
        assert_eq!(rows[level.as_str()], leaves.map(|leaves| if leaves { "yes" } else { "no" }), "{}", level.as_str());
    }
}

#[test]
fn every_budget_stands_in_the_manual() {
    are(&operating("budget"), Budgeted::ALL.map(Budgeted::as_str).into_iter().chain(["sessions", "on_exhausted"]));
}

#[test]
fn roles_are_those_of_the_api_and_the_example_for_apply_has_every_bound() {
    let dir = folder();
    let gateway = Gateway::start(&Ca::create(&dir.path().join("ca")));
    let document = Api::of(&gateway).document();
    let mut may: BTreeMap<String, [Vec<String>; 3]> = BTreeMap::new();
    for (path, _, operation) in operations(&document) {
        let Some(roles) = operation["x-mailwarden-roles"].as_array() else { continue };
        let column = match roles.iter().map(|role| role.as_str().expect("a word")).collect::<Vec<_>>()[..] {
            ["admin", "security", "auditor"] => 0,
            ["admin", "security"] => 1,
            ["admin"] => 2,
            _ => panic!("{path} has no column: {roles:?}"),
        };
        let (of, what) = operation["operationId"].as_str().and_then(|id| id.split_once('_')).expect("noun and verb");
        may.entry(of.to_owned()).or_default()[column].push(what.replace('_', "-"));
    }
    let mut told = BTreeMap::new();
    for (of, cells) in operating("of") {
        let words = |cell: &String| cell.split(", ").filter(|word| !word.is_empty()).map(str::to_owned).collect();
        told.insert(of, <[String; 3]>::try_from(cells).expect("three columns").each_ref().map(words));
    }
    for column in may.values_mut().chain(told.values_mut()).flatten() {
        column.sort();
    }
    assert_eq!(told, may);

    let example = read("config/apply.example.toml");
    // A key that is commented out is one as well: what follows the sign is no sentence.
    let is_key = |line: &str| line.starts_with(|first: char| first.is_ascii_lowercase()) && line.contains(" = ");
    let lines = example.lines().map(|line| line.strip_prefix('#').filter(|rest| is_key(rest)).unwrap_or(line));
    let whole = lines.collect::<Vec<_>>().join("\n");
    mailwarden::cli::apply::check(&whole, Path::new("example.toml")).expect("every key of the example is read");
    for (schema, prefix) in [("Bounds", "bounds."), ("Budgets", "bounds.budgets.")] {
        let members = document["components"]["schemas"][schema]["properties"].as_object().expect("a schema");
        for name in members.keys() {
            assert!(whole.lines().any(|line| line.starts_with(&format!("{prefix}{name}"))), "{prefix}{name}");
        }
    }
}

#[test]
fn every_option_of_these_commands_stands_in_the_manual() {
    let page = read("src/manual/operating.md");
    // A block of lines to paste is one span of code.
    let known = spans(&page.replace("\n```text\n", "\n`").replace("\n```\n", "`\n"));
    let known: BTreeSet<&str> = known.iter().flat_map(|span| span.split([' ', ',', '\n'])).collect();
    for command in [
        "apply",
        "audit export",
        "audit list",
        "audit verify",
        "audit who-read",
        "client retire-secrets",
        "client rotate-secret",
        "client show",
        "freeze",
        "freeze list",
        "grant add",
        "grant explain",
        "grant widen",
        "key list",
        "key revoke",
        "key rotate",
        "mailbox set-credential",
        "mailbox test",
        "operator add",
        "revoke",
        "session kill",
        "session list",
        "thaw",
    ] {
        let mut help = Command::new(env!("CARGO_BIN_EXE_mailwarden"));
        let printed = process::run(help.args(command.split(' ')).arg("--help"), b"").expect_ok(command);
        let lines = printed.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        for option in lines.filter_map(|line| line.split([' ', ',']).find(|word| word.starts_with("--"))) {
            assert!(option == "--help" || known.contains(option), "{command} {option}");
        }
    }
}

#[test]
fn the_words_of_the_glossary_stand_in_its_files() {
    for (words, cells) in table("src/manual/architecture.md", "word") {
        let texts: Vec<String> =
            spans(&cells[1]).iter().map(|file| read(&format!("src/{file}")).to_lowercase()).collect();
        for word in words.split(", ") {
            assert!(texts.iter().any(|text| text.contains(word)), "{word} is not in {}", cells[1]);
        }
    }
}
