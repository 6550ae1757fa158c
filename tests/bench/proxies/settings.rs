//! The settings of the programs from outside: as fast as their manuals allow, with nothing switched off that ours does too.

use std::path::Path;

/// TLS to both sides; nothing is looked at.
pub(crate) fn haproxy(root: &Path, imap: u16, smtp: u16, imaps_upstream: u16, smtps_upstream: u16) -> String {
    let root = root.display();
    let proxy = |name: &str, port: u16, upstream: u16| {
        format!(
            "frontend {name}
  bind 127.0.0.1:{port} ssl crt {root}/both.pem
  default_backend {name}-upstream
backend {name}-upstream
  server upstream 127.0.0.1:{upstream} ssl verify none
"
        )
    };
    format!(
        "global
  maxconn 9000
  nbthread 1
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
{}{}",
        proxy("imap", imap, imaps_upstream),
        proxy("smtp", smtp, smtps_upstream)
    )
}

/// Its mail module speaks no TLS to upstreams.
pub(crate) fn nginx(root: &Path, folder: &Path, imap: u16, smtp: u16, helper: u16) -> String {
    let (root, folder) = (root.display(), folder.display());
    format!(
        "load_module /usr/lib/nginx/modules/ngx_mail_module.so;
daemon off;
worker_processes 1;
worker_rlimit_nofile 18000;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 16000; }}
mail {{
  server_name localhost;
  auth_http 127.0.0.1:{helper}/;
  ssl_certificate {root}/leaf.pem;
  ssl_certificate_key {root}/leaf.key;
  ssl_protocols TLSv1.3;
  timeout 1h;
  imap_auth plain;
  smtp_auth plain;
  server {{ listen 127.0.0.1:{imap} ssl; protocol imap; }}
  server {{ listen 127.0.0.1:{smtp} ssl; protocol smtp; xclient off; proxy_smtp_auth on; }}
}}
"
    )
}

/// The token is checked here; then the credential is another one.
pub(crate) fn dovecot_oauth2(folder: &Path, imaps: u16, smtps: u16, user: &str, password: &str) -> String {
    let folder = folder.display();
    format!(
        "introspection_mode = local
local_validation_key_dict = fs:posix:prefix={folder}/keys/
username_attribute = sub
pass_attrs = proxy=y host=127.0.0.1 port=%{{if;%s;eq;imap;{imaps};{smtps}}} ssl=any-cert user={user} pass={password}
"
    )
}

/// Performance mode: processes serve many connections each.
pub(crate) fn dovecot_proxy(root: &Path, place: &Path, imap: u16, smtp: u16) -> String {
    let (root, place) = (root.display(), place.display());
    format!(
        "base_dir = {place}/run
state_dir = {place}/state
log_path = {place}/dovecot.log
protocols = imap submission
listen = 127.0.0.1
ssl = required
ssl_cert = <{root}/leaf.pem
ssl_key = <{root}/leaf.key
auth_mechanisms = oauthbearer
auth_failure_delay = 0
mail_max_userip_connections = 10000
default_vsz_limit = 2G
default_client_limit = 10000
submission_relay_host = 127.0.0.1
hostname = localhost
passdb {{
  driver = oauth2
  mechanisms = oauthbearer
  args = {place}/oauth2.conf
}}
service imap-login {{
  service_count = 0
  client_limit = 10000
  process_limit = 1
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {imap}
    ssl = yes
  }}
}}
service submission-login {{
  service_count = 0
  client_limit = 10000
  process_limit = 1
  inet_listener submission {{
    port = 0
  }}
  inet_listener submissions {{
    port = {smtp}
    ssl = yes
  }}
}}
"
    )
}

/// A mailbox server as its manual sets one up, in performance mode; in the clear too, for nginx.
pub(crate) fn dovecot_upstream(root: &Path, place: &Path, imaps: u16, imap: u16, owner: u32) -> String {
    let (root, place) = (root.display(), place.display());
    format!(
        "base_dir = {place}/run
state_dir = {place}/state
log_path = {place}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{root}/leaf.pem
ssl_key = <{root}/leaf.key
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
mail_max_userip_connections = 10000
mail_location = maildir:{place}/mail/%u
default_vsz_limit = 2G
passdb {{
  driver = passwd-file
  args = username_format=%u {place}/users
}}
userdb {{
  driver = static
  args = uid={owner} gid={owner} home={place}/mail/%u
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  service_count = 0
  client_limit = 10000
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service imap {{
  service_count = 1000
  process_limit = 4000
}}
"
    )
}

/// Ours, with its defaults but for the places, and as many upstream connections as the others open.
pub(crate) fn mailwarden(root: &Path, place: &Path) -> String {
    let (root, place) = (root.display(), place.display());
    format!(
        r#"[server]
hostname = "localhost"
data = "{place}"
[tls]
certificate = "{root}/leaf.pem"
private_key = "{root}/leaf.key"
[vault]
kek = "file:{place}/kek"
[listen]
https = "127.0.0.1:0"
imaps = "127.0.0.1:0"
smtps = "127.0.0.1:0"
submission = ""
ops = ""
[upstream]
allow_networks = ["127.0.0.0/8"]
imap_connections = 0
smtp_connections = 0
[log]
filter = "warn"
"#
    )
}
