//! The sandbox's submission server.

use crate::crypto::encoding::from_base64;
use crate::sandbox::Shared;
use crate::upstream::wire::{Wire, WireError};

pub(super) async fn serve(mut wire: Wire, shared: &Shared) -> Result<(), WireError> {
    wire.send(b"220 sandbox ESMTP\r\n").await?;
    let (mut is_in, mut has_sender, mut recipients) = (false, false, 0_u32);
    loop {
        let line = wire.line(16 * 1024).await?;
        let text = String::from_utf8_lossy(&line).into_owned();
        let verb = text.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let answer: &[u8] = match verb.as_str() {
            "EHLO" => b"250-sandbox\r\n250-8BITMIME\r\n250-SIZE 52428800\r\n250 AUTH PLAIN\r\n",
            "AUTH" => {
                let response = text.split(' ').nth(2).and_then(|word| from_base64(word.as_bytes())).unwrap_or_default();
                is_in = shared.accepts(&zeroize::Zeroizing::new(response));
                if is_in { b"235 2.7.0 OK\r\n" } else { b"535 5.7.8 wrong user or password\r\n" }
            }
            "QUIT" => return wire.send(b"221 2.0.0 bye\r\n").await,
            "NOOP" => b"250 2.0.0 OK\r\n",
            _ if !is_in => b"530 5.7.0 authentication required\r\n",
            "RSET" => {
                (has_sender, recipients) = (false, 0);
                b"250 2.0.0 OK\r\n"
            }
            "MAIL" => {
                (has_sender, recipients) = (true, 0);
                b"250 2.1.0 OK\r\n"
            }
            "RCPT" if has_sender => {
                recipients += 1;
                b"250 2.1.5 OK\r\n"
            }
            "DATA" if recipients > 0 => {
                wire.send(b"354 go on\r\n").await?;
                let message = message(&mut wire).await?;
                shared.store.add("INBOX", &[], message);
                (has_sender, recipients) = (false, 0);
                b"250 2.0.0 OK\r\n"
            }
            _ => b"503 5.5.1 not now\r\n",
        };
        wire.send(answer).await?;
    }
}

async fn message(wire: &mut Wire) -> Result<Vec<u8>, WireError> {
    let mut message = Vec::new();
    loop {
        let line = wire.line(128 * 1024).await?;
        if line == b"." {
            return Ok(message);
        }
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        message.extend_from_slice(b"\r\n");
    }
}
