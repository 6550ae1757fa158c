//! How the connection of a tool ends.

use std::time::Duration;

use crate::upstream::wire::Wire;

/// How long a tool may take to hear the last word.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long, and for how many pieces, a tool that was hung up on may still be sending.
const LINGER: Duration = Duration::from_secs(1);
const PIECES: usize = 64;

/// Sends the last word, if there is one, and says that nothing follows.
pub(in crate::gateway) async fn say(client: &mut Wire, word: Option<String>) {
    let goodbye = async {
        if let Some(word) = word {
            let _ = client.queue(format!("{word}\r\n").as_bytes()).await;
        }
        client.shutdown().await;
    };
    let _ = tokio::time::timeout(PATIENCE, goodbye).await;
}

/// Takes what the tool has sent on off the socket: closing over it would make the network drop what the tool has not read yet, our last
/// word and what came before it.
pub(in crate::gateway) async fn linger(client: &mut Wire) {
    let rest = async {
        for _ in 0..PIECES {
            if client.piece(u64::MAX, |_| ()).await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, rest).await;
}
