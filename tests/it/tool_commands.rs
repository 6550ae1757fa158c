//! `token`, `handle` and `run` as tools use them: one line to paste into a setting, and nothing left behind.

use crate::support::PATIENCE;
use crate::support::gateway::{Gateway, Tool};
use crate::support::process::{self, Finished, Program};
use crate::support::stage::{ADDRESS, ScriptedStage};

fn run(gateway: &Gateway, tool: &Tool, args: &[&str]) -> Finished {
    process::run(&mut gateway.tool_command(tool, args), b"")
}

fn opens_imap(gateway: &Gateway, shown: &str) {
    gateway.imap().command_ok("a", &format!("LOGIN {ADDRESS} {shown}"));
}

fn is_refused(gateway: &Gateway, shown: &str) {
    let answer = gateway.imap().command("a", &format!("LOGIN {ADDRESS} {shown}"));
    assert!(answer.iter().any(|line| line.starts_with("a NO [AUTHENTICATIONFAILED]")), "{answer:?}");
}

#[test]
fn token_and_handle_print_what_opens_the_mailbox() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_tool("reader", ADDRESS, "helpdesk");
    let token = run(&stage.gateway, &tool, &["token", "--mailbox", ADDRESS]).expect_ok("token");
    assert_eq!(token.lines().count(), 1, "one line for PassCmd: {token}");
    opens_imap(&stage.gateway, token.trim_end());
    let json = run(&stage.gateway, &tool, &["token", "--scope", "mail.metadata", "--format", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&json.expect_ok("token")).expect("JSON");
    assert_eq!((&answer["scope"], &answer["token_type"]), (&"mail.metadata".into(), &"Bearer".into()));
    let handle = run(&stage.gateway, &tool, &["handle", "--protocol", "imap"]).expect_ok("handle");
    assert_eq!((handle.trim_end().len(), &handle[..4]), (42, "mwh_"));
    opens_imap(&stage.gateway, handle.trim_end());
}

#[test]
fn the_secret_comes_from_the_environment_or_a_file_and_is_never_shown() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_tool("reader", ADDRESS, "backup");
    let file = stage.gateway.dir().join("client-secret");
    std::fs::write(&file, format!("{}\n", tool.secret)).expect("write the secret");
    let file = file.display().to_string();
    let mut from_file = stage.gateway.tool_command(&tool, &["token", "--client-secret-file", &file]);
    let token = process::run(from_file.env_remove("MAILWARDEN_CLIENT_SECRET"), b"").expect_ok("token");
    opens_imap(&stage.gateway, token.trim_end());

    let wrong = Tool { secret: format!("{}x", tool.secret), ..tool.clone() };
    let none = process::run(stage.gateway.tool_command(&tool, &["token"]).env_remove("MAILWARDEN_CLIENT_SECRET"), b"");
    let mut clear = stage.gateway.tool_command(&tool, &["token", "--url", "http://localhost:1"]);
    for (finished, said) in [
        (run(&stage.gateway, &wrong, &["token"]), "invalid_client"),
        (run(&stage.gateway, &tool, &["token", "--mailbox", "other@example.test"]), "invalid_target"),
        (run(&stage.gateway, &tool, &["token", "--scope", "mail.send"]), "invalid_scope"),
        (none, "set MAILWARDEN_CLIENT_SECRET"),
        (process::run(&mut clear, b""), "clear"),
    ] {
        assert_eq!((finished.code, &*finished.stdout), (Some(2), ""), "{finished:?}");
        assert!(finished.stderr.contains(said) && !finished.stderr.contains("mws_"), "{said}: {finished:?}");
    }
    let argument = run(&stage.gateway, &tool, &["token", "--client-secret", "x"]);
    assert_eq!(argument.code, Some(1), "there is no such argument: {argument:?}");
}

#[test]
fn run_hands_a_token_over_and_nothing_that_could_get_another() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_tool("reader", ADDRESS, "backup");
    let mut command = stage.gateway.tool_command(&tool, &["run", "--", "sh", "-c", "env; exit 7"]);
    let finished = process::run(command.env("MAILWARDEN_OPERATOR_TOKEN", &stage.gateway.operator_token), b"");
    assert_eq!(finished.code, Some(7), "the program's own exit code: {finished:?}");
    let token = finished.stdout.lines().find_map(|line| line.strip_prefix("MAILWARDEN_TOKEN=")).expect("a token");
    is_refused(&stage.gateway, token);
    for secret in ["mws_", "mwo_", "MAILWARDEN_CLIENT_SECRET", "MAILWARDEN_OPERATOR_TOKEN"] {
        assert!(!finished.stdout.contains(secret), "{secret}: {}", finished.stdout);
    }
    let missing = run(&stage.gateway, &tool, &["run", "--", "/no/such/program"]);
    assert!(missing.code == Some(2) && missing.stderr.contains("cannot start"), "{missing:?}");
}

#[test]
fn what_run_hands_over_opens_the_mailbox_until_the_program_ends() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_tool("reader", ADDRESS, "backup");
    let kinds: [&[&str]; 2] = [&[], &["--handle", "--protocol", "imap"]];
    for kind in kinds {
        let script = "trap 'exit 0' TERM; echo \"shown $PASS\"; while :; do sleep 0.1; done";
        let args = [&["run", "--env", "PASS"], kind, &["--", "sh", "-c", script]].concat();
        let mut program = Program::start("mailwarden run", &mut stage.gateway.tool_command(&tool, &args));
        let line = program.wait_for_line("shown ", PATIENCE);
        let shown = line.trim_start_matches("shown ").to_owned();
        opens_imap(&stage.gateway, &shown);
        assert_eq!((program.stop().code(), &*program.stderr()), (Some(0), ""));
        is_refused(&stage.gateway, &shown);
    }
}

#[test]
fn run_keeps_a_token_file_private_and_takes_it_away() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_tool("reader", ADDRESS, "backup");
    let script = r#"f=$MAILWARDEN_TOKEN_FILE; stat -c %a "$f" "$(dirname "$f")"; echo "$f"; cat "$f"; echo;
        echo "-$MAILWARDEN_TOKEN-"; kill -TERM $$"#;
    let finished = run(&stage.gateway, &tool, &["run", "--file", "--", "sh", "-c", script]);
    assert_eq!(finished.code, Some(128 + 15), "ended by a signal: {finished:?}");
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!((lines[0], lines[1], lines[4]), ("600", "700", "--"), "{lines:?}");
    is_refused(&stage.gateway, lines[3]);
    let file = std::path::Path::new(lines[2]);
    assert!(!file.exists() && !file.parent().expect("a folder").exists(), "{} is still there", file.display());
}

#[test]
fn run_passes_signals_on() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_tool("reader", ADDRESS, "backup");
    let script = "trap 'echo heard; exit 3' TERM; echo started; while :; do sleep 0.1; done";
    let mut command = stage.gateway.tool_command(&tool, &["run", "--", "sh", "-c", script]);
    let mut program = Program::start("mailwarden run", &mut command);
    program.wait_for_line("started", PATIENCE);
    assert_eq!(program.stop().code(), Some(3));
    assert!(program.stdout().contains("heard"), "{}", program.stdout());
}
