//! The edge over real HTTP, against a node that is made up here: the edge's contract is HTTP.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod browser;
mod forwarding;
mod limits;
mod node;
mod sites;

use std::{path::Path, time::Duration};

use terrace_edge::{Config, Edge};

/// Settings that make a test quick without changing what it proves.
fn config(node: &node::Node, data_dir: &Path) -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        node: node.address(),
        data_dir: data_dir.to_owned(),
        poll_ms: 20,
        ..Config::default()
    }
}

/// An edge that has taken over what the node publishes.
async fn edge(config: Config) -> Edge {
    let edge = Edge::start(config).await.unwrap();
    until("the first snapshot is served", async || {
        browser::health(&edge).await["status"] == "serving"
    })
    .await;
    edge
}

/// Waits for a condition. Ten seconds of waiting are a failure.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain until {what}");
}
