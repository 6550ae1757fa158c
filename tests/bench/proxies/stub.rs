//! An upstream that costs next to nothing: IMAP with one folder of messages that are all alike, and a submission server that throws
//! away what it takes. Each with TLS and in the clear.

use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::tls;

/// What the folder holds.
pub(crate) const MESSAGES: usize = 2000;
/// Octets of each.
pub(crate) const MESSAGE: usize = 50_000;

const CAPABILITIES: &str = "IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+ IDLE NAMESPACE UNSELECT UIDPLUS MOVE";

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Prints its ports: IMAP with TLS, IMAP, submission with TLS, submission.
pub(crate) fn serve(folder: &Path) -> anyhow::Result<()> {
    let acceptor = TlsAcceptor::from(tls::server(folder)?);
    let message: Arc<Vec<u8>> = Arc::new(message(MESSAGE));
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut ports = Vec::new();
        for (is_imap, is_tls) in [(true, true), (true, false), (false, true), (false, false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            ports.push(listener.local_addr()?.port().to_string());
            let (acceptor, message) = (acceptor.clone(), Arc::clone(&message));
            tokio::spawn(async move {
                while let Ok((tcp, _)) = listener.accept().await {
                    let (acceptor, message) = (acceptor.clone(), Arc::clone(&message));
                    tokio::spawn(async move {
                        let _ = tcp.set_nodelay(true);
                        let stream: Box<dyn Io> =
                            if is_tls { Box::new(acceptor.accept(tcp).await?) } else { Box::new(tcp) };
                        let lines = Lines { stream, input: Vec::new() };
                        if is_imap { imap(lines, &message).await } else { smtp(lines).await }
                    });
                }
            });
        }
        println!("{}", ports.join(" "));
        std::future::pending().await
    })
}

/// A message of about `size` octets.
pub(crate) fn message(size: usize) -> Vec<u8> {
    let mut text =
        b"From: <user@example.com>\r\nSubject: a message\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\n".to_vec();
    while text.len() + 78 <= size {
        text.extend_from_slice(&[b'x'; 76]);
        text.extend_from_slice(b"\r\n");
    }
    text
}

struct Lines {
    stream: Box<dyn Io>,
    input: Vec<u8>,
}

impl Lines {
    async fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.flush().await
    }

    async fn fill(&mut self) -> std::io::Result<()> {
        if self.stream.read_buf(&mut self.input).await? == 0 {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(())
        }
    }

    async fn line(&mut self) -> std::io::Result<String> {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                self.input.shrink_to(1024);
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.fill().await?;
        }
    }
}

async fn imap(mut lines: Lines, message: &[u8]) -> std::io::Result<()> {
    lines.say(&format!("* OK [CAPABILITY {CAPABILITIES}] ready\r\n")).await?;
    loop {
        let mut line = lines.line().await?;
        // A literal holds no line end here.
        while line.ends_with('}') {
            if !line.ends_with("+}") {
                lines.say("+ go on\r\n").await?;
            }
            line = format!("{line} {}", lines.line().await?);
        }
        let mut words = line.split(' ');
        let (tag, word) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_ascii_uppercase());
        let done = format!("{tag} OK done\r\n");
        match word.as_str() {
            "CAPABILITY" => lines.say(&format!("* CAPABILITY {CAPABILITIES}\r\n{done}")).await?,
            "AUTHENTICATE" => {
                if words.nth(1).is_none() {
                    lines.say("+ \r\n").await?;
                    lines.line().await?;
                }
                lines.say(&done).await?;
            }
            "SELECT" | "EXAMINE" => {
                let text = format!(
                    "* FLAGS (\\Seen)\r\n* {MESSAGES} EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 1] so\r\n{done}"
                );
                lines.say(&text).await?;
            }
            "FETCH" => {
                for number in 1..=MESSAGES {
                    let head = format!("* {number} FETCH (BODY[] {{{}}}\r\n", message.len());
                    lines.stream.write_all(&[head.as_bytes(), message, b")\r\n"].concat()).await?;
                }
                lines.say(&done).await?;
            }
            "IDLE" => {
                lines.say("+ idling\r\n").await?;
                lines.line().await?;
                lines.say(&done).await?;
            }
            "LOGOUT" => return lines.say(&format!("* BYE see you\r\n{done}")).await,
            _ => lines.say(&done).await?,
        }
    }
}

async fn smtp(mut lines: Lines) -> std::io::Result<()> {
    lines.say("220 localhost ESMTP\r\n").await?;
    loop {
        let line = lines.line().await?.to_ascii_uppercase();
        let mut words = line.split(' ');
        let answer = match words.next().unwrap_or_default() {
            "EHLO" => "250-localhost\r\n250-8BITMIME\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n",
            "AUTH" => {
                if words.nth(1).is_none() {
                    lines.say("334 \r\n").await?;
                    lines.line().await?;
                }
                "235 2.7.0 welcome\r\n"
            }
            "DATA" => {
                lines.say("354 go on\r\n").await?;
                while !lines.input.ends_with(b"\r\n.\r\n") {
                    lines.fill().await?;
                }
                lines.input.clear();
                "250 2.0.0 thrown away\r\n"
            }
            "QUIT" => return lines.say("221 2.0.0 bye\r\n").await,
            _ => "250 2.0.0 OK\r\n",
        };
        lines.say(answer).await?;
    }
}
