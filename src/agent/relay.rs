//! After the login: octets go both ways, untouched. The gateway at the other end judges them.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};

use crate::upstream::wire::Wire;

/// How long the gateway may take for its last words once the tool has stopped speaking.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// Passes everything on until the gateway closes, or the tool does and the gateway has said its last words.
pub(in crate::agent) async fn relay(tool: Wire, gateway: Wire) {
    // What came with the last lines that were read.
    let (spoken, said) = (tool.buffered().to_vec(), gateway.buffered().to_vec());
    let (mut from_tool, mut to_tool) = split(tool.into_stream());
    let (mut from_gateway, mut to_gateway) = split(gateway.into_stream());
    let there = async {
        pass_on(&spoken, &mut from_tool, &mut to_gateway).await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = pass_on(&said, &mut from_gateway, &mut to_tool) => (),
        () = there => (),
    }
}

async fn pass_on(first: &[u8], from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) {
    // Either end may go at any time; then there is nobody to tell.
    if to.write_all(first).await.is_ok() && to.flush().await.is_ok() {
        let _ = copy(from, to).await;
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::relay;
    use crate::upstream::wire::{Wire, clear};

    #[tokio::test]
    async fn what_came_early_and_what_comes_last_is_passed_on() {
        let ((mut tool, tool_end), (mut gateway, gateway_end)) = (duplex(64), duplex(64));
        let (mut inner, mut outer) = (Wire::new(clear(tool_end)), Wire::new(clear(gateway_end)));
        tool.write_all(b"login\r\nnext\r\n").await.unwrap();
        gateway.write_all(b"ok\r\n* early\r\n").await.unwrap();
        assert_eq!((inner.line(10).await.unwrap(), outer.line(10).await.unwrap()), (b"login".into(), b"ok".into()));
        let relayed = tokio::spawn(relay(inner, outer));
        let mut heard = [0; 6];
        gateway.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"next\r\n");
        tool.shutdown().await.unwrap();
        assert_eq!(gateway.read(&mut heard).await.unwrap(), 0, "the gateway learns that the tool is done");
        gateway.write_all(b"* BYE\r\n").await.unwrap();
        drop(gateway);
        let mut all = String::new();
        tool.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "* early\r\n* BYE\r\n");
        relayed.await.unwrap();
    }
}
