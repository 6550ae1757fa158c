//! Processes that are pinned to a CPU, end with their value, and are asked what they used, children included.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context;

/// Where the measured proxy runs.
pub(crate) const PROXY_CPU: &str = "0";
/// Where the load and the upstream run.
pub(crate) const LOAD_CPU: &str = "1";

/// A command on one CPU, where the machine has `taskset`.
pub(crate) fn pinned(cpu: &str, program: impl AsRef<OsStr>) -> Command {
    let has_taskset = Command::new("taskset").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !has_taskset {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", cpu]).arg(program);
    command
}

/// A running program.
pub(crate) struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let program = format!("{command:?}");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context(program)?;
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Self { child, lines })
    }

    /// This program again.
    pub(crate) fn again(cpu: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start(pinned(cpu, std::env::current_exe()?).args(arguments))
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> anyhow::Result<String> {
        Ok(self.lines.next().context("the program ended")??)
    }

    /// A line of ports.
    pub(crate) fn ports(&mut self, count: usize) -> anyhow::Result<Vec<u16>> {
        let ports: Vec<u16> = self.line()?.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        anyhow::ensure!(ports.len() == count, "{} ports", ports.len());
        Ok(ports)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // In order: nginx and Dovecot end their children themselves.
        let _ = Command::new("kill").args(["-TERM", &self.id().to_string()]).status();
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// The time on a CPU of these processes and all below them so far.
pub(crate) fn cpu_of(roots: &[u32]) -> Duration {
    family(roots).into_iter().map(cpu).sum()
}

/// Their memory in RAM in KiB, with what is shared counted in shares.
pub(crate) fn memory_of(roots: &[u32]) -> u64 {
    family(roots).into_iter().filter_map(kib).sum()
}

fn family(roots: &[u32]) -> HashSet<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    for id in all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(parent) = parent(id) {
            children.entry(parent).or_default().push(id);
        }
    }
    let (mut family, mut next) = (HashSet::new(), roots.to_vec());
    while let Some(id) = next.pop() {
        if family.insert(id) {
            next.extend(children.get(&id).into_iter().flatten());
        }
    }
    family
}

fn parent(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn cpu(id: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let nanos = threads.filter_map(|thread| {
        fs::read_to_string(thread.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

fn kib(id: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
