//! Keys for trying what happens when a part is away: typed with Enter while `cargo dev` runs.

use std::io::IsTerminal;

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::mpsc::{Receiver, channel},
};

/// What a person may ask for.
pub(crate) enum Key {
    /// Stop or start the node.
    Node,
    /// Stop or start the database.
    Database,
    /// End everything.
    Quit,
}

/// Reads keys from a terminal. With `until_end`, the end of standard input is [`Key::Quit`].
pub(crate) fn read(until_end: bool) -> Receiver<Key> {
    let (send, keys) = channel(4);
    let terminal = std::io::stdin().is_terminal();
    if !terminal && !until_end {
        // The sender must live on: a closed channel would be read as the end.
        std::mem::forget(send);
        return keys;
    }
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let key = match line.trim() {
                "n" => Key::Node,
                "d" => Key::Database,
                "q" => Key::Quit,
                _ => continue,
            };
            if send.send(key).await.is_err() {
                return;
            }
        }
        if until_end {
            let _ = send.send(Key::Quit).await;
        }
        std::future::pending::<()>().await;
    });
    keys
}
