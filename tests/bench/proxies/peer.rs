//! The proxies, each in front of one upstream, and how the load logs in through each.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use mailwarden::crypto::encoding::base64;

use crate::process::{PROXY_CPU, Process, pinned};
use crate::{ours, settings, token};

/// Where to log in, and as whom.
pub(crate) struct Upstream {
    pub(crate) imaps: u16,
    pub(crate) imap: u16,
    /// With TLS and in the clear.
    pub(crate) smtp: Option<(u16, u16)>,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Upstream {
    /// From the ports of IMAP with TLS, IMAP, submission with TLS and submission; the last two may be missing.
    pub(crate) fn new(ports: &[u16], user: &str, password: &str) -> anyhow::Result<Self> {
        let (imaps, imap, smtp) = match *ports {
            [imaps, imap] => (imaps, imap, None),
            [imaps, imap, smtps, smtp] => (imaps, imap, Some((smtps, smtp))),
            _ => anyhow::bail!("two ports or four"),
        };
        Ok(Self { imaps, imap, smtp, user: user.to_owned(), password: password.to_owned() })
    }

    fn smtps(&self) -> u16 {
        self.smtp.map_or(1, |(smtps, _)| smtps)
    }
}

/// How to log in: what follows the tag of IMAP, and a line of SMTP.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) imap: String,
    pub(crate) smtp: String,
    /// Who the mail is from.
    pub(crate) sender: String,
}

impl Login {
    fn plain(user: &str, password: &str) -> Self {
        let text = base64(format!("\0{user}\0{password}").as_bytes());
        Self::of("PLAIN", &text, user)
    }

    pub(crate) fn bearer(user: &str, token: &str) -> Self {
        let text = base64(format!("n,a={user},\x01auth=Bearer {token}\x01\x01").as_bytes());
        Self::of("OAUTHBEARER", &text, user)
    }

    fn of(mechanism: &str, text: &str, sender: &str) -> Self {
        let (imap, smtp) = (format!("AUTHENTICATE {mechanism} {text}"), format!("AUTH {mechanism} {text}"));
        Self { imap, smtp, sender: sender.to_owned() }
    }
}

/// One way to the upstream.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) imap: u16,
    pub(crate) smtp: u16,
    /// Used in turns.
    pub(crate) logins: Vec<Login>,
    pub(crate) processes: Vec<Process>,
}

impl Peer {
    pub(crate) fn roots(&self) -> Vec<u32> {
        self.processes.iter().map(Process::id).collect()
    }
}

pub(crate) const DIRECT: &str = "direct";
pub(crate) const RELAY: &str = "bare relay";
pub(crate) const OURS: &str = "ours";
pub(crate) const HAPROXY: &str = "haproxy";
pub(crate) const NGINX: &str = "nginx (clear upstream)";
pub(crate) const DOVECOT: &str = "Dovecot proxy";

/// Starts all of them. `root` holds the certificates; `folder` is for what they keep.
pub(crate) fn start_all(root: &Path, folder: &Path, upstream: &Upstream) -> anyhow::Result<Vec<Peer>> {
    let plain = Login::plain(&upstream.user, &upstream.password);
    let token = token::mint(folder)?;
    let shown = |path: &Path| path.display().to_string();
    let (imaps, smtps) = (upstream.imaps.to_string(), upstream.smtps().to_string());

    let direct = Peer {
        name: DIRECT,
        imap: upstream.imaps,
        smtp: upstream.smtps(),
        logins: vec![plain.clone()],
        processes: Vec::new(),
    };

    let mut process = Process::again(PROXY_CPU, &["relay", &shown(root), &imaps, &smtps])?;
    let (imap, smtp) = two(&process.ports(2)?)?;
    let relay = Peer { name: RELAY, imap, smtp, logins: vec![plain.clone()], processes: vec![process] };

    let [imap, smtp, ..] = free_ports()?;
    fs::write(folder.join("haproxy.cfg"), settings::haproxy(root, imap, smtp, upstream.imaps, upstream.smtps()))?;
    let process = Process::start(pinned(PROXY_CPU, "haproxy").arg("-f").arg(folder.join("haproxy.cfg")))?;
    let haproxy = Peer { name: HAPROXY, imap, smtp, logins: vec![plain], processes: vec![process] };

    let (imap_clear, smtp_clear) = (upstream.imap.to_string(), upstream.smtp.map_or(1, |(_, clear)| clear).to_string());
    let arguments = ["auth-http", &shown(folder), &imap_clear, &smtp_clear, &upstream.user, &upstream.password];
    let mut helper = Process::again(PROXY_CPU, &arguments)?;
    let helper_port = helper.line()?.parse()?;
    let [imap, smtp, ..] = free_ports()?;
    fs::write(folder.join("nginx.conf"), settings::nginx(root, folder, imap, smtp, helper_port))?;
    let process = Process::start(
        pinned(PROXY_CPU, "nginx").arg("-c").arg(folder.join("nginx.conf")).arg("-e").arg(folder.join("nginx.log")),
    )?;
    let nginx = Peer {
        name: NGINX,
        imap,
        smtp,
        logins: vec![Login::plain(token::SUBJECT, &token)],
        processes: vec![process, helper],
    };

    let [imap, smtp, ..] = free_ports()?;
    let place = folder.join("dovecot-proxy");
    fs::create_dir(&place)?;
    fs::write(
        place.join("oauth2.conf"),
        settings::dovecot_oauth2(folder, upstream.imaps, upstream.smtps(), &upstream.user, &upstream.password),
    )?;
    fs::write(place.join("dovecot.conf"), settings::dovecot_proxy(root, &place, imap, smtp))?;
    let process = Process::start(pinned(PROXY_CPU, "dovecot").arg("-F").arg("-c").arg(place.join("dovecot.conf")))?;
    let dovecot = Peer {
        name: DOVECOT,
        imap,
        smtp,
        logins: vec![Login::bearer(token::SUBJECT, &token)],
        processes: vec![process],
    };

    let ours = ours::start(root, folder, upstream)?;
    let peers = vec![direct, relay, ours, haproxy, nginx, dovecot];
    for peer in &peers {
        wait_for(peer.name, peer.imap)?;
    }
    Ok(peers)
}

fn two(ports: &[u16]) -> anyhow::Result<(u16, u16)> {
    Ok((*ports.first().context("no port")?, *ports.get(1).context("no port")?))
}

/// Ports that were free a moment ago.
pub(crate) fn free_ports() -> anyhow::Result<[u16; 4]> {
    let mut listeners = Vec::new();
    let mut ports = [0; 4];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

/// Until somebody accepts at `port`.
pub(crate) fn wait_for(name: &str, port: u16) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        anyhow::ensure!(Instant::now() < deadline, "{name} does not listen");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Ok(())
}
