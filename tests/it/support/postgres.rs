//! A PostgreSQL of our own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::{self, Program};
use super::{PATIENCE, folder, free_port, note_use_of, wait_for};

/// A running cluster; it goes with this value.
pub(crate) struct Postgres {
    program: Program,
    port: u16,
    _dir: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it on a free port of the loopback address.
    pub(crate) fn start() -> Self {
        let dir = folder();
        let data = dir.path().join("data");
        let bin = programs();
        fs::create_dir(&data).expect("make the cluster's folder");
        let owned = Command::new("chown").arg("postgres:").arg(&data).status().expect("run chown");
        assert!(owned.success(), "the tests need root and a user named postgres");
        let mut initdb = as_postgres(&bin.join("initdb"));
        initdb.args(["-D"]).arg(&data).args([
            "-A",
            "trust",
            "-U",
            "mailwarden",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        process::run(&mut initdb, b"").expect_ok("initdb");
        let port = free_port();
        let mut server = as_postgres(&bin.join("postgres"));
        server.args(["-D"]).arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        server.args(["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=100"]);
        let program = Program::start("postgres", &mut server).stopped_by("INT");
        wait_for("PostgreSQL to take connections", PATIENCE, || {
            let mut ready = Command::new(bin.join("pg_isready"));
            ready.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
            (process::run(&mut ready, b"").code == Some(0)).then_some(())
        });
        note_use_of("postgres");
        Self { program, port, _dir: dir }
    }

    /// What goes into the configuration.
    pub(crate) fn url(&self) -> String {
        format!("postgres://mailwarden@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs a statement behind the program's back.
    pub(crate) fn execute(&self, sql: &str) {
        let mut psql = Command::new(programs().join("psql"));
        psql.args(["-v", "ON_ERROR_STOP=1", "-c", sql, &self.url()]);
        process::run(&mut psql, b"").expect_ok("psql");
    }

    /// Stops all of it where it stands, as if the machine were gone: connections stay, and nothing is answered until this is dropped.
    pub(crate) fn pause(&self) -> Paused {
        let server = self.program.pid();
        let stat = |pid: u32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = |pid| stat(pid).rsplit(')').next()?.split_whitespace().nth(1)?.parse::<u32>().ok();
        let mut paused = Paused { processes: vec![server] };
        signal("STOP", &paused.processes);
        // It makes no more of them now.
        let all = fs::read_dir("/proc")
            .expect("the kernel's list of processes")
            .filter_map(|entry| entry.expect("an entry").file_name().to_str()?.parse::<u32>().ok());
        paused.processes.extend(all.filter(|pid| parent(*pid) == Some(server)));
        signal("STOP", &paused.processes);
        paused
    }

    /// The whole database as text.
    pub(crate) fn dump(&self) -> String {
        let mut dump = Command::new(programs().join("pg_dump"));
        dump.arg(self.url());
        process::run(&mut dump, b"").expect_ok("pg_dump")
    }
}

/// A cluster that stands still. It goes on when this is dropped.
pub(crate) struct Paused {
    processes: Vec<u32>,
}

impl Drop for Paused {
    fn drop(&mut self) {
        signal("CONT", &self.processes);
    }
}

fn signal(name: &str, processes: &[u32]) {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{name}")).args(processes.iter().map(u32::to_string));
    // One may have ended by itself meanwhile.
    process::run(&mut kill, b"");
}

fn as_postgres(program: &Path) -> Command {
    // Unlike runuser this leaves no process between, so that signals reach the server.
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program).current_dir("/");
    command
}

/// Debian keeps the server's programs out of PATH, one folder per version.
fn programs() -> PathBuf {
    let mut found = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed")
        .map(|entry| entry.expect("a folder entry").path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect::<Vec<_>>();
    found.sort();
    found.pop().expect("a PostgreSQL server is installed")
}
