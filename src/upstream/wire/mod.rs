//! A buffered connection that speaks in CRLF lines and counted octets, with a bound on everything.

mod alive;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use memchr::{memchr, memchr_iter, memchr2};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use zeroize::Zeroize;

use crate::upstream::berths::Berth;

pub use crate::upstream::wire::alive::keep_alive;

/// Bytes in both directions. What has arrived is looked at where it lies: a connection that waits needs no room for what may come.
pub trait Io: AsyncBufRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncBufRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection: TLS already, or a clear one that must be upgraded before anything of worth is said.
pub type Stream = Box<dyn Io>;

/// How much gathers before it is written in one go.
const CHUNK: usize = 32 * 1024;

/// How much is read in one go of a connection without TLS; with it, it is what a TLS record holds.
const CLEAR: usize = 2 * 1024;

/// A connection that has no room of its own for what arrives: one without TLS.
pub fn clear(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Stream {
    Box::new(BufReader::with_capacity(CLEAR, stream))
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The peer is gone.
    #[error("connection closed")]
    Closed,
    /// A line is longer than allowed.
    #[error("line too long")]
    TooLong,
    /// A bare CR, a bare LF or a NUL.
    #[error("line end is not CRLF, or a NUL octet")]
    BadLine,
}

impl From<io::Error> for WireError {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// A line, or a part of one that is longer than the reader holds at a time. Without its CRLF.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// The octets.
    pub bytes: Vec<u8>,
    /// Whether the line ends here.
    pub is_last: bool,
}

/// A buffered connection.
pub struct Wire {
    stream: Stream,
    input: Vec<u8>,
    /// Where in `input` what was not taken yet begins.
    start: usize,
    /// Up to where `input` was searched for a line end, so that every octet is looked at once however slowly it comes.
    searched: usize,
    output: Vec<u8>,
    /// How much of `output` is on its way already.
    sent: usize,
    /// Octets that were ever queued to be sent.
    queued: u64,
    /// The right to be connected, where one is needed. Below `stream`, so that it is given back when the connection is closed.
    berth: Option<Box<Berth>>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    /// Wraps a connection.
    pub fn new(stream: Stream) -> Self {
        Self { stream, input: Vec::new(), start: 0, searched: 0, output: Vec::new(), sent: 0, queued: 0, berth: None }
    }

    /// Holds `berth` for as long as the connection is open.
    pub fn take_berth(&mut self, berth: Berth) {
        self.berth = Some(Box::new(berth));
    }

    /// Parts with the berth, to go on without it.
    pub fn leave_berth(&mut self) -> Option<Box<Berth>> {
        self.berth.take()
    }

    /// Whether nothing was received that was not taken, and nothing waits to be sent.
    pub fn is_idle(&self) -> bool {
        self.buffered().is_empty() && self.output.is_empty()
    }

    /// Waits until the peer has gone and nothing of it is left to be read. What it sends meanwhile is there for later.
    pub async fn gone(&mut self) {
        while self.buffered().len() < CHUNK {
            if self.fill().await.is_err() {
                break;
            }
        }
        if !self.buffered().is_empty() {
            std::future::pending().await
        }
    }

    /// What has arrived and was not taken yet.
    pub fn buffered(&self) -> &[u8] {
        self.input.get(self.start..).unwrap_or_default()
    }

    /// Gives the connection back for a TLS handshake. Whatever came with the lines that were read in the clear is dropped (GW-02): reading a
    /// line takes all that has arrived off the stream.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Waits for more bytes. May be cancelled without loss.
    pub async fn fill(&mut self) -> Result<(), WireError> {
        self.arrived(|input, arrived| {
            input.extend_from_slice(arrived);
            (arrived.len(), ())
        })
        .await
    }

    /// Waits until more has arrived than [`Wire::buffered`] shows. May be cancelled.
    pub async fn more(&mut self) -> Result<(), WireError> {
        self.arrived(|_, _| (0, ())).await
    }

    /// Waits until something has arrived and has `look` see it where it lies. `look` says how much of it is taken. A connection that waits
    /// with nothing in its buffers holds none.
    async fn arrived<T>(&mut self, mut look: impl FnMut(&mut Vec<u8>, &[u8]) -> (usize, T)) -> Result<T, WireError> {
        if self.start == self.input.len() {
            self.input.clear();
            self.searched = 0;
            self.start = 0;
        } else if self.start > CHUNK {
            self.input.drain(..self.start);
            self.searched = self.searched.saturating_sub(self.start);
            self.start = 0;
        }
        let Self { stream, input, output, .. } = self;
        let (taken, found) = poll_fn(|context| {
            let Poll::Ready(arrived) = Pin::new(&mut *stream).poll_fill_buf(context) else {
                for buffer in [&mut *input, &mut *output] {
                    if buffer.is_empty() {
                        *buffer = Vec::new();
                    }
                }
                return Poll::Pending;
            };
            let arrived = Some(arrived?).filter(|arrived| !arrived.is_empty()).ok_or(WireError::Closed)?;
            Poll::Ready(Ok::<_, WireError>(look(input, arrived)))
        })
        .await?;
        Pin::new(stream).consume(taken);
        Ok(found)
    }

    /// Takes a whole line, without its CRLF, if one has arrived. `max` bounds its length.
    pub fn take_line(&mut self, max: usize) -> Result<Option<Vec<u8>>, WireError> {
        match self.line_end(max) {
            Some(end) => self.take_to(end).map(Some),
            None if self.buffered().len() > max + 1 => Err(WireError::TooLong),
            None => Ok(None),
        }
    }

    /// Takes a line if one has arrived, or `most` octets of a longer one: what follows them comes with the next calls.
    pub fn take_part(&mut self, most: usize) -> Result<Option<Part>, WireError> {
        if let Some(end) = self.line_end(most) {
            return self.take_to(end).map(|bytes| Some(Part { bytes, is_last: true }));
        }
        if self.buffered().len() <= most + 1 {
            return Ok(None);
        }
        let bytes = self.buffered().get(..most).unwrap_or_default();
        // A CR here may be half of the line's end.
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes).to_vec();
        if !is_text(&bytes) {
            return Err(WireError::BadLine);
        }
        self.start += bytes.len();
        Ok(Some(Part { bytes, is_last: false }))
    }

    /// Where in `input` the LF stands that ends a line of at most `max` octets.
    fn line_end(&mut self, max: usize) -> Option<usize> {
        let from = self.searched.max(self.start);
        let limit = self.input.len().min(self.start.saturating_add(max).saturating_add(2));
        let found = memchr(b'\n', self.input.get(from..limit)?);
        self.searched = found.map_or(limit, |at| from + at);
        found.map(|at| from + at)
    }

    /// Takes the line whose LF stands at `end`.
    fn take_to(&mut self, end: usize) -> Result<Vec<u8>, WireError> {
        let line = self.input.get(self.start..end).and_then(|line| line.strip_suffix(b"\r"));
        let line = line.filter(|line| is_text(line)).ok_or(WireError::BadLine)?;
        let line = line.to_vec();
        self.start = end + 1;
        Ok(line)
    }

    /// Takes the whole lines that have arrived, as they stand, up to one that begins with `stop` or would be refused. What comes then
    /// is for [`Wire::line`].
    pub fn lines_until(&mut self, stop: u8, max: usize) -> &[u8] {
        let (from, searched) = (self.start, self.searched.max(self.start));
        let mut end = from;
        for at in memchr_iter(b'\n', self.input.get(searched..).unwrap_or_default()) {
            let past = searched + at + 1;
            let line = self.input.get(end..past - 1).and_then(|line| line.strip_suffix(b"\r"));
            if !line.is_some_and(|line| line.len() <= max && line.first() != Some(&stop) && is_text(line)) {
                break;
            }
            end = past;
        }
        self.start = end;
        self.input.get(from..end).unwrap_or_default()
    }

    /// Waits for a whole line.
    pub async fn line(&mut self, max: usize) -> Result<Vec<u8>, WireError> {
        loop {
            if let Some(line) = self.take_line(max)? {
                return Ok(line);
            }
            self.fill().await?;
        }
    }

    /// Takes between 1 and `most` octets, waiting for them if there are none.
    pub async fn some(&mut self, most: u64) -> Result<Vec<u8>, WireError> {
        self.piece(most, <[u8]>::to_vec).await
    }

    /// The same for who needs them for a moment only: `look` sees them where they lie.
    pub async fn piece<T>(&mut self, most: u64, mut look: impl FnMut(&[u8]) -> T) -> Result<T, WireError> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if self.buffered().is_empty() {
            return self
                .arrived(|_, arrived| {
                    let piece = arrived.get(..most).unwrap_or(arrived);
                    (piece.len(), look(piece))
                })
                .await;
        }
        let from = self.start;
        self.start += most.min(self.buffered().len());
        Ok(look(self.input.get(from..self.start).unwrap_or_default()))
    }

    /// Takes exactly `length` octets. The caller has bounded `length`.
    pub async fn exactly(&mut self, length: u64) -> Result<Vec<u8>, WireError> {
        let mut taken = Vec::new();
        while (taken.len() as u64) < length {
            let rest = length - taken.len() as u64;
            self.piece(rest, |piece| taken.extend_from_slice(piece)).await?;
        }
        Ok(taken)
    }

    /// Queues bytes to be sent; sends when enough have gathered, so that a slow reader holds back a fast writer.
    pub async fn queue(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        if self.gather(bytes) { self.flush().await } else { Ok(()) }
    }

    /// Queues bytes; says whether enough have gathered to be sent.
    pub fn gather(&mut self, bytes: &[u8]) -> bool {
        self.output.extend_from_slice(bytes);
        self.queued += bytes.len() as u64;
        self.output.len() >= CHUNK
    }

    /// How many octets have been queued so far.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// Sends what is queued. May be cancelled: what follows then begins where the sending stopped.
    pub async fn flush(&mut self) -> Result<(), WireError> {
        while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest).await? {
                0 => return Err(WireError::Closed),
                taken => self.sent += taken,
            }
        }
        self.output.clear();
        self.output.shrink_to(CHUNK);
        self.sent = 0;
        Ok(self.stream.flush().await?)
    }

    /// Queues and sends.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.queue(bytes).await?;
        self.flush().await
    }

    /// Sends what must not stay in the buffer.
    pub async fn send_secret(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        // A buffer that grows to take it would leave a copy behind.
        self.output.reserve(bytes.len());
        let sent = self.send(bytes).await;
        self.output.zeroize();
        sent
    }

    /// Says goodbye to the transport. The peer may be gone already.
    pub async fn shutdown(&mut self) {
        let _ = self.flush().await;
        let _ = self.stream.shutdown().await;
    }
}

/// Whether nothing in a line could be taken for its end.
fn is_text(line: &[u8]) -> bool {
    memchr2(b'\r', 0, line).is_none()
}

#[cfg(test)]
mod tests;
