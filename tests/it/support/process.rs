//! Child processes whose output is collected and which never outlive their test.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::wait_for;

/// A running program.
pub(crate) struct Program {
    name: String,
    child: Child,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    stop_signal: &'static str,
}

impl Program {
    /// Starts `command` with its output collected.
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let stdout = collect(child.stdout.take().expect("stdout is piped"));
        let stderr = collect(child.stderr.take().expect("stderr is piped"));
        Self { name: name.to_owned(), child, stdout, stderr, stop_signal: "TERM" }
    }

    /// The signal that asks this program to stop.
    pub(crate) fn stopped_by(mut self, signal: &'static str) -> Self {
        self.stop_signal = signal;
        self
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that the program ever held, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the program runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// How many octets of memory it holds.
    pub(crate) fn resident_octets(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("read its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident size");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
    }

    /// All of the standard output so far.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().expect("the collector lives")).into_owned()
    }

    /// All of the standard error so far.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().expect("the collector lives")).into_owned()
    }

    /// Waits for a complete line of standard output that starts with `prefix` and returns the rest of it.
    pub(crate) fn wait_for_line(&mut self, prefix: &str, limit: Duration) -> String {
        let what = format!("{} to print {prefix:?}", self.name);
        wait_for(&what, limit, || {
            let text = self.stdout();
            let complete = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
            let found = complete.lines().find_map(|line| line.strip_prefix(prefix)).map(str::to_owned);
            if found.is_none()
                && let Some(status) = self.child.try_wait().expect("ask for the child's state")
            {
                panic!("{} ended with {status} before {prefix:?}\n{text}\n{}", self.name, self.stderr());
            }
            found
        })
    }

    /// Ends the program at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill the child");
        self.child.wait().expect("reap the child");
    }

    /// Asks the program to stop and waits until it did.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        if let Some(status) = self.child.try_wait().expect("ask for the child's state") {
            return status;
        }
        self.signal(self.stop_signal);
        self.wait(Duration::from_secs(30))
    }

    /// Waits for the end of the program.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait_for(&what, limit, || self.child.try_wait().expect("ask for the child's state"))
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("run kill").success(), "cannot signal {}", self.name);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if !std::thread::panicking() {
            self.stop();
            return;
        }
        self.signal(self.stop_signal);
        for _ in 0..250 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                eprintln!("--- {} ---\n{}\n{}", self.name, self.stdout(), self.stderr());
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a finished command left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// The output of a command that must have succeeded.
    pub(crate) fn expect_ok(self, what: &str) -> String {
        assert_eq!(self.code, Some(0), "{what} failed\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs a command to its end, feeding it `input`.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Finished {
    use std::io::Write;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        // Its name alone: the environment holds secrets.
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", command.get_program().display()));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A program may end without having read its input.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("collect the output");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn collect(mut source: impl Read + Send + 'static) -> Arc<Mutex<Vec<u8>>> {
    let sink = Arc::new(Mutex::new(Vec::new()));
    let target = Arc::clone(&sink);
    std::thread::spawn(move || {
        let mut chunk = [0; 8192];
        while let Ok(read @ 1..) = source.read(&mut chunk) {
            target.lock().expect("the test lives").extend_from_slice(&chunk[..read]);
        }
    });
    sink
}
