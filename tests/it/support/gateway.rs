//! The program under test, started as its users start it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::ca::Ca;
use super::postgres::Postgres;
use super::process::{self, Finished, Program};
use super::wire::{self, Answer, Wire};
use super::{PATIENCE, folder, free_port, note_use_of, setting};

/// A registered client.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// An installation, running or not.
pub(crate) struct Gateway {
    program: Option<Program>,
    ports: BTreeMap<String, u16>,
    /// Further environment variables of the server.
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) operator_token: String,
    pub(crate) init_output: String,
    ca_file: PathBuf,
    stopped_output: String,
    postgres: Option<Postgres>,
    dir: TempDir,
}

impl Gateway {
    /// Initialises an installation on the engine of this run, without starting it.
    pub(crate) fn prepare(ca: &Ca) -> Self {
        match setting("MAILWARDEN_TEST_DATABASE").as_deref() {
            None | Some("sqlite") => Self::prepare_on(ca, None),
            Some("postgres") => Self::prepare_on(ca, Some(Postgres::start())),
            Some(other) => panic!("MAILWARDEN_TEST_DATABASE is sqlite or postgres, not {other:?}"),
        }
    }

    /// Initialises an installation on that PostgreSQL or, without one, on SQLite.
    pub(crate) fn prepare_on(ca: &Ca, postgres: Option<Postgres>) -> Self {
        let dir = folder();
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("make the data folder");
        let url = postgres.as_ref().map_or_else(|| format!("sqlite:{}/mailwarden.db", data.display()), Postgres::url);
        let config = config_text(ca, &data, &url, free_port());
        fs::write(dir.path().join("mailwarden.toml"), config).expect("write the configuration");
        let mut gateway = Self {
            program: None,
            ports: BTreeMap::new(),
            environment: Vec::new(),
            operator_token: String::new(),
            init_output: String::new(),
            ca_file: ca.file(),
            stopped_output: String::new(),
            postgres,
            dir,
        };
        let printed = gateway.run(&["init"], b"").expect_ok("mailwarden init");
        let token = printed.lines().find_map(|line| line.strip_prefix("MAILWARDEN_OPERATOR_TOKEN="));
        token
            .unwrap_or_else(|| panic!("init printed no operator token: {printed}"))
            .clone_into(&mut gateway.operator_token);
        gateway.init_output = printed;
        gateway
    }

    /// Initialises an installation and starts it.
    pub(crate) fn start(ca: &Ca) -> Self {
        let mut gateway = Self::prepare(ca);
        gateway.serve();
        gateway
    }

    /// A further node of the same installation: same database, KEK, issuer and operator, listeners of its own.
    pub(crate) fn second_node(&self) -> Self {
        let dir = folder();
        let config = fs::read_to_string(self.config_file()).expect("read the configuration");
        let https = config.lines().find_map(|line| line.strip_prefix("https = ")).expect("a listener");
        let config = config.replacen(&format!("https = {https}"), "https = \"127.0.0.1:0\"", 1);
        fs::write(dir.path().join("mailwarden.toml"), config).expect("write the configuration");
        let mut node = Self {
            program: None,
            ports: BTreeMap::new(),
            environment: Vec::new(),
            operator_token: self.operator_token.clone(),
            init_output: String::new(),
            ca_file: self.ca_file.clone(),
            stopped_output: String::new(),
            postgres: None,
            dir,
        };
        node.serve();
        node
    }

    /// Starts the server and waits until it says that it is ready.
    pub(crate) fn serve(&mut self) {
        let mut command = self.command(&["serve"]);
        command.env("RUST_LOG", "trace").envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut program = Program::start("mailwarden", &mut command);
        program.wait_for_line("ready", PATIENCE);
        self.ports = listeners(&program.stdout());
        self.program = Some(program);
        note_use_of(if self.postgres.is_some() { "gateway-on-postgres" } else { "sqlite" });
    }

    /// Ends the server as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.end(Program::kill);
    }

    /// Stops the server in order.
    pub(crate) fn stop(&mut self) {
        self.end(|program| assert!(program.stop().success(), "an orderly stop ends with 0"));
    }

    fn end(&mut self, how: impl FnOnce(&mut Program)) {
        let mut program = self.program.take().expect("the server runs");
        how(&mut program);
        self.stopped_output.push_str(&program.stdout());
        self.stopped_output.push_str(&program.stderr());
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.program.as_ref().expect("the server runs").pid()
    }

    /// The most memory that the server ever held, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        self.program.as_ref().expect("the server runs").peak_memory_kib()
    }

    /// The port of a listener.
    pub(crate) fn port(&self, listener: &str) -> u16 {
        *self.ports.get(listener).unwrap_or_else(|| panic!("no listener {listener} in {:?}", self.ports))
    }

    /// The CA that the gateway's own certificate comes from.
    pub(crate) fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Where everything of this installation lies.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration file.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.path().join("mailwarden.toml")
    }

    /// The database of this run when it is PostgreSQL.
    pub(crate) fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// How many octets of memory the server holds.
    pub(crate) fn resident_octets(&self) -> usize {
        self.program.as_ref().expect("the server runs").resident_octets()
    }

    /// Changes the database behind the server's back.
    pub(crate) fn sql(&self, text: &'static str) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            if let Some(postgres) = &self.postgres {
                let pool = sqlx::PgPool::connect(&postgres.url()).await.expect("connect");
                sqlx::raw_sql(text).execute(&pool).await.expect("run the statement");
            } else {
                let url = format!("sqlite:{}", self.dir.path().join("data/mailwarden.db").display());
                let pool = sqlx::SqlitePool::connect(&url).await.expect("connect");
                sqlx::raw_sql(text).execute(&pool).await.expect("run the statement");
            }
        });
    }

    /// A number in the database.
    pub(crate) fn number(&self, text: &'static str) -> i64 {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let read = runtime.block_on(async {
            if let Some(postgres) = &self.postgres {
                let pool = sqlx::PgPool::connect(&postgres.url()).await.expect("connect");
                sqlx::query_scalar(text).fetch_optional(&pool).await
            } else {
                let url = format!("sqlite:{}", self.dir.path().join("data/mailwarden.db").display());
                let pool = sqlx::SqlitePool::connect(&url).await.expect("connect");
                sqlx::query_scalar(text).fetch_optional(&pool).await
            }
        });
        read.expect("read the database").unwrap_or_default()
    }

    /// Does to the database what somebody with its password could do.
    pub(crate) fn tamper(&self, sql: &str) {
        if let Some(postgres) = &self.postgres {
            return postgres.execute(sql);
        }
        let file = self.dir.path().join("data/mailwarden.db");
        let script =
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=30); c.execute(sys.argv[2]); c.commit()";
        let mut python = Command::new("python3");
        process::run(python.args(["-c", script]).arg(file).arg(sql), b"").expect_ok("the change to the database");
    }

    /// Everything the server printed in all its runs.
    pub(crate) fn output(&self) -> String {
        let running = self.program.as_ref().map_or_else(String::new, |p| format!("{}{}", p.stdout(), p.stderr()));
        format!("{}{running}", self.stopped_output)
    }

    /// Replaces text in the configuration.
    pub(crate) fn edit_config(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config_file()).expect("read the configuration");
        assert!(text.contains(from), "{from:?} is not in the configuration");
        fs::write(self.config_file(), text.replacen(from, to, 1)).expect("write the configuration");
    }

    /// A command that reads the configuration file (`init`, `serve`, `migrate`).
    pub(crate) fn run(&self, args: &[&str], input: &[u8]) -> Finished {
        process::run(&mut self.command(args), input)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailwarden"));
        command.args(args).arg("--config").arg(self.config_file()).current_dir(self.dir.path());
        command
    }

    /// A management command, as an admin runs it.
    pub(crate) fn manage(&self, args: &[&str], input: &[u8]) -> Finished {
        let url = format!("https://localhost:{}", self.port("https"));
        process::run(management(&url, &self.ca_file, &self.operator_token).args(args), input)
    }

    /// A management command that must succeed.
    pub(crate) fn manage_ok(&self, args: &[&str], input: &[u8]) -> String {
        self.manage(args, input).expect_ok(&format!("mailwarden {}", args.join(" ")))
    }

    /// Registers a mailbox of the given upstream ports; STARTTLS where `starttls`.
    pub(crate) fn add_mailbox(&self, address: &str, password: &str, upstream: Upstream, ca: &Ca) -> Finished {
        let tls = if upstream.starttls { "starttls" } else { "implicit" };
        let imap = format!("localhost:{}", upstream.imap);
        let smtp = format!("localhost:{}", upstream.smtp.unwrap_or_default());
        let ca_file = ca.file().display().to_string();
        let mut args = vec!["mailbox", "add", "--address", address, "--username", address];
        args.extend(["--imap", &imap, "--imap-tls", tls, "--ca-file", &ca_file, "--password-stdin"]);
        if upstream.smtp.is_some() {
            args.extend(["--smtp", &smtp, "--smtp-tls", tls]);
        }
        self.manage(&args, format!("{password}\n").as_bytes())
    }

    /// Registers a client.
    pub(crate) fn add_client(&self, name: &str) -> Tool {
        let printed = self.manage_ok(&["client", "add", name, "--format", "json"], b"");
        let value: serde_json::Value = serde_json::from_str(&printed).expect("client add prints JSON");
        let text = |key: &str| value[key].as_str().unwrap_or_else(|| panic!("no {key} in {printed}")).to_owned();
        Tool { id: text("client_id"), secret: text("client_secret") }
    }

    /// Registers a client with a grant.
    pub(crate) fn add_tool(&self, name: &str, mailbox: &str, preset: &str) -> Tool {
        let tool = self.add_client(name);
        self.manage_ok(&["grant", "add", "--client", &tool.id, "--mailbox", mailbox, "--preset", preset], b"");
        tool
    }

    /// Registers a client with a grant that holds to `folders`.
    pub(crate) fn add_bounded_tool(&self, name: &str, mailbox: &str, preset: &str, folders: &[&str]) -> Tool {
        let tool = self.add_client(name);
        let mut args = vec!["grant", "add", "--client", &tool.id, "--mailbox", mailbox, "--preset", preset];
        for folder in folders {
            args.extend(["--folder", folder]);
        }
        self.manage_ok(&args, b"");
        tool
    }

    /// Asks the token endpoint.
    pub(crate) fn token_answer(&self, tool: &Tool, form: &str) -> Option<Answer> {
        token_answer(self.port("https"), &self.ca_file, tool, form)
    }

    /// An access token for `mailbox`.
    pub(crate) fn token(&self, tool: &Tool, mailbox: &str) -> String {
        let form = format!("grant_type=client_credentials&resource=mailto:{mailbox}");
        let answer = self.token_answer(tool, &form).expect("the token endpoint answers");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["access_token"].as_str().expect("an access token").to_owned()
    }

    /// A handle for one protocol of `mailbox`.
    pub(crate) fn handle(&self, tool: &Tool, mailbox: &str, protocol: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&resource=mailto:{mailbox}&protocol={protocol}\
             &requested_token_type=urn:mailwarden:params:oauth:token-type:handle"
        );
        let answer = self.token_answer(tool, &form).expect("the token endpoint answers");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["access_token"].as_str().expect("a handle").to_owned()
    }

    /// One of the commands that a tool runs, with its id and secret.
    pub(crate) fn tool_command(&self, tool: &Tool, args: &[&str]) -> Command {
        let url = format!("https://localhost:{}", self.port("https"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailwarden"));
        command.args(args).env("MAILWARDEN_URL", url).env("MAILWARDEN_CA", &self.ca_file);
        command.env("MAILWARDEN_CLIENT_ID", &tool.id).env("MAILWARDEN_CLIENT_SECRET", &tool.secret);
        command
    }

    /// An IMAP connection that is not logged in.
    pub(crate) fn imap(&self) -> Wire {
        let mut wire = Wire::connect(self.port("imaps"), &self.ca_file);
        let greeting = wire.line();
        assert!(greeting.starts_with("* OK"), "{greeting}");
        wire
    }

    /// An IMAP connection that is logged in with a token.
    pub(crate) fn imap_session(&self, mailbox: &str, token: &str) -> Wire {
        let mut wire = self.imap();
        wire.command_ok("login", &format!("AUTHENTICATE XOAUTH2 {}", xoauth2(mailbox, token)));
        wire
    }

    /// The audit records, all of them, as JSON.
    pub(crate) fn audit(&self) -> Vec<serde_json::Value> {
        let mut all = Vec::new();
        let mut after = 0;
        loop {
            let args = ["audit", "list", "--after", &after.to_string(), "--limit", "1000", "--format", "json"];
            let printed = self.manage_ok(&args, b"");
            let page: serde_json::Value = serde_json::from_str(&printed).expect("audit list prints JSON");
            let events = page["events"].as_array().unwrap_or_else(|| panic!("no events in {printed}"));
            let Some(last) = events.last() else { return all };
            after = last["seq"].as_i64().expect("a sequence number");
            all.extend(events.iter().cloned());
        }
    }
}

/// Where a mailbox logs in.
#[derive(Clone, Copy)]
pub(crate) struct Upstream {
    pub(crate) imap: u16,
    pub(crate) smtp: Option<u16>,
    pub(crate) starttls: bool,
}

/// A management command with its three settings.
pub(crate) fn management(url: &str, ca: &Path, operator_token: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailwarden"));
    command.env("MAILWARDEN_URL", url).env("MAILWARDEN_CA", ca).env("MAILWARDEN_OPERATOR_TOKEN", operator_token);
    command
}

/// Asks a token endpoint with HTTP Basic.
pub(crate) fn token_answer(port: u16, ca: &Path, tool: &Tool, form: &str) -> Option<Answer> {
    let basic = base64(format!("{}:{}", tool.id, tool.secret).as_bytes());
    let head = format!(
        "POST /oauth/token HTTP/1.1\r\nAuthorization: Basic {basic}\r\nContent-Type: application/x-www-form-urlencoded"
    );
    wire::https(port, ca, &head, form)
}

/// The first message of XOAUTH2.
pub(crate) fn xoauth2(user: &str, token: &str) -> String {
    base64(format!("user={user}\x01auth=Bearer {token}\x01\x01").as_bytes())
}

/// The first message of PLAIN.
pub(crate) fn plain(user: &str, password: &str) -> String {
    base64(format!("\0{user}\0{password}").as_bytes())
}

/// Base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The listeners that a server has announced on its standard output.
pub(crate) fn listeners(printed: &str) -> BTreeMap<String, u16> {
    let announced = printed.lines().filter_map(|line| line.strip_prefix("listening "));
    let mut ports = BTreeMap::new();
    for line in announced {
        let (name, address) = line.split_once(' ').expect("a name and an address");
        let port = address.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        ports.insert(name.to_owned(), port.unwrap_or_else(|| panic!("no port in {line:?}")));
    }
    ports
}

fn config_text(ca: &Ca, data: &Path, url: &str, https: u16) -> String {
    let leaf = ca.issue("gateway");
    let (certificate, key, data) = (leaf.certificate.display(), leaf.key.display(), data.display());
    format!(
        r#"[server]
hostname = "localhost"
issuer = "https://localhost:{https}/oauth"
data = "{data}"
[tls]
certificate = "{certificate}"
private_key = "{key}"
[database]
url = "{url}"
[vault]
kek = "file:{data}/kek"
[listen]
https = "127.0.0.1:{https}"
imaps = "127.0.0.1:0"
imap = "127.0.0.1:0"
smtps = "127.0.0.1:0"
submission = "127.0.0.1:0"
pop3s = "127.0.0.1:0"
pop3 = "127.0.0.1:0"
ops = "127.0.0.1:0"
[upstream]
allow_networks = ["127.0.0.0/8", "::1/128"]
imap_connections = 0
smtp_connections = 0
keep_seconds = 0
"#
    )
}
