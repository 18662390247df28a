//! A whole Terrace in one test: PostgreSQL, node and edge as real processes on free ports.
//!
//! It starts the same `terrace-up` that `cargo dev` starts and speaks to the edge as a browser would.
//! `cargo verify` builds the programs and bundles first.

mod client;
mod terrace;

pub use client::{Answer, Client, Events, Session};
pub use terrace::{Options, Part, Terrace, bundles, program, tool};

/// Everybody's password in the demo.
pub const PASSWORD: &str = "terrace-demo-2026";
