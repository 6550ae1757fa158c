//! What a process has used, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::Context;

pub(crate) struct Gauge;

impl Gauge {
    /// Time on a CPU of all threads that a process has.
    pub(crate) fn cpu(process: u32) -> anyhow::Result<Duration> {
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanos += text.split(' ').next().context("no figure")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// The most memory that a process ever had in RAM.
    pub(crate) fn peak(process: u32) -> anyhow::Result<String> {
        let text = fs::read_to_string(format!("/proc/{process}/status"))?;
        let kib = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no figure")?;
        let kib: f64 = kib.trim().trim_end_matches(" kB").parse()?;
        Ok(format!("{:.0} MiB", kib / 1024.0))
    }
}
