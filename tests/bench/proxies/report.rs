//! The tables, and how ours stands to what it is to reach. Medians over the rounds.

use crate::cells::{Cells, Measured};
use crate::load::Load;
use crate::peer::{DIRECT, DOVECOT, HAPROXY, NGINX, OURS, RELAY};

const PEERS: [&str; 6] = [DIRECT, RELAY, OURS, HAPROXY, NGINX, DOVECOT];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn rate(measured: &Measured) -> f64 {
    measured.outcome.per_second
}

fn cpu(measured: &Measured) -> f64 {
    measured.cpu_micros
}

impl Cells {
    fn of(&self, load: Load, peer: &str, what: impl Fn(&Measured) -> f64) -> f64 {
        let rounds = self.rounds.iter().find(|((cell, name), _)| *cell == load && *name == peer);
        median(rounds.map(|(_, all)| all.iter().map(what).collect()).unwrap_or_default())
    }

    fn print(&self) {
        let loads: std::collections::BTreeSet<Load> = self.rounds.keys().map(|(load, _)| *load).collect();
        for load in loads {
            println!("\n| {} (upstream: {}) | /s | p50 µs | p99 µs | CPU µs each |", load.name(), self.upstream);
            println!("| --- | --- | --- | --- | --- |");
            for peer in PEERS {
                let of = |what: fn(&Measured) -> f64| self.of(load, peer, what);
                let (p50, p99) = (of(|cell| cell.outcome.p50_micros), of(|cell| cell.outcome.p99_micros));
                let spent = if peer == DIRECT { "-".to_owned() } else { format!("{:.1}", of(cpu)) };
                println!("| {peer} | {:.0} | {p50:.0} | {p99:.0} | {spent} |", of(rate));
            }
        }
    }
}

/// One line of the verdict: what is compared, by rate and by CPU, and what is asked for.
struct Target<'a> {
    cells: &'a Cells,
    load: Load,
    other: &'static str,
    at_least: f64,
}

impl Target<'_> {
    fn print(&self) {
        let by = |what: fn(&Measured) -> f64| {
            (self.cells.of(self.load, OURS, what), self.cells.of(self.load, self.other, what))
        };
        let ((ours, other), (ours_cpu, other_cpu)) = (by(rate), by(cpu));
        let by_rate = ours / other;
        // Whatever else runs slows one more than another, so CPU decides where there is a figure.
        let by_cpu = (self.other != DIRECT).then(|| other_cpu / ours_cpu);
        let best = by_cpu.unwrap_or(by_rate);
        let verdict = verdict(best >= self.at_least, best >= self.at_least * 0.85);
        let by_cpu = by_cpu.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        println!(
            "| {}: ours to {} ({}) | {by_rate:.2} | {by_cpu} | at least {:.2} | {verdict} |",
            self.load.name(),
            self.other,
            self.cells.upstream,
            self.at_least
        );
    }
}

fn verdict(is_reached: bool, is_near: bool) -> &'static str {
    match (is_reached, is_near) {
        (true, _) => "reached",
        (false, true) => "within the noise",
        (false, false) => "missed",
    }
}

pub(crate) fn print(capacity: &Cells, felt: &Cells, sessions: usize) {
    capacity.print();
    felt.print();
    println!("\n| {sessions} idle sessions | KiB each | seconds to open all |\n| --- | --- | --- |");
    for peer in PEERS {
        if let Some((kib, took)) = capacity.idle.get(peer) {
            println!("| {peer} | {kib:.1} | {:.1} |", took.as_secs_f64());
        }
    }
    println!("\n| target | by rate | by CPU | asked | |\n| --- | --- | --- | --- | --- |");
    let target = |load, other, at_least| Target { cells: capacity, load, other, at_least }.print();
    target(Load::Logins, DOVECOT, 3.0);
    target(Load::Logins, HAPROXY, 2.0);
    target(Load::Logins, RELAY, 0.71);
    target(Load::Fetch, HAPROXY, 1.1);
    target(Load::Fetch, DOVECOT, 10.0);
    target(Load::Fetch, RELAY, 0.87);
    target(Load::Noop(32), HAPROXY, 1.1);
    target(Load::Noop(32), DOVECOT, 4.0);
    target(Load::MessagePerConnection, DOVECOT, 2.5);
    target(Load::MessagePerConnection, HAPROXY, 1.3);
    target(Load::Messages, HAPROXY, 1.0);
    target(Load::Messages, DOVECOT, 4.0);
    Target { cells: felt, load: Load::Fetch, other: DIRECT, at_least: 0.75 }.print();
    let noop = |peer, what: fn(&Measured) -> f64| capacity.of(Load::Noop(1), peer, what);
    let p50 = |cell: &Measured| cell.outcome.p50_micros;
    let p99 = |cell: &Measured| cell.outcome.p99_micros;
    let added = noop(OURS, p50) - noop(DIRECT, p50);
    let theirs = noop(HAPROXY, p50) - noop(DIRECT, p50);
    let good = verdict(added <= 90.0, added <= 104.0);
    println!("| NOOP, added p50 | {added:.0} µs (haproxy {theirs:.0}) | | at most 90 µs | {good} |");
    let (ours, theirs) = (noop(OURS, p99), noop(HAPROXY, p99));
    let good = verdict(ours <= theirs, ours <= theirs * 1.15);
    println!("| NOOP, p99 | {ours:.0} µs | | at most haproxy's {theirs:.0} µs | {good} |");
    if let Some((kib, _)) = capacity.idle.get(OURS) {
        let good = verdict(*kib <= 36.0, *kib <= 41.0);
        println!("| memory of an idle session | {kib:.1} KiB | | at most 36 KiB | {good} |");
    }
}
