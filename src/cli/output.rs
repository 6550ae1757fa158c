//! How answers are printed: a table for people, JSON for programs.

use clap::ValueEnum;
use serde_json::{Map, Value};

use crate::cli::out;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

/// Members of a row that a table leaves out: too long to line up; `show` has them.
const HIDDEN: [&str; 5] = ["upstream", "hash", "bounds", "version", "auth"];

/// Prints an answer of the API.
pub(super) fn print(format: Format, answer: &Value) {
    if format == Format::Json {
        return out(&answer.to_string());
    }
    match answer {
        Value::Null => out("done"),
        Value::Object(members) => match listing(members) {
            Some(rows) => table(rows).iter().for_each(|line| out(line)),
            None => {
                for (name, value) in
                    members.iter().filter(|(_, value)| !value.is_null() && **value != Value::Array(Vec::new()))
                {
                    match nested(value) {
                        Some(rows) => {
                            out(name);
                            for line in table(rows) {
                                out(&format!("  {line}"));
                            }
                        }
                        None => out(&format!("{name:<18} {}", plain(value))),
                    }
                }
            }
        },
        other => out(&plain(other)),
    }
}

/// The rows, when the answer is a list of nouns and nothing else.
fn listing(members: &Map<String, Value>) -> Option<&Vec<Value>> {
    match members.values().next() {
        Some(Value::Array(rows)) if members.len() == 1 => Some(rows),
        _ => None,
    }
}

/// The rows, when a member is a list of nouns.
fn nested(value: &Value) -> Option<&Vec<Value>> {
    value.as_array().filter(|rows| rows.first().is_some_and(Value::is_object))
}

/// A head and one line per row, in columns; a column that is empty in every row is left out.
fn table(rows: &[Value]) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    for (name, value) in rows.iter().filter_map(Value::as_object).flatten() {
        if !value.is_null() && !HIDDEN.contains(&name.as_str()) && !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return vec!["none".to_owned()];
    }
    let cell = |row: &Value, name: &str| row.get(name).filter(|value| !value.is_null()).map_or("-".to_owned(), plain);
    let columns = names.iter().map(|name| {
        let cells: Vec<String> =
            std::iter::once(name.to_uppercase()).chain(rows.iter().map(|row| cell(row, name))).collect();
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        (cells, width)
    });
    let mut lines = vec![String::new(); rows.len() + 1];
    for (cells, width) in columns {
        for (line, cell) in lines.iter_mut().zip(cells) {
            line.push_str(&format!("{cell:<width$}  "));
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(members) => {
            let pairs = members.iter().filter(|(_, value)| !value.is_null());
            let told = pairs.map(|(name, value)| match plain(value) {
                text if value.is_object() => format!("{name}=({text})"),
                text => format!("{name}={text}"),
            });
            told.collect::<Vec<_>>().join(" ")
        }
        Value::Array(words) if words.iter().all(Value::is_string) => {
            words.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn what_belongs_to_a_member_stands_in_brackets() {
        let bounds =
            json!({ "budgets": { "bytes": { "day": 9, "hour": 1 }, "sessions": 2 }, "folders": ["A"], "pin": null });
        assert_eq!(super::plain(&bounds), "budgets=(bytes=(day=9 hour=1) sessions=2) folders=A");
    }

    #[test]
    fn a_table_lines_up_and_leaves_empty_columns_out() {
        let rows = [
            json!({ "id": "a", "gone": null, "name": "longer name", "upstream": { "host": "x" } }),
            json!({ "id": "bbb", "gone": null, "name": null, "upstream": {} }),
        ];
        assert_eq!(super::table(&rows), ["ID   NAME", "a    longer name", "bbb  -"]);
        assert_eq!(super::table(&[]), ["none"]);
    }
}
