//! A receiver of local mail (LMTP, RFC 2033) for programs that deliver to one; it keeps each message as it came.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use super::PATIENCE;

/// The longest command, with its end.
const COMMAND: usize = 512;

/// The most octets of messages that are kept in all.
const KEPT: usize = 32 << 20;

#[derive(Default)]
struct Desk {
    messages: Vec<Vec<u8>>,
    connection: Option<TcpStream>,
    is_over: bool,
}

/// A running receiver for one recipient, one connection after the other; it goes with this value.
pub(crate) struct Lmtp {
    port: u16,
    recipient: String,
    desk: Arc<Mutex<Desk>>,
    thread: Option<JoinHandle<()>>,
}

impl Lmtp {
    pub(crate) fn start(recipient: &str) -> Self {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind any port");
        let port = socket.local_addr().expect("the bound address").port();
        let desk = Arc::new(Mutex::new(Desk::default()));
        let (own, path) = (Arc::clone(&desk), format!("<{recipient}>"));
        let thread = std::thread::spawn(move || {
            for stream in socket.incoming() {
                let Ok(stream) = stream else { continue };
                {
                    let mut desk = lock(&own);
                    if desk.is_over {
                        return;
                    }
                    desk.connection = stream.try_clone().ok();
                }
                // What was wrong has been told to the peer.
                let _ = Session::open(stream, &own, &path).and_then(Session::converse);
                lock(&own).connection = None;
            }
        });
        Self { port, recipient: recipient.to_owned(), desk, thread: Some(thread) }
    }

    /// getmail's settings for delivery here. Its own writing of files forks, and can miss the end of its child; this does not.
    pub(crate) fn getmail_destination(&self) -> String {
        let (port, recipient) = (self.port, &self.recipient);
        format!("[destination]\ntype = MDA_lmtp\nhost = 127.0.0.1\nport = {port}\noverride = {recipient}\n")
    }

    /// The messages in the order they came, dots taken off.
    pub(crate) fn messages(&self) -> Vec<Vec<u8>> {
        lock(&self.desk).messages.clone()
    }
}

impl Drop for Lmtp {
    fn drop(&mut self) {
        {
            let mut desk = lock(&self.desk);
            desk.is_over = true;
            if let Some(connection) = desk.connection.take() {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
        // Wakes the thread, should it wait for somebody.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How far a message has come.
enum Step {
    Stranger,
    Greeted,
    Sender,
    Recipient,
}

struct Session<'desk> {
    stream: BufReader<TcpStream>,
    desk: &'desk Mutex<Desk>,
    recipient: &'desk str,
    step: Step,
}

impl<'desk> Session<'desk> {
    fn open(stream: TcpStream, desk: &'desk Mutex<Desk>, recipient: &'desk str) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), desk, recipient, step: Step::Stranger })
    }

    fn converse(mut self) -> io::Result<()> {
        self.say("220 receiver.example.test LMTP")?;
        loop {
            let line = self.line(COMMAND)?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match (verb.to_ascii_uppercase().as_str(), &self.step) {
                ("LHLO", _) if !rest.is_empty() => {
                    self.step = Step::Greeted;
                    self.say("250-receiver.example.test\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME")?;
                }
                ("NOOP", _) => self.say("250 2.0.0 fine")?,
                ("QUIT", _) => return self.say("221 2.0.0 bye"),
                ("RSET", Step::Stranger) => self.say("250 2.0.0 fine")?,
                ("RSET", _) => {
                    self.step = Step::Greeted;
                    self.say("250 2.0.0 fine")?;
                }
                ("MAIL", Step::Greeted) if path(rest, "FROM:").is_some() => {
                    self.step = Step::Sender;
                    self.say("250 2.1.0 fine")?;
                }
                ("RCPT", Step::Sender) if path(rest, "TO:") == Some(self.recipient) => {
                    self.step = Step::Recipient;
                    self.say("250 2.1.5 fine")?;
                }
                ("RCPT", Step::Sender) if path(rest, "TO:").is_some() => self.say("550 5.1.1 nobody of that name")?,
                ("DATA", Step::Recipient) if rest.is_empty() => self.message()?,
                ("MAIL" | "RCPT" | "DATA", _) => self.say("503 5.5.1 not in this form, or not now")?,
                _ => self.say("500 5.5.1 unknown")?,
            }
        }
    }

    fn message(&mut self) -> io::Result<()> {
        self.say("354 go on")?;
        let room = KEPT - lock(self.desk).messages.iter().map(Vec::len).sum::<usize>();
        let mut message = Vec::new();
        loop {
            // The end's three octets are no part of it.
            let line = self.line(room - message.len() + 3)?;
            match line.strip_prefix(b".") {
                Some(b"") => break,
                Some(rest) => message.extend_from_slice(rest),
                None => message.extend_from_slice(&line),
            }
            message.extend_from_slice(b"\r\n");
            if message.len() > room {
                return self.refuse("552 5.3.4 too much");
            }
        }
        lock(self.desk).messages.push(message);
        self.step = Step::Greeted;
        self.say("250 2.0.0 kept")
    }

    /// A line of at most `most` octets without its end, which must be CRLF; no other CR is in it.
    fn line(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        (&mut self.stream).take(most as u64).read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\r\n") {
            Some(text) if !text.contains(&b'\r') => line.truncate(text.len()),
            _ if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => self.refuse("500 5.5.2 a line is too long or does not end in CRLF")?,
        }
        Ok(line)
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes())
    }

    /// A last word.
    fn refuse(&mut self, line: &str) -> io::Result<()> {
        self.say(line)?;
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// The path in angle brackets behind `keyword`, without parameters.
fn path<'line>(rest: &'line str, keyword: &str) -> Option<&'line str> {
    let (before, path) = rest.split_at_checked(keyword.len())?;
    let path = path.trim_end_matches(' ');
    let is_path = before.eq_ignore_ascii_case(keyword) && path.starts_with('<') && path.ends_with('>');
    is_path.then_some(path)
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().expect("no server thread panicked")
}
