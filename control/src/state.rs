//! What every request of the control plane shares.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use terrace_ground_token::Keys;
use tokio::sync::{Semaphore, watch};

use crate::{Config, Platform, attempts::Attempts};

/// What every request shares. Cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    config: Config,
    platform: Arc<dyn Platform>,
    keys: Keys,
    operator_token_sha256: Option<[u8; 32]>,
    attempts: Attempts,
    sign_ins: Arc<Semaphore>,
    sign_ins_waiting: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    closing: watch::Sender<bool>,
}

impl State {
    /// `keys` sign and verify operators' sessions. `operator_token` is the long-lived token of the
    /// command line (`op_` and 43 characters), of which only the hash is kept; without it only
    /// sessions are accepted.
    pub fn new(config: Config, platform: Arc<dyn Platform>, keys: Keys, operator_token: Option<&str>) -> Self {
        Self(Arc::new(Inner {
            platform,
            keys,
            operator_token_sha256: operator_token.map(sha256),
            attempts: Attempts::default(),
            sign_ins: Arc::new(Semaphore::new(config.sign_ins_at_once)),
            sign_ins_waiting: Arc::new(Semaphore::new(config.sign_ins_waiting_max)),
            uploads: Arc::new(Semaphore::new(config.uploads_at_once)),
            streams: Arc::new(Semaphore::new(config.streams_max)),
            closing: watch::Sender::new(false),
            config,
        }))
    }

    /// Ends the live streams with a `bye`, so that a graceful shutdown need not wait for them.
    pub fn close(&self) {
        self.0.closing.send_replace(true);
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn platform(&self) -> &dyn Platform {
        self.0.platform.as_ref()
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// Compared as hashes and in constant time: the time of the answer tells nothing about the token.
    pub(crate) fn is_operator_token(&self, token: &str) -> bool {
        self.0
            .operator_token_sha256
            .is_some_and(|expected| expected.ct_eq(&sha256(token)).into())
    }

    pub(crate) fn attempts(&self) -> &Attempts {
        &self.0.attempts
    }

    pub(crate) fn sign_ins(&self) -> (&Arc<Semaphore>, &Arc<Semaphore>) {
        (&self.0.sign_ins_waiting, &self.0.sign_ins)
    }

    pub(crate) fn uploads(&self) -> &Arc<Semaphore> {
        &self.0.uploads
    }

    pub(crate) fn streams(&self) -> &Arc<Semaphore> {
        &self.0.streams
    }

    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.0.closing.subscribe()
    }
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
