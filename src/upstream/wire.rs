//! A buffered connection that speaks in CRLF lines and counted octets, with a bound on everything.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroize;

/// Bytes in both directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection: TLS already, or a clear one that must be upgraded before anything of worth is said.
pub type Stream = Box<dyn Io>;

/// How much is read and written in one go.
const CHUNK: usize = 32 * 1024;

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

/// A buffered connection.
pub struct Wire {
    stream: Stream,
    input: Vec<u8>,
    start: usize,
    output: Vec<u8>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    /// Wraps a connection.
    pub fn new(stream: Stream) -> Self {
        Self { stream, input: Vec::new(), start: 0, output: Vec::new() }
    }

    /// What has arrived and was not taken yet.
    pub fn buffered(&self) -> &[u8] {
        self.input.get(self.start..).unwrap_or_default()
    }

    /// Gives the connection back for a TLS handshake. Whatever was buffered in the clear is dropped (GW-02).
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Waits for more bytes. May be cancelled without loss.
    pub async fn fill(&mut self) -> Result<(), WireError> {
        if self.start == self.input.len() {
            self.input.clear();
            self.start = 0;
            self.input.shrink_to(CHUNK);
        } else if self.start > CHUNK {
            self.input.drain(..self.start);
            self.start = 0;
        }
        self.input.reserve(CHUNK);
        match (&mut self.stream).take(CHUNK as u64).read_buf(&mut self.input).await? {
            0 => Err(WireError::Closed),
            _ => Ok(()),
        }
    }

    /// Takes a whole line, without its CRLF, if one has arrived. `max` bounds its length.
    pub fn take_line(&mut self, max: usize) -> Result<Option<Vec<u8>>, WireError> {
        let buffered = self.buffered();
        let Some(end) = buffered.iter().take(max + 2).position(|byte| *byte == b'\n') else {
            return if buffered.len() > max + 1 { Err(WireError::TooLong) } else { Ok(None) };
        };
        let line = buffered.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(WireError::BadLine)?;
        if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return Err(WireError::BadLine);
        }
        let line = line.to_vec();
        self.start += end + 1;
        Ok(Some(line))
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
        if self.buffered().is_empty() {
            self.fill().await?;
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.buffered().len());
        let taken = self.buffered().get(..most).unwrap_or_default().to_vec();
        self.start += most;
        Ok(taken)
    }

    /// Takes exactly `length` octets. The caller has bounded `length`.
    pub async fn exactly(&mut self, length: u64) -> Result<Vec<u8>, WireError> {
        let mut taken = Vec::new();
        while (taken.len() as u64) < length {
            let rest = length - taken.len() as u64;
            taken.extend(self.some(rest).await?);
        }
        Ok(taken)
    }

    /// Queues bytes to be sent; sends when enough have gathered, so that a slow reader holds back a fast writer.
    pub async fn queue(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.output.extend_from_slice(bytes);
        if self.output.len() >= CHUNK { self.flush().await } else { Ok(()) }
    }

    /// Sends what is queued.
    pub async fn flush(&mut self) -> Result<(), WireError> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await?;
            self.output.clear();
        }
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

#[cfg(test)]
mod tests {
    use super::{Wire, WireError};

    async fn wire(bytes: &[u8]) -> Wire {
        let mut wire = Wire::new(Box::new(std::io::Cursor::new(bytes.to_vec())));
        wire.fill().await.unwrap();
        wire
    }

    #[tokio::test]
    async fn only_crlf_ends_a_line() {
        assert_eq!(wire(b"NOOP\r\nx").await.take_line(10).unwrap().as_deref(), Some(&b"NOOP"[..]));
        for wrong in [&b"NOOP\n"[..], b"NO\rOP\r\n", b"NO\0OP\r\n"] {
            assert!(matches!(wire(wrong).await.take_line(10), Err(WireError::BadLine)));
        }
        assert!(matches!(wire(b"12345678901234\r\n").await.take_line(10), Err(WireError::TooLong)));
        assert!(wire(b"1234567890\r\n").await.take_line(10).unwrap().is_some());
    }
}
