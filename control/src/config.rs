//! What an operator can change about the control plane's API.

use serde::Deserialize;

/// Limits of the control plane's API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long an operator stays signed in, in seconds. Default: 43200 (12 hours).
    pub session_seconds: u32,
    /// Passwords that are checked at the same time; each takes 19 MiB and some 20 ms of one core.
    /// Default: 2.
    pub sign_ins_at_once: usize,
    /// Sign-ins that may wait for their turn; a further one is told to come back. Default: 32.
    pub sign_ins_waiting_max: usize,
    /// Largest body of an ordinary request, in KiB. Default: 64.
    pub body_max_kib: usize,
    /// Largest body of a release or a build, in MiB. Default: 64.
    pub upload_max_mib: usize,
    /// Uploads that are received at the same time: each is held in memory. Default: 2.
    pub uploads_at_once: usize,
    /// How long an upload may take to arrive, in seconds. Default: 600.
    pub upload_seconds_max: u64,
    /// Live streams of meters at the same time. Default: 32.
    pub streams_max: usize,
    /// How long a live stream lasts before the client is asked to come back, in seconds. Default: 600.
    pub stream_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            session_seconds: 12 * 60 * 60,
            sign_ins_at_once: 2,
            sign_ins_waiting_max: 32,
            body_max_kib: 64,
            upload_max_mib: 64,
            uploads_at_once: 2,
            upload_seconds_max: 600,
            streams_max: 32,
            stream_seconds: 600,
        }
    }
}
