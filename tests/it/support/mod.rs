//! What the tests stand on: throw-away servers on free ports, a gateway under test, and a plain TLS line client.

pub(crate) mod api;
pub(crate) mod ca;
pub(crate) mod clients;
pub(crate) mod dovecot;
pub(crate) mod dpop;
pub(crate) mod dpop_scene;
pub(crate) mod frozen_scene;
pub(crate) mod gateway;
pub(crate) mod haproxy;
pub(crate) mod house;
pub(crate) mod http;
pub(crate) mod link;
pub(crate) mod lmtp;
pub(crate) mod maildir;
pub(crate) mod pop3;
pub(crate) mod postfix;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod signer;
pub(crate) mod smtp_upstream;
pub(crate) mod sockets;
pub(crate) mod stage;
pub(crate) mod submission;
pub(crate) mod token_scene;
pub(crate) mod upstream;
pub(crate) mod wire;

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

/// How long anything on this machine may take before the test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The user and group that own delivered mail; neither is root, because Dovecot and Postfix refuse to work for root.
pub(crate) const MAIL_UID: u32 = 65534;

/// A setting of the test run itself.
#[expect(clippy::disallowed_methods, reason = "settings of the test run, not of the product")]
pub(crate) fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether the run may take long.
pub(crate) fn long_run() -> bool {
    setting("MAILWARDEN_TEST_LONG").is_some()
}

/// Notes that the running test uses `part`; `tests/run` counts these.
pub(crate) fn note_use_of(part: &str) {
    let Some(ledger) = setting("MAILWARDEN_TEST_LEDGER") else { return };
    let thread = std::thread::current();
    let line = format!("{part} {}\n", thread.name().unwrap_or("unnamed"));
    let mut file = OpenOptions::new().create(true).append(true).open(ledger).expect("open the ledger");
    file.write_all(line.as_bytes()).expect("write the ledger");
}

/// A folder that vanishes with the test and that the servers' own users may enter.
pub(crate) fn folder() -> TempDir {
    let dir = tempfile::Builder::new().prefix("mw").tempdir().expect("make a folder");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("open the folder to other users");
    dir
}

/// A port for a server that has to be told one. It lies below those that the system hands out by itself, so that no connection of another
/// test takes it before the server does, or while the server is started anew; and it is given once.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 16_384;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let range =
        fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("the range of the system's own ports");
    let end: u16 = range.split_whitespace().next().and_then(|low| low.parse().ok()).expect("where it begins");
    let room = u32::from(end.checked_sub(FIRST).filter(|room| *room > 0).expect("ports below it"));
    // Another run at the same time begins elsewhere.
    let start = std::process::id().wrapping_mul(997);
    let ports = (0..room).map(|_| {
        let place = start.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % room;
        FIRST + u16::try_from(place).expect("less than the room")
    });
    let mut free = ports.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.next().expect("a free port")
}

/// Tries until `attempt` gives something; panics with `what` when that takes too long.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Waits where the hour is about to end: what is counted after it is counted in one.
pub(crate) fn early_in_the_hour() {
    wait_for("the next hour", Duration::from_secs(150), || {
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970").as_secs();
        (now % 3600 < 3600 - 120).then_some(())
    });
}

/// Waits until something accepts connections on `port`.
pub(crate) fn wait_for_port(what: &str, port: u16) {
    wait_for(what, PATIENCE, || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
}

/// Gives a tree to the user who owns mail.
pub(crate) fn give_to_mail_user(path: &Path) {
    std::os::unix::fs::chown(path, Some(MAIL_UID), Some(MAIL_UID)).expect("these tests need root to give files away");
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("read a folder") {
            give_to_mail_user(&entry.expect("a folder entry").path());
        }
    }
}
