//! Mail programs that people really use, run unchanged.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{self, Finished};

/// Runs a script of `tests/clients` with Python or Node, by its ending.
pub(crate) fn script(name: &str, ca: &Path, args: &[&str], input: &[u8]) -> Finished {
    process::run(&mut script_command(name, ca, args), input)
}

/// The command that runs a script of `tests/clients`.
pub(crate) fn script_command(name: &str, ca: &Path, args: &[&str]) -> Command {
    let path = folder().join(name);
    let python = path.extension().is_some_and(|ending| ending == "py");
    let mut command = Command::new(if python { "python3" } else { "node" });
    command.arg(path).args(args).current_dir(folder()).env("SSL_CERT_FILE", ca).env("NODE_EXTRA_CA_CERTS", ca);
    command
}

/// Runs a program of `tests/clients/requirements.txt`, which `tests/run` installs.
pub(crate) fn python_tool(name: &str, args: &[&str]) -> Finished {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin").join(name);
    assert!(path.exists(), "{name} is not installed: tests/run does that");
    process::run(Command::new(path).args(args), b"")
}

/// Runs a Python script that needs the libraries of `tests/clients/requirements.txt`.
pub(crate) fn library_script(name: &str, ca: &Path, args: &[&str], input: &[u8]) -> Finished {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python3");
    assert!(python.exists(), "{} is missing: tests/run makes it", python.display());
    let mut command = Command::new(python);
    command.arg(folder().join(name)).args(args).current_dir(folder());
    command.env("SSL_CERT_FILE", ca).env("REQUESTS_CA_BUNDLE", ca);
    process::run(&mut command, input)
}

/// Runs curl against a server of this test.
pub(crate) fn curl(ca: &Path, args: &[&str], input: &[u8]) -> Finished {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "300", "--cacert"]).arg(ca).args(args);
    process::run(&mut command, input)
}

/// Copies a whole IMAP account into `target` with mbsync.
pub(crate) fn mbsync(port: u16, ca: &Path, user: &str, password: &str, target: &Path) -> Finished {
    std::fs::create_dir_all(target).expect("make the target");
    let (ca, target_text) = (ca.display(), target.display());
    let settings = format!(
        "IMAPStore far\nHost localhost\nPort {port}\nUser {user}\nPass \"{password}\"\nSSLType IMAPS\nAuthMechs PLAIN\n\
         CertificateFile {ca}\nPipelineDepth 10\n\nMaildirStore near\nPath {target_text}/\nInbox {target_text}/INBOX\n\
         SubFolders Verbatim\n\nChannel backup\nFar :far:\nNear :near:\nPatterns *\nSync Pull\nCreate Near\n\
         SyncState *\n"
    );
    let rc = target.join("mbsyncrc");
    std::fs::write(&rc, settings).expect("write mbsync's settings");
    let mut command = Command::new("mbsync");
    command.arg("-c").arg(rc).arg("backup").env("HOME", target);
    process::run(&mut command, b"")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}
