//! Seeding a Maildir and proving that it did not change.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::give_to_mail_user;

/// Writes `count` messages, plus one of `big` octets when that is not 0, and returns them in order of delivery.
pub(crate) fn seed(maildir: &Path, count: usize, big: usize) -> Vec<Vec<u8>> {
    let mut messages = (0..count).map(small_message).collect::<Vec<_>>();
    if big > 0 {
        messages.push(big_message(big));
    }
    for (number, message) in messages.iter().enumerate() {
        // A few flags of each kind, so that a change of any shows.
        let flags = ["", "S", "F", "RS", "T"][number % 5];
        let delivered = 1_700_000_000 + number;
        let name = format!("{delivered}.M{number}.test:2,{flags}");
        let mut file = fs::File::create(maildir.join("cur").join(name)).expect("make a message");
        file.write_all(message).expect("write a message");
        // Dovecot tells this as INTERNALDATE.
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(delivered as u64);
        file.set_modified(at).expect("date a message");
    }
    give_to_mail_user(maildir);
    messages
}

/// Every message file of a tree by its path (which carries the flags) with its content, and every folder; Dovecot's own
/// indexes are left out, since merely opening a folder writes them.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    walk(root, root, &mut found);
    found
}

/// The messages of a Maildir folder, sorted by content.
pub(crate) fn messages(maildir: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for part in ["cur", "new"] {
        let Ok(entries) = fs::read_dir(maildir.join(part)) else { continue };
        for entry in entries {
            // A message may move from new to cur between the two calls.
            if let Ok(content) = fs::read(entry.expect("a folder entry").path()) {
                found.push(content);
            }
        }
    }
    found.sort();
    found
}

fn walk(root: &Path, dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(dir).expect("read a folder") {
        let path = entry.expect("a folder entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let own = ["dovecot.index", "dovecot.list", "dovecot-uid", "maildirfolder", "dovecot.mailbox"];
        if own.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let relative = path.strip_prefix(root).expect("below the root").to_owned();
        if path.is_dir() {
            found.insert(relative, Vec::new());
            walk(root, &path, found);
        } else {
            found.insert(relative, fs::read(&path).expect("read a file"));
        }
    }
}

fn small_message(number: usize) -> Vec<u8> {
    let line = format!("Line of message {number}: grüße, \u{1f4ee}, a \"quote\" and {{10}} which is no literal.\r\n");
    let body = line.repeat(1 + number % 40);
    format!(
        "From: Sender <sender{number}@example.net>\r\nTo: support@example.test\r\nSubject: Message {number}\r\n\
         Message-ID: <{number}@seed.example.net>\r\nDate: Mon, 24 Nov 2025 10:00:00 +0000\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body}"
    )
    .into_bytes()
}

fn big_message(size: usize) -> Vec<u8> {
    let mut message = b"From: big@example.net\r\nTo: support@example.test\r\nSubject: Big\r\n\
        Message-ID: <big@seed.example.net>\r\nDate: Mon, 24 Nov 2025 10:00:00 +0000\r\n\r\n"
        .to_vec();
    let mut number = 0_u64;
    while message.len() < size {
        message.extend_from_slice(format!("{number:020} {:020}\r\n", number.wrapping_mul(2_654_435_761)).as_bytes());
        number += 1;
    }
    message
}

/// What mbsync copied of INBOX, sorted by content.
pub(crate) fn mbsync_copy(target: &Path) -> Vec<Vec<u8>> {
    let mut copied = messages(&target.join("INBOX")).iter().map(|message| from_mbsync(message)).collect::<Vec<_>>();
    copied.sort();
    copied
}

/// A message that mbsync copied, as it came over the wire: mbsync keeps LF on disk and adds a header field of its own.
fn from_mbsync(copied: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(copied.len());
    let mut in_header = true;
    for line in copied.split_inclusive(|byte| *byte == b'\n') {
        if in_header && line.starts_with(b"X-TUID: ") {
            continue;
        }
        in_header &= !matches!(line, b"\n" | b"\r\n");
        match line.strip_suffix(b"\n") {
            Some(text) if !text.ends_with(b"\r") => {
                message.extend_from_slice(text);
                message.extend_from_slice(b"\r\n");
            }
            _ => message.extend_from_slice(line),
        }
    }
    message
}
