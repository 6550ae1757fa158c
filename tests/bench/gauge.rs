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

    /// The same with all processes below it.
    pub(crate) fn cpu_of_all(process: u32) -> anyhow::Result<Duration> {
        let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
        let mut sum = Self::cpu(process)?;
        for child in children.split_ascii_whitespace() {
            // One that has ended meanwhile is left out.
            sum += Self::cpu_of_all(child.parse()?).unwrap_or_default();
        }
        Ok(sum)
    }

    /// The most memory that a process ever had in RAM.
    pub(crate) fn peak(process: u32) -> anyhow::Result<String> {
        let text = fs::read_to_string(format!("/proc/{process}/status"))?;
        let kib = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no figure")?;
        let kib: f64 = kib.trim().trim_end_matches(" kB").parse()?;
        Ok(format!("{:.0} MiB", kib / 1024.0))
    }
}
