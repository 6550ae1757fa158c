//! `dev.env`: what the demo's tools need, as `KEY=value` lines, kept between runs.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The demo's settings and throw-away secrets. They open a mailbox of sample mail on loopback, and nothing else.
pub(super) struct DevEnv {
    path: PathBuf,
    values: BTreeMap<String, String>,
}

impl DevEnv {
    /// Reads what an earlier run left; empty when there was none.
    pub(super) fn load(folder: &Path) -> Self {
        let path = folder.join("dev.env");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let values = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Self { path, values }
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// Sets `key`.
    pub(super) fn set(&mut self, key: &str, value: impl Into<String>) {
        self.values.insert(key.to_owned(), value.into());
    }

    /// Writes the file, readable by its owner only.
    pub(super) fn save(&self) -> anyhow::Result<()> {
        let text: String = self.values.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        write_private(&self.path, &text)
    }
}

/// Writes a file that only its owner can read; an older one is replaced.
pub(super) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let fail = || format!("cannot write {}", path.display());
    let fresh = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .with_context(fail)?;
    file.write_all(text.as_bytes()).with_context(fail)?;
    std::fs::rename(&fresh, path).with_context(fail)
}
