//! Who is waited for, and how long: a tool that says nothing, one that has gone, an upstream that does not answer.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::Instant;

use crate::gateway::imap::tests::House;

/// Waits longer than anybody here may take, and far less than for ever.
const LIMIT: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_tool_that_says_nothing_for_half_an_hour_is_logged_out() {
    let house = House::new().await;
    // Not a word, half a command, half a literal, half a message.
    for said in ["", "a NO", "a LIST {5+}\r\nab", "a LOGIN {5}\r\n", "a APPEND INBOX {9+}\r\nab"] {
        let (mut tool, _upstream, running) = house.session().await;
        tool.write_all(said.as_bytes()).await.unwrap();
        let mut heard = String::new();
        tokio::time::pause();
        let began = Instant::now();
        tokio::time::timeout(LIMIT, tool.read_to_string(&mut heard)).await.expect("an end").unwrap();
        let took = began.elapsed();
        tokio::time::resume();
        assert!(heard.ends_with("* BYE nothing was said for half an hour\r\n"), "{said:?}: {heard:?}");
        assert!((1800..1810).contains(&took.as_secs()), "{said:?}: {took:?}");
        running.await.unwrap();
    }
}

#[tokio::test]
async fn a_tool_that_has_gone_is_noticed_while_its_command_waits_for_the_upstream() {
    let house = House::new().await;
    let (mut tool, upstream, running) = house.session().await;
    let mut upstream = BufReader::new(upstream);
    tool.write_all(b"a EXAMINE INBOX\r\n").await.unwrap();
    let mut line = String::new();
    upstream.read_line(&mut line).await.unwrap();
    assert!(line.contains("EXAMINE"), "{line}");
    drop(tool);
    tokio::time::timeout(Duration::from_secs(30), running).await.expect("the session is over").unwrap();
    line.clear();
    upstream.read_to_string(&mut line).await.unwrap();
    assert_eq!(line, "w9 LOGOUT\r\n");
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_given_up() {
    let house = House::new().await;
    // Nothing, half a line, half a literal.
    for said in ["", "* 1 EX", "* 1 FETCH (BODY[] {9}\r\nab", "* LIST () \"/\" {9}\r\nab"] {
        let (mut tool, upstream, running) = house.session().await;
        let mut upstream = BufReader::new(upstream);
        tool.write_all(b"a LIST \"\" *\r\n").await.unwrap();
        let mut line = String::new();
        upstream.read_line(&mut line).await.unwrap();
        upstream.write_all(said.as_bytes()).await.unwrap();
        let mut heard = String::new();
        tokio::time::pause();
        let began = Instant::now();
        tokio::time::timeout(LIMIT, tool.read_to_string(&mut heard)).await.expect("an end").unwrap();
        let took = began.elapsed();
        tokio::time::resume();
        assert!(heard.ends_with("went away, reconnect\r\n"), "{said:?}: {heard:?}");
        assert!((300..310).contains(&took.as_secs()), "{said:?}: {took:?}");
        running.await.unwrap();
    }
}
