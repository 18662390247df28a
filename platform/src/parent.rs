//! Ending with the process that started this one.

use tokio::io::AsyncReadExt;

/// Returns when standard input reaches its end: the supervisor holds the other end of that pipe, so
/// it ends when the supervisor does, however it died. No signal and no polling are needed.
pub async fn gone() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0_u8; 64];
    while let Ok(read) = input.read(&mut buffer).await {
        if read == 0 {
            return;
        }
    }
}

/// Returns at Ctrl-C or SIGTERM.
pub async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
