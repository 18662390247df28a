//! Every limit and address of the edge, with its default. The binary reads it from `[edge]` of
//! `terrace.toml` and its own options; the library only takes it by value.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// What the edge may use and how long it waits. Names end in their unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where browsers connect: `127.0.0.1:8080`. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The node that answers `/api` and publishes the snapshot: `http://127.0.0.1:8081`.
    pub node: String,
    /// Where the last snapshot lives: `.terrace/edge`. Nobody else writes there.
    pub data_dir: PathBuf,
    /// Browsers reach the edge over TLS: adds HSTS and tells services `x-forwarded-proto: https`.
    pub secure: bool,
    /// The Content-Security-Policy of every site. The default has no inline script or style.
    pub content_security_policy: String,

    /// Between two looks at the node's snapshot: 1000.
    pub poll_ms: u64,
    /// The snapshot document: 16 MiB.
    pub snapshot_bytes_max: usize,
    /// One file of a build: 32 MiB.
    pub blob_bytes_max: usize,

    /// Open connections; further ones wait in the kernel's queue: 4096.
    pub connections_max: usize,
    /// Open connections of one peer (an IPv4 address, an IPv6 /64); further ones are closed at once:
    /// 512. Behind a proxy, which is one peer, set it to `connections_max`.
    pub connections_per_peer_max: usize,
    /// A whole request head must arrive within this; also the idle time of a kept connection: 20000.
    pub header_read_timeout_ms: u64,
    /// The request line and all headers together: 16 KiB. Over it: 431 `headers-too-large`.
    /// A head that is over four times this is refused by the HTTP parser, with a bare 431.
    pub header_bytes_max: usize,
    /// A request body: 64 MiB, so that a release fits; services have lower limits of their own. Over it:
    /// 413 `body-too-large`.
    pub body_bytes_max: u64,
    /// A request body that stops arriving is given up after: 30000.
    pub body_idle_timeout_ms: u64,

    /// Requests of one host at the node at the same time: 256. Over it: 503 `service-overloaded`.
    pub forwards_per_host_max: usize,
    /// Event streams of one host at the same time; they do not count as forwards: 2048.
    pub streams_per_host_max: usize,
    /// Until the node sends the head of its answer: 120000. Streams have no limit after that.
    pub response_head_timeout_ms: u64,
    /// How long an API request may be held from the first failure of an outage on: 5000.
    pub hold_ms: u64,
    /// Held requests of one host: 64. A held request keeps its body unread in the client's socket,
    /// so it costs the edge its head and at most one read buffer (four times `header_bytes_max`).
    pub parked_per_host_max: usize,
    /// Held requests of all hosts together, which bounds their bytes: 1024.
    pub parked_max: usize,

    /// After a stop signal, requests in flight may take: 10000.
    pub drain_ms: u64,
}

/// No inline script or style, nothing from elsewhere, and no string may become code
/// (`require-trusted-types-for`; Svelte's templates bring their own policy).
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'";

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            node: "http://127.0.0.1:8081".to_owned(),
            data_dir: PathBuf::from(".terrace/edge"),
            secure: false,
            content_security_policy: CONTENT_SECURITY_POLICY.to_owned(),
            poll_ms: 1_000,
            snapshot_bytes_max: 16 << 20,
            blob_bytes_max: 32 << 20,
            connections_max: 4_096,
            connections_per_peer_max: 512,
            header_read_timeout_ms: 20_000,
            header_bytes_max: 16 << 10,
            body_bytes_max: 64 << 20,
            body_idle_timeout_ms: 30_000,
            forwards_per_host_max: 256,
            streams_per_host_max: 2_048,
            response_head_timeout_ms: 120_000,
            hold_ms: 5_000,
            parked_per_host_max: 64,
            parked_max: 1_024,
            drain_ms: 10_000,
        }
    }
}

impl Config {
    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    pub(crate) fn header_read_timeout(&self) -> Duration {
        Duration::from_millis(self.header_read_timeout_ms)
    }

    pub(crate) fn body_idle_timeout(&self) -> Duration {
        Duration::from_millis(self.body_idle_timeout_ms)
    }

    pub(crate) fn response_head_timeout(&self) -> Duration {
        Duration::from_millis(self.response_head_timeout_ms)
    }

    pub(crate) fn hold(&self) -> Duration {
        Duration::from_millis(self.hold_ms)
    }

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}
