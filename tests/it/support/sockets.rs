//! Connections at an upstream's own sockets, as the kernel knows them.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use super::wait_for;

/// A second, and what a loaded machine may add. Well below the five seconds that a tool has for our last word.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(3);

/// How many connections to `port` the kernel holds for established at its own end: neither closed nor closing.
pub(crate) fn established(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's table of connections");
    let ours = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // While others come and go, the kernel may tell of one connection twice.
    let peers: BTreeSet<_> = rows.filter(|row| row[1].ends_with(&ours) && row[3] == "01").map(|row| row[2]).collect();
    peers.len()
}

/// Waits until so many are left.
pub(crate) fn left(port: u16, count: usize, since: Instant) {
    wait_for(&format!("{count} connections to be left at the upstream"), AT_ONCE, || {
        (established(port) == count).then_some(())
    });
    assert!(since.elapsed() < AT_ONCE, "it took {:?}", since.elapsed());
}

/// How many established connections have `port` at an end of the kernel's and ask, when nothing is said, whether the other end is there.
pub(crate) fn kept_alive(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's table of connections");
    let ours = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // The timer that runs is that of keepalive.
    let asking = rows.filter(|row| row[3] == "01" && row[5].starts_with("02:"));
    asking.filter(|row| row[1].ends_with(&ours) || row[2].ends_with(&ours)).count()
}
