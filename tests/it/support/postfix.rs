//! A Postfix of our own: submission with SASL, delivery into Dovecot's Maildirs.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::ca::{Ca, Leaf};
use super::dovecot::Dovecot;
use super::process::{self, Program};
use super::{MAIL_UID, folder, free_port, note_use_of, wait_for_port};

/// A running Postfix; it goes with this value.
pub(crate) struct Postfix {
    _program: Program,
    pub(crate) smtps: u16,
    pub(crate) submission: u16,
    dir: TempDir,
}

impl Postfix {
    /// Starts a server that delivers to `accounts` of `dovecot` and asks it for logins.
    pub(crate) fn start(ca: &Ca, dovecot: &Dovecot, accounts: &[&str]) -> Self {
        let dir = folder();
        let root = dir.path();
        let (smtps, submission) = (free_port(), free_port());
        for part in ["etc", "spool", "data"] {
            fs::create_dir(root.join(part)).expect("make Postfix's folders");
        }
        let owned = Command::new("chown").arg("postfix").arg(root.join("data")).status().expect("run chown");
        assert!(owned.success(), "the tests need root and a user named postfix");
        let boxes = accounts.iter().map(|user| format!("{user} {user}/Maildir/\n")).collect::<String>();
        fs::write(root.join("etc/boxes"), boxes).expect("write the mailboxes");
        fs::write(root.join("etc/main.cf"), main_cf(&dir, dovecot, &ca.issue("postfix"))).expect("write main.cf");
        fs::write(root.join("etc/master.cf"), master_cf(smtps, submission)).expect("write master.cf");
        let etc = root.join("etc");
        process::run(Command::new("postfix").arg("-c").arg(&etc).arg("check"), b"").expect_ok("postfix check");
        // `postfix start-fg` would put a shell between, and signals would not reach the server.
        let mut command = Command::new("/usr/lib/postfix/sbin/master");
        command.arg("-c").arg(&etc).arg("-d").env("MAIL_CONFIG", &etc).current_dir(root.join("spool"));
        let program = Program::start("postfix", &mut command);
        wait_for_port("Postfix", smtps);
        wait_for_port("Postfix with STARTTLS", submission);
        note_use_of("postfix");
        Self { _program: program, smtps, submission, dir }
    }

    /// What the server logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("maillog")).unwrap_or_default()
    }
}

fn main_cf(dir: &TempDir, dovecot: &Dovecot, leaf: &Leaf) -> String {
    let root = dir.path().display();
    format!(
        "compatibility_level = 3.6
queue_directory = {root}/spool
data_directory = {root}/data
maillog_file = {root}/maillog
maillog_file_prefixes = {root}
myhostname = postfix.example.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
biff = no
alias_maps =
alias_database =
local_recipient_maps =
default_transport = error:this server delivers to its own mailboxes only
virtual_mailbox_domains = example.test
virtual_mailbox_base = {mail}
virtual_mailbox_maps = texthash:{root}/etc/boxes
virtual_uid_maps = static:{MAIL_UID}
virtual_gid_maps = static:{MAIL_UID}
virtual_mailbox_limit = 0
message_size_limit = 67108864
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
",
        mail = dovecot.mail_root().display(),
        certificate = leaf.certificate.display(),
        key = leaf.key.display(),
        auth = dovecot.auth_socket().display(),
    )
}

fn master_cf(smtps: u16, submission: u16) -> String {
    format!(
        "127.0.0.1:{smtps} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
127.0.0.1:{submission} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"
    )
}
