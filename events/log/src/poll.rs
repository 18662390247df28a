//! Notices what other nodes committed: asks the log for the ends of all watched streams, in one query.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use tracing::warn;

use crate::{Bell, Log};

/// How often to ask.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Milliseconds between two polls. It bounds how late an event of another node is. Default 250.
    pub poll_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { poll_ms: 250 }
    }
}

/// Rings the bell for every watched tenant, for ever. Run it once per node, as a task. While the log
/// is away it keeps asking, and complains once.
pub async fn poll(log: Arc<dyn Log>, bell: Bell, config: Config) {
    let mut ticks = tokio::time::interval(Duration::from_millis(config.poll_ms.max(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut away = false;
    loop {
        ticks.tick().await;
        let watched = bell.watched();
        if watched.is_empty() {
            continue;
        }
        match log.heads(&watched).await {
            Ok(heads) => {
                away = false;
                heads.iter().for_each(|(tenant, seq)| bell.ring(tenant, *seq));
            }
            Err(error) if !away => {
                away = true;
                warn!(%error, "Cannot poll the event log; trying again every {} ms", config.poll_ms);
            }
            Err(_) => {}
        }
    }
}
