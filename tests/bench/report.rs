//! The tables: medians over the rounds, with the least and the greatest of each.

use std::collections::BTreeMap;

use crate::load::Outcome;
use crate::raw;

/// What a server did in one turn, and the CPU that each request cost: its own, and that of a database beside it.
pub(crate) struct Measured {
    pub(crate) outcome: Outcome,
    pub(crate) cpu: f64,
    pub(crate) database_cpu: f64,
}

type Column = (&'static str, usize);

const COLUMNS: [Column; 9] = [
    ("/s", 0),
    ("of bare", 2),
    ("of ring alone", 2),
    ("p50 ms", 1),
    ("p99 ms", 1),
    ("CPU µs", 0),
    ("CPU of bare's", 2),
    ("CPU of ring's", 2),
    ("database's CPU µs", 0),
];

/// All rounds of one row, by the column.
type Cell = BTreeMap<&'static str, Vec<f64>>;
/// What is measured, connections, algorithm, server.
type Place = (&'static str, usize, String, usize);

#[derive(Default)]
pub(crate) struct Report {
    raw: BTreeMap<String, [Vec<f64>; 2]>,
    cells: BTreeMap<Place, Cell>,
}

impl Report {
    pub(crate) fn raw(&mut self, text: &str) {
        for (name, rate, cpu) in text.lines().filter_map(|line| raw::read(line).ok()) {
            let [rates, cpus] = self.raw.entry(name).or_default();
            rates.push(rate);
            cpus.push(cpu);
        }
    }

    /// One turn of all servers, the bare one first.
    pub(crate) fn turn(&mut self, what: &'static str, connections: usize, alg: &str, all: &[Measured]) {
        let alone = format!("{} {alg}", if what == "introspect" { "verify" } else { "sign" });
        let last = |at: usize| self.raw.get(&alone).and_then(|two| two.get(at)?.last().copied()).unwrap_or(f64::NAN);
        let (ring, ring_cpu) = (last(0), last(1));
        let Some(bare) = all.first() else { return };
        for (server, measured) in all.iter().enumerate() {
            let cell = self.cells.entry((what, connections, alg.to_owned(), server)).or_default();
            let mut put = |name, value| cell.entry(name).or_default().push(value);
            let rate = measured.outcome.per_second;
            put("/s", rate);
            put("of bare", rate / bare.outcome.per_second);
            put("of ring alone", rate / ring);
            put("p50 ms", measured.outcome.p50_micros / 1e3);
            put("p99 ms", measured.outcome.p99_micros / 1e3);
            put("CPU µs", measured.cpu);
            put("CPU of bare's", bare.cpu / measured.cpu);
            put("CPU of ring's", ring_cpu / measured.cpu);
            put("database's CPU µs", measured.database_cpu);
        }
    }

    pub(crate) fn print(&self, servers: &[&str]) {
        println!("| ring alone | /s, median (least to greatest) | CPU µs |\n| --- | --- | --- |");
        for (name, [rates, cpus]) in &self.raw {
            println!("| {name} | {} | {} |", spread(rates, 0), spread(cpus, 1));
        }
        for what in ["token", "introspect"] {
            let names = COLUMNS.map(|(name, _)| name).join(" | ");
            println!("\n| {what}: connections, algorithm | server | {names} |");
            println!("| --- | --- |{}", " --- |".repeat(COLUMNS.len()));
            for ((_, connections, alg, server), cell) in self.cells.iter().filter(|(place, _)| place.0 == what) {
                let values = COLUMNS.map(|(name, digits)| spread(cell.get(name).map_or(&[], Vec::as_slice), digits));
                let server = servers.get(*server).copied().unwrap_or_default();
                println!("| {connections}, {alg} | {server} | {} |", values.join(" | "));
            }
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
