//! A PostgreSQL of the benchmark's own, with the settings that it comes with: what is committed is on the disk.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::gauge::Gauge;
use crate::pinned_to;

/// A running cluster; it goes with this value.
pub(crate) struct Postgres {
    child: Child,
    port: u16,
}

impl Postgres {
    /// Makes a cluster and starts it on a free port of the loopback address, on the CPU of the servers.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let (bin, data) = (programs()?, folder.join("data"));
        std::fs::create_dir_all(&data)?;
        // Its user has to get into it.
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o711))?;
        let owned = Command::new("chown").arg("postgres:").arg(&data).status()?;
        anyhow::ensure!(owned.success(), "PostgreSQL needs root and a user named postgres");
        let mut initdb = as_postgres(Command::new("setpriv"), &bin.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-A", "trust", "-U", "mailwarden", "-E", "UTF8", "--locale=C"]);
        anyhow::ensure!(initdb.stdout(Stdio::null()).status()?.success(), "initdb failed");
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = as_postgres(pinned_to("0", "setpriv".as_ref()), &bin.join("postgres"));
        server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        server.args(["-c", "unix_socket_directories="]).env("LC_ALL", "C").stderr(Stdio::piped());
        let mut postgres = Self { child: server.spawn()?, port };
        let mut said = BufReader::new(postgres.child.stderr.take().context("no output")?);
        let mut line = String::new();
        while !line.contains("ready to accept connections") {
            line.clear();
            anyhow::ensure!(said.read_line(&mut line)? > 0, "PostgreSQL does not start");
        }
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Ok(postgres)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://mailwarden@127.0.0.1:{}/postgres", self.port)
    }

    /// Time on a CPU of all its processes.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        Gauge::cpu_of_all(self.child.id())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let stopped = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = stopped.and_then(|_| self.child.wait());
    }
}

/// Unlike `runuser` this leaves no process between, so that signals reach the server.
fn as_postgres(mut setpriv: Command, program: &Path) -> Command {
    setpriv.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program).current_dir("/");
    setpriv
}

/// Debian keeps the server's programs out of PATH, one folder per version.
fn programs() -> anyhow::Result<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed")?;
    let mut found: Vec<_> = folders.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    found.retain(|bin| bin.join("initdb").exists());
    found.sort();
    found.pop().context("PostgreSQL is not installed")
}
