//! Lines, parts of lines, and a sending that was cancelled.

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{Part, Wire, WireError, clear};

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

#[tokio::test]
async fn a_sending_that_was_cancelled_goes_on_where_it_stopped() {
    use tokio::io::AsyncReadExt;
    let (mut peer, ours) = tokio::io::duplex(64);
    let mut wire = Wire::new(clear(ours));
    let text: Vec<u8> = (0..=255).collect();
    let sending = wire.send(&text);
    assert!(futures_util::future::FutureExt::now_or_never(sending).is_none(), "the peer has room for a part only");
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).await.unwrap();
        heard
    });
    wire.shutdown().await;
    assert_eq!(heard.await.unwrap(), text);
}

#[tokio::test]
async fn a_long_line_comes_in_parts_that_make_it_up() {
    let mut wire = wire(b"1234567\r\n89\r\n").await;
    let mut parts = Vec::new();
    while let Some(part) = wire.take_part(4).unwrap() {
        parts.push((String::from_utf8(part.bytes).unwrap(), part.is_last));
    }
    assert_eq!(parts, [("1234".to_owned(), false), ("567".to_owned(), true), ("89".to_owned(), true)]);
    let mut split = self::wire(b"123\r\n").await;
    assert_eq!(split.take_part(1).unwrap(), Some(Part { bytes: b"1".to_vec(), is_last: false }));
    assert!(matches!(self::wire(b"1\r345678\r\n").await.take_part(4), Err(WireError::BadLine)));
}

#[tokio::test]
async fn pieces_are_looked_at_where_they_lie_and_nothing_is_taken_twice() {
    let mut wire = Wire::new(clear(std::io::Cursor::new(b"0123456789\r\n".to_vec())));
    wire.more().await.unwrap();
    assert_eq!(wire.buffered(), b"", "more is there, and not taken");
    assert_eq!(wire.some(4).await.unwrap(), b"0123");
    wire.fill().await.unwrap();
    assert_eq!(wire.buffered(), b"456789\r\n");
    assert_eq!(wire.some(2).await.unwrap(), b"45");
    assert_eq!(wire.exactly(3).await.unwrap(), b"678");
    assert_eq!(wire.take_line(4).unwrap().as_deref(), Some(&b"9"[..]));
    assert!(matches!(wire.more().await, Err(WireError::Closed)));
    assert!(matches!(wire.some(1).await, Err(WireError::Closed)));
}

#[tokio::test]
async fn a_line_that_is_too_long_once_is_too_long_again() {
    let mut wire = wire(b"12345678901234\r\nNOOP\r\n").await;
    assert!(matches!(wire.take_line(4), Err(WireError::TooLong)));
    assert!(matches!(wire.take_line(4), Err(WireError::TooLong)));
    assert_eq!(wire.take_line(20).unwrap().as_deref(), Some(&b"12345678901234"[..]));
    assert_eq!(wire.take_line(4).unwrap().as_deref(), Some(&b"NOOP"[..]));
}

#[tokio::test]
async fn lines_are_taken_together_up_to_one_that_must_be_looked_at() {
    let mut wire = wire(b"a\r\n\r\nbc.\r\n.d\r\ne\r\nbad\nf\r\n12345\r\nrest").await;
    assert_eq!(wire.lines_until(b'.', 4), b"a\r\n\r\nbc.\r\n");
    assert_eq!(wire.lines_until(b'.', 4), b"", "a dot in front");
    assert_eq!(wire.take_line(4).unwrap().as_deref(), Some(&b".d"[..]));
    assert_eq!(wire.lines_until(b'.', 4), b"e\r\n");
    assert_eq!(wire.lines_until(b'.', 4), b"", "a bare LF");
    assert!(matches!(wire.take_line(4), Err(WireError::BadLine)));
    for wrong in [&b"12345\r\n"[..], b"a\rb\r\n", b"a\0\r\n", b"a\n", b"whole\r"] {
        assert_eq!(self::wire(wrong).await.lines_until(b'.', 4), b"", "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn lines_come_alike_one_by_one_and_together_however_they_arrive(
        parts in proptest::collection::vec(proptest::sample::select(vec!["\r\n", ".", "abc", "\n", "\r", "\0", "\r\n"]), 0..16),
        cut in any::<proptest::sample::Index>(),
    ) {
        let bytes = parts.concat().into_bytes();
        let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
        let read = |together: bool| {
            let mut wire = Wire::new(Box::new(std::io::Cursor::new(Vec::new())));
            let mut found = Vec::new();
            for piece in [first, second] {
                wire.input.extend_from_slice(piece);
                loop {
                    if together {
                        found.extend_from_slice(wire.lines_until(b'.', 5));
                    }
                    match wire.take_line(5) {
                        Ok(Some(line)) => found.extend([line.as_slice(), b"\r\n"].concat()),
                        Ok(None) => break,
                        Err(error) => return (found, Some(error.to_string())),
                    }
                }
            }
            (found, None)
        };
        prop_assert_eq!(read(true), read(false));
    }

    #[test]
    fn im_15_parts_make_up_the_lines_however_they_arrive(
        lines in proptest::collection::vec("[a-z]{0,20}", 1..6),
        most in 1_usize..12,
        cut in any::<proptest::sample::Index>(),
    ) {
        let bytes = lines.iter().map(|line| format!("{line}\r\n")).collect::<String>().into_bytes();
        let (first, second) = bytes.split_at(cut.index(bytes.len()));
        let mut wire = Wire::new(Box::new(std::io::Cursor::new(Vec::new())));
        let (mut found, mut line) = (Vec::new(), Vec::new());
        for piece in [first, second] {
            wire.input.extend_from_slice(piece);
            while let Some(part) = wire.take_part(most).unwrap() {
                prop_assert!(part.bytes.len() <= most);
                line.extend(part.bytes);
                if part.is_last {
                    found.push(String::from_utf8(std::mem::take(&mut line)).unwrap());
                }
            }
        }
        prop_assert_eq!(found, lines);
    }
}
