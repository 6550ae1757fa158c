//! What the process does to itself before it touches a secret: no core dump, no debugger, nothing secret in its environment.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use rustix::fs::MemfdFlags;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use zeroize::Zeroizing;

use crate::config::{self, Config, LEFT_ENVIRONMENT};

/// No core dump is written, and no other process of the same user may look into this one (VL-06).
pub(super) fn forbid_dumps() -> anyhow::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).context("cannot switch core dumps off")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot close the process to debuggers")
}

/// A session holds two sockets: what the system allows at most is taken, not what a shell starts with.
pub(super) fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Starts the program anew without the environment variables that the settings name as secrets: what the kernel shows as a process's
/// environment is what it was started with, and cannot be wiped from inside (VL-03). The secrets travel in a memory file.
pub(super) fn leave_environment(config: &Config) -> anyhow::Result<()> {
    let environment = config::environment();
    let references = [&config.vault.kek, &config.database.password];
    let names: Vec<&str> = references
        .into_iter()
        .filter_map(|reference| reference.strip_prefix("env:"))
        .filter(|name| environment.iter().any(|(known, _)| known == name))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    // Not closed on exec: that is how it gets into the new program.
    let memory = rustix::fs::memfd_create("mailwarden-secrets", MemfdFlags::empty());
    let mut memory =
        File::from(memory.context("no memory file for the secrets in the environment; use file: instead")?);
    for name in &names {
        if let Some(value) = config::secret(name) {
            memory.write_all(Zeroizing::new(format!("{name}={}\0", value.as_str())).as_bytes())?;
        }
    }
    let mut arguments = std::env::args_os();
    let mut again = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    for name in names {
        again.env_remove(name);
    }
    let failed = again.args(arguments).env(LEFT_ENVIRONMENT, memory.as_raw_fd().to_string()).exec();
    Err(failed).context("cannot start anew without the secrets in the environment; use file: instead")
}

/// Empties the memory file once the secrets are in use.
pub(super) fn forget_environment() {
    let environment = config::environment();
    let Some((_, descriptor)) = environment.iter().find(|(name, _)| name == LEFT_ENVIRONMENT) else { return };
    let emptied = OpenOptions::new().write(true).truncate(true).open(format!("/proc/self/fd/{descriptor}"));
    if let Err(error) = emptied {
        tracing::warn!(%error, "the memory file with secrets could not be emptied");
    }
}
