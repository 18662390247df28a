//! Waiting for the thing itself, never for a while.

use std::time::Duration;

use tokio::time::Instant;

/// Asks again until `ready` gives a value, and fails with `what` after 30 seconds.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ready: impl FnMut() -> F) -> T {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = ready().await {
            return value;
        }
        assert!(Instant::now() < patience, "waited 30 s until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
