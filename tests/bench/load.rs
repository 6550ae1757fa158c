//! The load: so many keep-alive connections, each of which sends its next request when the answer to the one before is there.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One request, sent over and over.
pub(crate) struct Load {
    address: SocketAddr,
    request: Vec<u8>,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) count: u32,
    pub(crate) per_second: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
}

impl Load {
    /// A server's line: address, path, value of `Authorization` (or `-`) and form body.
    pub(crate) fn to_line(address: SocketAddr, path: &str, authorization: &str, body: &str) -> String {
        format!("{address} {path} {authorization} {body}")
    }

    pub(crate) fn from_line(line: &str) -> anyhow::Result<Self> {
        let mut words = line.splitn(5, ' ');
        let mut word = || words.next().context("a word is missing");
        let (address, path, scheme, credentials, body) = (word()?, word()?, word()?, word()?, word()?);
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {scheme} {credentials}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Self { address: address.parse()?, request: request.into_bytes() })
    }

    pub(crate) fn run(&self, connections: usize, time: Duration) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (all, elapsed) = runtime.block_on(async {
            let mut streams = Vec::new();
            for _ in 0..connections {
                streams.push(TcpStream::connect(self.address).await?);
            }
            let start = Instant::now();
            let all = streams.into_iter().map(|stream| self.connection(stream, start + time));
            let all = futures_util::future::try_join_all(all).await?;
            anyhow::Ok((all, start.elapsed()))
        })?;
        let mut times: Vec<Duration> = all.into_iter().flatten().collect();
        times.sort_unstable();
        let at = |part: usize| times.get(times.len() * part / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
        let count = u32::try_from(times.len())?;
        let per_second = f64::from(count) / elapsed.as_secs_f64();
        Ok(Outcome { count, per_second, p50_micros: at(50), p99_micros: at(99) })
    }

    async fn connection(&self, mut stream: TcpStream, end: Instant) -> anyhow::Result<Vec<Duration>> {
        stream.set_nodelay(true)?;
        let (mut times, mut answer) = (Vec::new(), Vec::with_capacity(4096));
        while Instant::now() < end {
            let sent = Instant::now();
            stream.write_all(&self.request).await?;
            answer.clear();
            while !is_whole(&answer)? {
                anyhow::ensure!(stream.read_buf(&mut answer).await? > 0, "the server closed the connection");
            }
            times.push(sent.elapsed());
        }
        Ok(times)
    }
}

/// Whether an answer has arrived with all of its body. Any but 200 ends the benchmark.
fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(false) };
    let text = std::str::from_utf8(answer.get(..head).unwrap_or_default())?;
    anyhow::ensure!(text.starts_with("HTTP/1.1 200 "), "refused: {}", String::from_utf8_lossy(answer));
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
    Ok(answer.len() >= head + 4 + length.parse::<usize>()?)
}
