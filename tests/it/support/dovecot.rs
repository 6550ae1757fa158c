//! A Dovecot of our own: IMAPS, STARTTLS, Maildir, and the SASL socket that Postfix asks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::ca::Ca;
use super::process::Program;
use super::{MAIL_UID, PATIENCE, folder, free_port, give_to_mail_user, note_use_of, wait_for, wait_for_port};

/// A running Dovecot; it goes with this value.
pub(crate) struct Dovecot {
    program: Program,
    pub(crate) imaps: u16,
    pub(crate) imap: u16,
    dir: TempDir,
}

impl Dovecot {
    /// Starts a server that knows `accounts` (address and password).
    pub(crate) fn start(ca: &Ca, accounts: &[(&str, &str)]) -> Self {
        let dir = folder();
        let root = dir.path();
        let (imaps, imap) = (free_port(), free_port());
        let users = accounts.iter().map(|(user, password)| format!("{user}:{{PLAIN}}{password}\n")).collect::<String>();
        fs::write(root.join("users"), users).expect("write the users");
        fs::create_dir(root.join("mail")).expect("make the mail folder");
        for (user, _) in accounts {
            for part in ["cur", "new", "tmp"] {
                fs::create_dir_all(root.join("mail").join(user).join("Maildir").join(part)).expect("make a Maildir");
            }
        }
        give_to_mail_user(&root.join("mail"));
        fs::write(root.join("dovecot.conf"), settings(root, ca, imaps, imap)).expect("write the settings");
        let program = serve(root);
        wait_for_port("Dovecot", imaps);
        wait_for_port("Dovecot with STARTTLS", imap);
        note_use_of("dovecot");
        Self { program, imaps, imap, dir }
    }

    /// Stops it, with a last word to every connection.
    pub(crate) fn stop(&mut self) {
        self.program.stop();
    }

    /// Starts it again where it was.
    pub(crate) fn go_on(&mut self) {
        self.program = serve(self.dir.path());
        wait_for_port("Dovecot", self.imaps);
    }

    /// The Maildir of an account.
    pub(crate) fn maildir(&self, user: &str) -> PathBuf {
        self.dir.path().join("mail").join(user).join("Maildir")
    }

    /// The folder that holds all accounts.
    pub(crate) fn mail_root(&self) -> PathBuf {
        self.dir.path().join("mail")
    }

    /// The socket where Postfix asks for logins.
    pub(crate) fn auth_socket(&self) -> PathBuf {
        self.dir.path().join("auth-postfix")
    }

    /// Changes the password of the only account. Dovecot looks at the file once in a second of the clock at most: from the next one on,
    /// which this waits for, it knows.
    #[expect(clippy::disallowed_methods, reason = "the machine's clock is Dovecot's")]
    pub(crate) fn set_password(&self, user: &str, password: &str) {
        fs::write(self.dir.path().join("users"), format!("{user}:{{PLAIN}}{password}\n")).expect("write the users");
        let second = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
        let written = second();
        wait_for("the next second", PATIENCE, || (second() != written).then_some(()));
    }

    /// What the server logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("dovecot.log")).unwrap_or_default()
    }
}

fn serve(root: &Path) -> Program {
    let mut command = Command::new("dovecot");
    command.arg("-F").arg("-c").arg(root.join("dovecot.conf"));
    Program::start("dovecot", &mut command)
}

fn settings(root: &Path, ca: &Ca, imaps: u16, imap: u16) -> String {
    let leaf = ca.issue("dovecot");
    let (root, certificate, key) = (root.display(), leaf.certificate.display(), leaf.key.display());
    format!(
        "base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = yes
auth_mechanisms = plain login
auth_failure_delay = 0
mail_max_userip_connections = 1000
mail_location = maildir:{root}/mail/%u/Maildir
passdb {{
  driver = passwd-file
  args = username_format=%u {root}/users
}}
userdb {{
  driver = static
  args = uid={MAIL_UID} gid={MAIL_UID} home={root}/mail/%u
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Archive {{
    special_use = \\Archive
  }}
}}
mail_plugins = quota
protocol imap {{
  mail_plugins = quota imap_quota
}}
plugin {{
  quota = count:Mailbox
  quota_vsizes = yes
  quota_rule = *:storage=1G
}}
service imap-login {{
  service_count = 0
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service auth {{
  unix_listener {root}/auth-postfix {{
    mode = 0666
  }}
}}
"
    )
}
