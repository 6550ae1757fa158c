//! A real upstream: Dovecot with a Maildir of the same messages that the stub has.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use crate::peer::{Upstream, free_ports, wait_for};
use crate::process::{LOAD_CPU, Process, pinned};
use crate::{settings, stub};

const USER: &str = "user@example.com";
const PASSWORD: &str = "the-upstream-password";
/// Neither root, nor anybody who owns something.
const OWNER: u32 = 65534;

pub(crate) fn upstream(root: &Path) -> anyhow::Result<(Process, Upstream)> {
    let place = root.join("dovecot");
    fs::create_dir(&place)?;
    fs::write(place.join("users"), format!("{USER}:{{PLAIN}}{PASSWORD}\n"))?;
    let mail = place.join("mail");
    let inbox = mail.join(USER);
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(inbox.join(part))?;
        chown(inbox.join(part), Some(OWNER), Some(OWNER))?;
    }
    for folder in [&mail, &inbox] {
        chown(folder, Some(OWNER), Some(OWNER))?;
    }
    let text = stub::message(stub::MESSAGE);
    for number in 0..stub::MESSAGES {
        let file = inbox.join(format!("cur/{}.M{number}P1.localhost,S={}:2,S", 1_760_000_000 + number, text.len()));
        fs::write(&file, &text)?;
        chown(&file, Some(OWNER), Some(OWNER))?;
    }
    let [imaps, imap, ..] = free_ports()?;
    fs::write(place.join("dovecot.conf"), settings::dovecot_upstream(root, &place, imaps, imap, OWNER))?;
    let process = Process::start(pinned(LOAD_CPU, "dovecot").arg("-F").arg("-c").arg(place.join("dovecot.conf")))?;
    wait_for("Dovecot", imap)?;
    Ok((process, Upstream::new(&[imaps, imap], USER, PASSWORD)?))
}
