//! HTTP/2 used as a weapon: the connection ends, the memory stays, and others are served.

use crate::support::ca::Ca;
use crate::support::folder;
use crate::support::gateway::Gateway;
use crate::support::http::{HERE, ask, connect, get};
use crate::support::wire::Wire;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// `:method POST`, `:scheme https`, `:path /`, `:authority x` in the static table's terms (RFC 7541 appendix A).
const REQUEST: &[u8] = b"\x83\x87\x84\x41\x01x";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Sends frames until the peer ends the connection or they are used up. Says whether it ended it.
fn is_ended_by(wire: &mut Wire, frames: impl Iterator<Item = Vec<u8>>) -> bool {
    let mut pending = Vec::new();
    for frame in frames {
        pending.extend(frame);
        if pending.len() > 8192 {
            if wire.try_send(&pending).is_err() {
                return true;
            }
            pending.clear();
        }
    }
    wire.try_send(&pending).is_err() || wire.try_send(&frame(6, 0, 0, b"are you?")).is_err() || wire.says_goodbye()
}

fn opened(gateway: &Gateway) -> Wire {
    let mut wire = connect(gateway, HERE);
    wire.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, b"")].concat());
    wire
}

#[test]
fn tok_22_abuse_of_http2_ends_the_connection_and_takes_no_memory() {
    let dir = folder();
    let gateway = Gateway::start(&Ca::create(&dir.path().join("ca")));
    let metadata = get("/oauth/jwks");
    assert_eq!(ask(&gateway, HERE, &metadata).status, 200);
    let before = gateway.resident_octets();
    let mut resets = opened(&gateway);
    let cancelled = (0..10_000).flat_map(|number| {
        let stream = number * 2 + 1;
        [frame(HEADERS, END_HEADERS, stream, REQUEST), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])]
    });
    assert!(is_ended_by(&mut resets, cancelled), "10,000 resets");
    let mut endless = opened(&gateway);
    let first = std::iter::once(frame(HEADERS, 0, 1, REQUEST));
    let field = [&b"\x00\x01a\x7f\x81\x07"[..], &[b'b'; 256]].concat();
    let more = (0..100_000).map(|_| frame(CONTINUATION, 0, 1, &field));
    assert!(is_ended_by(&mut endless, first.chain(more)), "endless CONTINUATION");
    let mut empty = opened(&gateway);
    let first = std::iter::once(frame(HEADERS, END_HEADERS, 1, REQUEST));
    let nothing = (0..1_000_000).map(|_| frame(DATA, 0, 1, b""));
    assert!(is_ended_by(&mut empty, first.chain(nothing)), "1,000,000 empty DATA frames");
    let grown = gateway.resident_octets().saturating_sub(before) / 1024 / 1024;
    assert!(grown < 32, "{grown} MiB more");
    assert_eq!(ask(&gateway, HERE, &metadata).status, 200);
}
