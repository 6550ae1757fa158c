//! An HAProxy of our own, which passes connections on as they are and says whose they are.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::process::Program;
use super::{folder, free_port, wait_for_port};

/// The address that it reaches the gateway from.
pub(crate) const ADDRESS: &str = "127.0.9.1";

/// A running HAProxy; it goes with this value.
pub(crate) struct Haproxy {
    _program: Program,
    /// Its doors, in the order in which they were asked for.
    pub(crate) ports: Vec<u16>,
    _dir: TempDir,
}

impl Haproxy {
    /// One door for each of these ports, which passes on to it and tells whose connection it is by `send-proxy` or `send-proxy-v2`.
    pub(crate) fn start(doors: &[(u16, &str)]) -> Self {
        let dir = folder();
        let mut settings =
            "defaults\n  mode tcp\n  timeout connect 30s\n  timeout client 60s\n  timeout server 60s\n".to_owned();
        let mut ports = Vec::new();
        for (to, how) in doors {
            let port = free_port();
            settings.push_str(&format!(
                "listen door{port}\n  bind 127.0.0.1:{port}\n  server gateway 127.0.0.1:{to} {how} source {ADDRESS}\n"
            ));
            ports.push(port);
        }
        let file = dir.path().join("haproxy.cfg");
        fs::write(&file, settings).expect("write the settings");
        let mut command = Command::new("haproxy");
        let program = Program::start("haproxy", command.arg("-db").arg("-f").arg(file));
        for port in &ports {
            wait_for_port("HAProxy", *port);
        }
        Self { _program: program, ports, _dir: dir }
    }
}
