//! Headers of the PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`): what a proxy says before anything else, to tell whose
//! connection it passes on. Nothing behind a header is ever asked for, so the reader stops exactly where the proxied bytes begin.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header in octets: a line is shorter, and the binary form is meant to fit one segment of any network.
pub const MAX_HEADER: usize = 536;

/// Longest line of version 1, with its CRLF.
const MAX_LINE: usize = 107;
/// Shortest line: `PROXY UNKNOWN`, with its CRLF.
const MIN_LINE: usize = 15;
/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";
/// What version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of version 2.
const FIXED: usize = 16;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Somebody's, who is there.
    Of(SocketAddr),
    /// The proxy's own, as for a health check, or one whose origin the proxy cannot tell.
    Proxy,
}

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// At least so many octets more belong to it.
    More(usize),
    /// It ends here.
    Done(Source),
}

/// Not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadHeader(&'static str);

/// Reads a header as far as it is there.
pub fn read(octets: &[u8]) -> Result<Progress, BadHeader> {
    if octets.starts_with(SIGNATURE) {
        binary(octets)
    } else if octets.starts_with(WORD) {
        line(octets)
    } else if SIGNATURE.starts_with(octets) || WORD.starts_with(octets) {
        Ok(Progress::More(SIGNATURE.len() - octets.len()))
    } else {
        Err(BadHeader("no header of the PROXY protocol"))
    }
}

/// Whether what somebody sent first is the beginning of a header; `None`: more has to be seen to know. A tag of IMAP may well be `PROXY`,
/// but no command of any mail protocol is called as what follows here.
pub fn begins_header(octets: &[u8]) -> Option<bool> {
    const BEGINNINGS: [&[u8]; 4] = [SIGNATURE, b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN"];
    if BEGINNINGS.iter().any(|beginning| octets.starts_with(beginning)) {
        return Some(true);
    }
    let may_become = BEGINNINGS.iter().any(|beginning| beginning.starts_with(octets));
    (!may_become).then_some(false)
}

fn line(octets: &[u8]) -> Result<Progress, BadHeader> {
    let whole = octets.strip_suffix(b"\r\n");
    let text = whole.or_else(|| octets.strip_suffix(b"\r")).unwrap_or(octets);
    let is_text = text.iter().all(|octet| matches!(octet, b' '..=b'~'));
    if !is_text || octets.len() > MAX_LINE || (whole.is_none() && octets.len() == MAX_LINE) {
        return Err(BadHeader("a line of the PROXY protocol is too long or no text"));
    }
    if whole.is_some() {
        let text = text.strip_prefix(WORD).and_then(|text| std::str::from_utf8(text).ok());
        let source = text.and_then(addresses).ok_or(BadHeader("a line of the PROXY protocol is malformed"))?;
        return Ok(Progress::Done(source));
    }
    let ending = if octets.ends_with(b"\r") { 1 } else { 2 };
    Ok(Progress::More(ending.max(MIN_LINE.saturating_sub(octets.len()))))
}

/// `TCP4 SOURCE DESTINATION PORT PORT`, the same with `TCP6`, or `UNKNOWN` with anything.
fn addresses(text: &str) -> Option<Source> {
    let parts: Vec<&str> = text.split(' ').collect();
    let (source, port) = match *parts.as_slice() {
        ["UNKNOWN", ..] => return Some(Source::Proxy),
        ["TCP4", source, destination, port, other] => {
            (destination.parse::<Ipv4Addr>().ok()).zip(number(other))?;
            (IpAddr::V4(source.parse().ok()?), number(port)?)
        }
        ["TCP6", source, destination, port, other] => {
            (destination.parse::<Ipv6Addr>().ok()).zip(number(other))?;
            (IpAddr::V6(source.parse().ok()?), number(port)?)
        }
        _ => return None,
    };
    Some(Source::Of(SocketAddr::new(source.to_canonical(), port)))
}

/// A port in decimal digits, without leading zeros.
fn number(text: &str) -> Option<u16> {
    text.parse::<u16>().ok().filter(|port| port.to_string() == text)
}

fn binary(octets: &[u8]) -> Result<Progress, BadHeader> {
    let Some(&[command, family, high, low]) = octets.get(SIGNATURE.len()..FIXED) else {
        return Ok(Progress::More(FIXED - octets.len()));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if FIXED + length > MAX_HEADER {
        return Err(BadHeader("a header of the PROXY protocol is too long"));
    }
    let body = octets.get(FIXED..).unwrap_or_default();
    // What follows the addresses belongs to the header, and nothing of it is needed.
    let needed = match (command, family) {
        (0x20, _) | (0x21, 0x00) => 0,
        (0x21, 0x11) => 12,
        (0x21, 0x21) => 36,
        _ => return Err(BadHeader("a command or family of the PROXY protocol that no mail connection has")),
    };
    if length < needed {
        return Err(BadHeader("a header of the PROXY protocol is too short for its addresses"));
    }
    if body.len() < length {
        return Ok(Progress::More(length - body.len()));
    }
    let source = match needed {
        12 => fields::<4>(body).map(|(source, port)| SocketAddr::new(Ipv4Addr::from(source).into(), port)),
        36 => fields::<16>(body)
            .map(|(source, port)| SocketAddr::new(IpAddr::V6(Ipv6Addr::from(source)).to_canonical(), port)),
        _ => None,
    };
    Ok(Progress::Done(source.map_or(Source::Proxy, Source::Of)))
}

/// Source and its port: `N` octets, the destination's `N`, and two octets for each port.
fn fields<const N: usize>(body: &[u8]) -> Option<([u8; N], u16)> {
    let (source, rest) = body.split_first_chunk::<N>()?;
    let (_destination, rest) = rest.split_first_chunk::<N>()?;
    let (port, _) = rest.split_first_chunk::<2>()?;
    Some((*source, u16::from_be_bytes(*port)))
}

#[cfg(test)]
mod tests {
    use super::{BadHeader, MAX_HEADER, Progress, SIGNATURE, Source, begins_header, read};

    fn of(address: &str) -> Progress {
        Progress::Done(Source::Of(address.parse().unwrap()))
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, body].concat()
    }

    /// Feeds a header as it may come from a network, never more than was asked for, and gives what it says and how long it is.
    fn fed(octets: &[u8], most: usize) -> Result<(Source, usize), BadHeader> {
        let mut known = 0;
        loop {
            match read(&octets[..known])? {
                Progress::Done(source) => return Ok((source, known)),
                Progress::More(more) => {
                    assert!(more > 0 && known + more <= MAX_HEADER);
                    assert!(known < octets.len(), "{more} octets more than there are");
                    known = (known + more.min(most)).min(octets.len());
                }
            }
        }
    }

    #[test]
    fn gw_14_headers_of_both_versions_say_where_somebody_is() {
        let v4 = [192, 0, 2, 9, 10, 0, 0, 1, 0xc3, 0x50, 0x03, 0xe1];
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        v6[15] = 7;
        v6[33] = 9;
        let mut mapped = [0; 36];
        mapped[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 9]);
        mapped[33] = 9;
        for (header, told) in [
            (b"PROXY TCP4 192.0.2.9 10.0.0.1 50000 993\r\n".to_vec(), of("192.0.2.9:50000")),
            (b"PROXY TCP6 2001:db8::7 ::1 9 993\r\n".to_vec(), of("[2001:db8::7]:9")),
            (b"PROXY TCP6 ::ffff:192.0.2.9 ::1 9 993\r\n".to_vec(), of("192.0.2.9:9")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Progress::Done(Source::Proxy)),
            (b"PROXY UNKNOWN ffff::1 whatever it says\r\n".to_vec(), Progress::Done(Source::Proxy)),
            (v2(0x21, 0x11, &v4), of("192.0.2.9:50000")),
            (v2(0x21, 0x21, &v6), of("[2001:db8::7]:9")),
            (v2(0x21, 0x21, &mapped), of("192.0.2.9:9")),
            (v2(0x20, 0x00, &[]), Progress::Done(Source::Proxy)),
            (v2(0x20, 0x11, &v4), Progress::Done(Source::Proxy)),
            (v2(0x21, 0x00, b"anything"), Progress::Done(Source::Proxy)),
            (v2(0x21, 0x11, &[&v4[..], &[0x20; 508]].concat()), of("192.0.2.9:50000")),
        ] {
            assert_eq!(read(&header), Ok(told), "{header:?}");
            for most in [1, 3, MAX_HEADER] {
                let behind = [&header[..], b"A LOGIN"].concat();
                let (source, length) = fed(&behind, most).unwrap();
                assert_eq!((Progress::Done(source), length), (told, header.len()));
            }
        }
    }

    #[test]
    fn gw_14_what_is_no_header_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        assert_eq!(long.len(), 108);
        let longest = long.replacen("xx", "x", 1);
        assert_eq!(read(longest.as_bytes()), Ok(Progress::Done(Source::Proxy)));
        let mut wrong: Vec<Vec<u8>> = [
            "PROXY TCP4 192.0.2.9 10.0.0.1 50000\r\n",
            "PROXY TCP4 192.0.2.9 10.0.0.1 50000 993 1\r\n",
            "PROXY TCP4  192.0.2.9 10.0.0.1 50000 993\r\n",
            "PROXY TCP4 192.0.2.9 10.0.0.1 50000 65536\r\n",
            "PROXY TCP4 192.0.2.9 10.0.0.1 050 993\r\n",
            "PROXY TCP4 192.0.2.9 10.0.0.1 +50 993\r\n",
            "PROXY TCP4 192.0.2.09 10.0.0.1 50 993\r\n",
            "PROXY TCP4 2001:db8::7 ::1 50 993\r\n",
            "PROXY TCP6 192.0.2.9 10.0.0.1 50 993\r\n",
            "PROXY TCP4 192.0.2.9 10.0.0.300 50 993\r\n",
            "PROXY TCP4 mail.example.test 10.0.0.1 50 993\r\n",
            "PROXY UDP4 192.0.2.9 10.0.0.1 50 993\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY TCP4 192.0.2.9 10.0.0.1 50 993\n",
            "PROXY UNKNOWN \r \r\n",
            "PROXY UNKNOWN \0\r\n",
            "PROXY \r\n\r\n\r\n\r\n\r\n",
            "proxy TCP4 192.0.2.9 10.0.0.1 50 993\r\n",
            "A LOGIN a b\r\n",
            &long,
        ]
        .into_iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
        let v4 = [0; 12];
        for (command, family, body) in [
            (0x11, 0x11, &v4[..]),
            (0x22, 0x11, &v4),
            (0x2f, 0x11, &v4),
            (0x21, 0x12, &v4),
            (0x21, 0x31, &[0; 216]),
            (0x21, 0x01, &v4),
            (0x21, 0x41, &v4),
            (0x21, 0x11, &v4[..11]),
            (0x21, 0x21, &[0; 35]),
            (0x21, 0x11, &[0; 521]),
            (0x20, 0x00, &[0; 521]),
            (0x20, 0x00, &[0; 9000]),
        ] {
            wrong.push(v2(command, family, body));
        }
        for header in wrong {
            for most in [1, MAX_HEADER] {
                assert!(fed(&header, most).is_err(), "{:?}", String::from_utf8_lossy(&header));
            }
        }
    }

    #[test]
    fn gw_14_a_header_is_known_by_its_beginning() {
        for header in [&b"PROXY TCP4 1"[..], b"PROXY TCP6 ", b"PROXY UNKNOWN\r\n", SIGNATURE] {
            assert_eq!(begins_header(header), Some(true));
            assert_eq!(begins_header(&header[..5]), None);
        }
        for other in [&b"PROXY CAPABILITY\r\n"[..], b"\r\n\r\nA", b"PROXY TCP4\r\n", b"GET / HTTP/1.1", &[0x16, 3, 1]] {
            assert_eq!(begins_header(other), Some(false));
        }
        assert_eq!(begins_header(b""), None);
    }
}
