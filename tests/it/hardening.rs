//! What the running process does not show: not to its own user, not in a core dump, and not even to root once it is done.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use crate::support::ca::Ca;
use crate::support::gateway::{Gateway, base64};
use crate::support::process::{self, Program};
use crate::support::stage::{ADDRESS, PASSWORD, Stage};
use crate::support::{MAIL_UID, PATIENCE, folder, give_to_mail_user, wait_for};

#[test]
fn vl_03_a_key_given_in_the_environment_leaves_it() {
    let dir = folder();
    let ca = Ca::create(&dir.path().join("ca"));
    let mut gateway = Gateway::prepare(&ca);
    let file = gateway.dir().join("data/kek");
    let kek = fs::read_to_string(&file).expect("read the KEK").trim().to_owned();
    gateway.edit_config(&format!("file:{}", file.display()), "env:THE_KEK");
    fs::remove_file(&file).expect("remove the KEK");
    gateway.environment = vec![("THE_KEK", kek.clone()), ("ANOTHER_VARIABLE", "stays".to_owned())];
    gateway.serve();
    let environment = fs::read(format!("/proc/{}/environ", gateway.pid())).expect("root reads the environment");
    assert!(holds(&environment, b"ANOTHER_VARIABLE=stays"), "the environment is the process's own");
    assert!(!holds(&environment, kek.as_bytes()), "the KEK is in the environment");
    assert!(!holds(&environment, b"THE_KEK="), "the variable is in the environment");
    // Neither is it left in the memory file that it travelled in.
    let descriptors = fs::read_dir(format!("/proc/{}/fd", gateway.pid())).expect("root lists the descriptors");
    let mut memory_files = 0;
    for descriptor in descriptors {
        let path = descriptor.expect("a descriptor").path();
        if fs::read_link(&path).is_ok_and(|target| target.to_string_lossy().contains("mailwarden-secrets")) {
            memory_files += 1;
            assert_eq!(fs::read(&path).expect("read the memory file"), b"", "the memory file is not empty");
        }
    }
    assert_eq!(memory_files, 1);
    gateway.add_client("works");
    gateway.stop();
    gateway.environment.clear();
    let without = gateway.run(&["serve"], b"");
    assert_eq!(without.code, Some(2), "it started without its KEK: {without:?}");
}

#[test]
fn vl_13_without_randomness_from_the_system_nothing_starts() {
    let dir = folder();
    let ca = Ca::create(&dir.path().join("ca"));
    let gateway = Gateway::prepare(&ca);
    // Has the kernel answer getrandom with EIO, from this process on.
    let script = r#"
import ctypes, os, platform, struct, sys
number = {"x86_64": 318, "aarch64": 278}[platform.machine()]
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050005), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()
os.execv(sys.argv[1], sys.argv[1:])
"#;
    let binary = env!("CARGO_BIN_EXE_mailwarden");
    let under_filter = |args: &[&str]| process::run(Command::new("python3").args(["-c", script]).args(args), b"");
    under_filter(&["/bin/true"]).expect_ok("a program that needs no randomness");
    let config = gateway.config_file().display().to_string();
    let ended = under_filter(&[binary, "serve", "--config", &config]);
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stdout.contains("listening") && !ended.stdout.contains("ready"), "{ended:?}");
    assert!(ended.stderr.contains("random") || ended.code.is_none(), "it ended for another reason: {ended:?}");
}

#[test]
fn vl_06_core_dumps_are_off_and_the_same_user_cannot_look_into_the_process() {
    let dir = folder();
    let data = dir.path().join("data");
    fs::create_dir(&data).expect("make the folder");
    give_to_mail_user(&data);
    let mut command = as_mail_user(env!("CARGO_BIN_EXE_mailwarden"));
    command.arg("dev").arg("--data").arg(&data).current_dir(dir.path());
    command.args([
        "--https-port",
        "0",
        "--imaps-port",
        "0",
        "--smtps-port",
        "0",
        "--submission-port",
        "0",
        "--pop3s-port",
        "0",
    ]);
    let mut demo = Program::start("mailwarden dev", &mut command);
    demo.wait_for_line("ready", PATIENCE);
    let mut bystander = Program::start("sleep", as_mail_user("sleep").arg("600"));
    wait_for("the bystander to be another user's", PATIENCE, || {
        fs::read(format!("/proc/{}/cmdline", bystander.pid()))
            .is_ok_and(|line| line.starts_with(b"sleep"))
            .then_some(())
    });

    let limits = fs::read_to_string(format!("/proc/{}/limits", demo.pid())).expect("read the limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit for core files");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let status = fs::read_to_string(format!("/proc/{}/status", demo.pid())).expect("read the status");
    assert!(status.contains(&format!("Uid:\t{MAIL_UID}")), "{status}");
    for what in ["environ", "maps", "mem"] {
        let look = |pid: u32| {
            let mut dd = as_mail_user("dd");
            // The first page is mapped nowhere: opening `mem` is what counts, so nothing is read from it.
            dd.arg(format!("if=/proc/{pid}/{what}")).args(["of=/dev/null", "bs=64", "count=0"]);
            process::run(&mut dd, b"")
        };
        assert_eq!(look(bystander.pid()).code, Some(0), "{what} of a process that is not closed can be opened");
        let refused = look(demo.pid());
        assert!(refused.stderr.contains("Permission denied"), "{what}: {refused:?}");
    }
    bystander.stop();
}

#[test]
fn vl_06_no_copy_of_a_password_is_left_in_memory_after_its_use() {
    let stage = Stage::sending();
    let tool = stage.gateway.add_tool("helpdesk", ADDRESS, "helpdesk");
    let token = stage.gateway.token(&tool, ADDRESS);
    // Sent in by the API, used for three logins, and the connections that it was used on stay open.
    let mut sessions = [stage.gateway.imap_session(ADDRESS, &token), stage.gateway.imap_session(ADDRESS, &token)];
    stage.gateway.manage_ok(&["mailbox", "test", ADDRESS], b"");
    let again = ["mailbox", "set-credential", ADDRESS, "--password-stdin"];
    stage.gateway.manage_ok(&again, format!("{PASSWORD}\n").as_bytes());
    for wire in &mut sessions {
        wire.command_ok("a", "EXAMINE INBOX");
    }

    assert!(copies(stage.gateway.pid(), ADDRESS.as_bytes()) > 0, "the search finds what is there");
    for (name, form) in forms(PASSWORD) {
        wait_for(&format!("all copies of a password ({name}) to be gone"), Duration::from_secs(20), || {
            (copies(stage.gateway.pid(), &form) == 0).then_some(())
        });
    }
    for wire in &mut sessions {
        wire.command_ok("still", "NOOP");
    }
}

/// As it came in, and as it goes out in AUTHENTICATE PLAIN.
fn forms(password: &str) -> Vec<(&'static str, Vec<u8>)> {
    let response = base64(format!("\0{ADDRESS}\0{password}").as_bytes());
    // The user name's part is no secret; the rest depends on the password alone.
    let from = (ADDRESS.len() + 2).div_ceil(3) * 4;
    vec![("text", password.as_bytes().to_vec()), ("base64", response.as_bytes()[from..response.len() - 4].to_vec())]
}

/// How often `needle` stands in the writable memory of a process.
fn copies(pid: u32, needle: &[u8]) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("root reads the maps");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("root opens the memory");
    let mut found = 0;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, mode) = (words.next().expect("a range"), words.next().expect("a mode"));
        if !mode.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        let (start, end) = (number(start), number(end));
        let mut chunk = vec![0; usize::try_from(end - start).expect("a length")];
        // Guard pages and pages given back meanwhile cannot be read.
        if memory.read_exact_at(&mut chunk, start).is_ok() {
            found += count(&chunk, needle);
        }
    }
    found
}

fn count(content: &[u8], part: &[u8]) -> usize {
    let Some((first, _)) = part.split_first() else { return 0 };
    let mut found = 0;
    let mut rest = content;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = &rest[at..];
        found += usize::from(rest.starts_with(part));
        rest = &rest[1..];
    }
    found
}

fn holds(content: &[u8], part: &[u8]) -> bool {
    count(content, part) > 0
}

fn as_mail_user(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={MAIL_UID}"), &format!("--regid={MAIL_UID}"), "--clear-groups", "--"]).arg(program);
    command
}
