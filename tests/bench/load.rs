//! The load: so many keep-alive connections, each of which sends its next request when the answer to the one before is there.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Requests, sent in turn over and over.
pub(crate) struct Load {
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) count: u32,
    pub(crate) per_second: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
}

impl Load {
    /// A server's line: address, path, value of `Authorization`, and form bodies.
    pub(crate) fn to_line(address: SocketAddr, path: &str, authorization: &str, bodies: &[String]) -> String {
        format!("{address} {path} {authorization} {}", bodies.join(" "))
    }

    pub(crate) fn from_line(line: &str) -> anyhow::Result<Self> {
        let mut words = line.split(' ');
        let mut word = || words.next().context("a word is missing");
        let (address, path, scheme, credentials) = (word()?, word()?, word()?, word()?);
        let request = |body: &str| {
            format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {scheme} {credentials}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let requests: Vec<_> = words.map(|body| request(body).into_bytes()).collect();
        anyhow::ensure!(!requests.is_empty(), "no body");
        Ok(Self { address: address.parse()?, requests })
    }

    pub(crate) fn run(&self, connections: usize, time: Duration) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (all, elapsed) = runtime.block_on(async {
            let mut streams = Vec::new();
            for _ in 0..connections {
                streams.push(TcpStream::connect(self.address).await?);
            }
            let start = Instant::now();
            let all = streams.into_iter().enumerate().map(|(at, stream)| self.connection(at, stream, start + time));
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

    /// Each connection begins at another request.
    async fn connection(&self, at: usize, mut stream: TcpStream, end: Instant) -> anyhow::Result<Vec<Duration>> {
        stream.set_nodelay(true)?;
        let mut requests = self.requests.iter().cycle().skip(at * 7);
        let (mut times, mut answer) = (Vec::new(), Vec::with_capacity(4096));
        while Instant::now() < end {
            let sent = Instant::now();
            stream.write_all(requests.next().context("no request")?).await?;
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
