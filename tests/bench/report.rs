//! The tables: medians over the rounds, with the least and the greatest of each.

use std::collections::BTreeMap;

use crate::load::Outcome;
use crate::raw;

type Measured = (Outcome, f64);

/// All rounds of one cell.
#[derive(Default)]
pub(crate) struct Report {
    raw: BTreeMap<String, Vec<f64>>,
    pairs: BTreeMap<(usize, String), BTreeMap<&'static str, Vec<f64>>>,
}

impl Report {
    pub(crate) fn raw(&mut self, text: &str) {
        for (name, rate) in text.lines().filter_map(|line| raw::read(line).ok()) {
            self.raw.entry(name).or_default().push(rate);
        }
    }

    pub(crate) fn pair(&mut self, connections: usize, alg: &str, bare: &Measured, ours: &Measured) {
        let cell = self.pairs.entry((connections, alg.to_owned())).or_default();
        let mut put = |name, value| cell.entry(name).or_default().push(value);
        put("bare /s", bare.0.per_second);
        put("ours /s", ours.0.per_second);
        put("ratio", ours.0.per_second / bare.0.per_second);
        put("bare p50 µs", bare.0.p50_micros);
        put("ours p50 µs", ours.0.p50_micros);
        put("bare p99 µs", bare.0.p99_micros);
        put("ours p99 µs", ours.0.p99_micros);
        put("bare CPU µs", bare.1);
        put("ours CPU µs", ours.1);
        put("CPU ratio", bare.1 / ours.1);
    }

    pub(crate) fn print(&self) {
        println!("| ring alone | /s, median (least to greatest) |\n| --- | --- |");
        for (name, values) in &self.raw {
            println!("| {name} | {} |", spread(values, 0));
        }
        let columns = [
            "bare /s",
            "ours /s",
            "ratio",
            "bare p50 µs",
            "ours p50 µs",
            "bare p99 µs",
            "ours p99 µs",
            "bare CPU µs",
            "ours CPU µs",
            "CPU ratio",
        ];
        println!("\n| connections, algorithm | {} |", columns.join(" | "));
        println!("| --- |{}", " --- |".repeat(columns.len()));
        for ((connections, alg), cell) in &self.pairs {
            let digits = |name: &str| if name.ends_with("ratio") { 2 } else { 0 };
            let values =
                columns.map(|name| cell.get(name).map(|values| spread(values, digits(name))).unwrap_or_default());
            println!("| {connections}, {alg} | {} |", values.join(" | "));
        }
    }
}

fn spread(values: &[f64], digits: usize) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    let (median, least, greatest) = (at(sorted.len() / 2), at(0), at(sorted.len().saturating_sub(1)));
    format!("{median:.digits$} ({least:.digits$} to {greatest:.digits$})")
}
