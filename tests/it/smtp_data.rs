//! The message itself: where it ends, what is in it, who it says it is from.

use std::io::Write;

use crate::support::smtp_upstream::Act;
use crate::support::stage::ADDRESS;
use crate::support::submission::{Submission, begin, say};

const WELL: fn(&str) -> Act = |_| Act::Well;

#[test]
fn sm_01_only_crlf_dot_crlf_ends_a_message() {
    let scene = Submission::set(WELL);
    let endings: [&[u8]; 24] = [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\n.\r",
        b"\r.\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\n\n.\r\n",
        b"\r\r\n.\r\n",
        b"\n\r.\r\n",
        b"\0\n.\n",
        b"\n\0.\n",
        b"\r\n.\r\r\n",
        b"\r\0\n.\r\n",
        b"\r\n\r.\r\n",
        b"\r\n.\n\r\n",
        b"\n.\n\n",
        b"\r\n\n.\r\n",
        b"\0\r\n.\0\r\n",
        b"\r\n.\r\0\n",
        b"\r.\r\r",
    ];
    for ending in endings {
        for head in [&b"From: support@example.test\r\n\r\nfirst"[..], b"From: support@example.test\r\nSubject: first"] {
            let mut smtp = scene.at_data();
            let hidden =
                b"MAIL FROM:<support@example.test>\r\nRCPT TO:<boss@else.test>\r\nDATA\r\nFrom: x@y\r\n\r\nhidden";
            smtp.send([head, ending, hidden, b"\r\n.\r\nQUIT\r\n"].concat());
            let reply = smtp.reply();
            assert!(reply[0].starts_with("554 5.6.0"), "{:?}: {reply:?}", String::from_utf8_lossy(ending));
            let rest = smtp.rest().expect("the connection is closed in order");
            assert!(rest.is_empty(), "{:?}: {rest:?}", String::from_utf8_lossy(ending));
        }
    }
    assert!(scene.upstream.messages().is_empty());
    assert!(!scene.upstream.received().contains("boss@else.test"));
}

#[test]
fn sm_02_lines_of_dots_arrive_octet_for_octet() {
    let scene = Submission::set(WELL);
    let body = b".\r\n..\r\n...\r\n.x\r\nx.\r\n. \r\n\r\n.\r\n\xff\xfe 8 bit .\r\n.QUIT\r\n";
    let mut smtp = scene.at_data();
    smtp.send(format!(
        "From: {ADDRESS}\r\nDate: Tue, 24 Nov 2026 08:00:00 +0000\r\nMessage-ID: <1@example.test>\r\n\r\n"
    ));
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            smtp.send(b".");
        }
        smtp.send(line);
    }
    say(&mut smtp, ".", "250");
    let messages = scene.upstream.messages();
    assert_eq!(messages.len(), 1);
    let at = messages[0].windows(4).position(|part| part == b"\r\n\r\n").expect("a header and a body");
    assert_eq!(&messages[0][at + 4..], body);
    // Chunking would be another way to say where a message ends: it is neither offered nor served.
    assert!(
        say(&mut smtp, "EHLO tool", "250").iter().all(|line| !line.contains("CHUNKING") && !line.contains("BINARY"))
    );
    say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "250");
    say(&mut smtp, "RCPT TO:<customer@else.test>", "250");
    for wrong in ["BDAT 5 LAST", "BDAT 18446744073709551615", "BDAT -1 LAST"] {
        say(&mut smtp, wrong, "502");
    }
    assert_eq!(scene.upstream.messages().len(), 1);
}

#[test]
fn sm_03_sizes_are_bounded() {
    let limit = 300_000;
    let scene = Submission::set_with(
        |gateway| {
            let mut config = std::fs::OpenOptions::new().append(true).open(gateway.config_file()).expect("open");
            config.write_all(format!("[limits]\nmax_message_bytes = {limit}\n").as_bytes()).expect("write");
        },
        WELL,
    );
    let mut smtp = scene.session();
    for wrong in ["99999999999999999999", "-1", "+1", "", "1e3", "0x10", "1 2", "\u{661}"] {
        smtp.send(format!("MAIL FROM:<{ADDRESS}> SIZE={wrong}\r\n"));
        let reply = smtp.reply();
        assert!(reply[0].starts_with("501") || reply[0].starts_with("555"), "{wrong:?}: {reply:?}");
    }
    say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}> SIZE={}", limit + 1), "552");
    say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}> SIZE={limit}"), "250");
    say(&mut smtp, "RSET", "250");
    for (number, size) in [(limit + 100, 0), (limit * 2, 0), (limit - 2000, 1)] {
        begin(&mut smtp);
        smtp.send(format!("From: {ADDRESS}\r\n\r\n{}.\r\n", format!("{}\r\n", "x".repeat(98)).repeat(number / 100)));
        let reply = smtp.reply();
        assert!(reply[0].starts_with(if size == 0 { "552" } else { "250" }), "{number}: {reply:?}");
        assert_eq!(scene.upstream.messages().len(), size, "{number}");
    }
}

#[test]
fn sm_04_the_header_names_exactly_one_allowed_address() {
    let scene = Submission::set(WELL);
    let mut smtp = scene.session();
    say(&mut smtp, "MAIL FROM:<boss@example.test>", "553");
    say(&mut smtp, "MAIL FROM:<>", "553");
    let refused: [&[u8]; 34] = [
        b"Subject: nobody",
        b"From:",
        b"From: ",
        b"From: Support",
        b"From: <>",
        b"From: boss@example.test",
        b"From: support@example.test\r\nFrom: boss@example.test",
        b"From: support@example.test\r\nfrom: support@example.test",
        b"From: support@example.test\r\nFROM : boss@example.test",
        b"from : support@example.test",
        b"From\t: support@example.test",
        b"From: support@example.test\r\n , boss@example.test",
        b"From:\r\n boss@example.test",
        b"From: support@example.test,\r\n\tboss@example.test",
        b"From: support@example.test (boss@example.test)",
        b"From: (support@example.test) boss@example.test",
        b"From: boss@example.test (<support@example.test>)",
        b"From: \"support@example.test\" <boss@example.test>",
        b"From: \"boss@example.test\" <support@example.test>",
        b"From: team: support@example.test;",
        b"From: team: support@example.test, boss@example.test;",
        b"From: undisclosed:;",
        b"From: =?utf-8?Q?boss=40example.test?= <support@example.test>",
        b"From: =?utf-8?B?Ym9zc0BleGFtcGxlLnRlc3Q=?= <support@example.test>",
        b"From: =?utf-8?Q?boss=40example.test?=",
        b"From: =?utf-8?Q?support?=@example.test",
        b"From: B\xc3\xb6ss <support@example.test>",
        b"From: support@example.test\r\nSender: boss@example.test",
        b"From: support@example.test\r\nSender: support@example.test\r\nSender: boss@example.test",
        b"From: support@example.test\r\nResent-From: boss@example.test",
        b"From: support@example.test\r\nResent-From: support@example.test\r\nResent-From: boss@example.test",
        b"From: support@example.test\r\nResent-Sender: boss@example.test",
        b"From: <@boss.example.test:support@example.test>",
        b"From: <boss@example.test>support@example.test",
    ];
    for header in refused {
        begin(&mut smtp);
        smtp.send([header, b"\r\n\r\nbody\r\n.\r\n"].concat());
        let reply = smtp.reply();
        assert!(reply[0].starts_with("550"), "{}: {reply:?}", String::from_utf8_lossy(header));
    }
    let mut with_nul = scene.at_data();
    with_nul.send(b"From: support@example.test\0, boss@example.test\r\n\r\nbody\r\n.\r\n");
    assert!(with_nul.reply()[0].starts_with("554"));
    assert!(scene.upstream.messages().is_empty());
    for header in [
        "From: support@example.test",
        "from: Support <SUPPORT@example.test>",
        "From: \"Support, Team\" <support@example.test>",
        "From: =?utf-8?Q?B=C3=B6ss?= <support@example.test>",
        "From:\r\n Support\r\n <support@example.test>",
        "Sender: support@example.test\r\nFrom: support@example.test",
    ] {
        begin(&mut smtp);
        smtp.send(format!("{header}\r\n\r\nbody\r\n.\r\n"));
        let reply = smtp.reply();
        assert!(reply[0].starts_with("250"), "{header}: {reply:?}");
    }
    assert_eq!(scene.upstream.messages().len(), 6);
}
