//! The presentation layer: serves sites from memory and forwards `/api` to the node.
//!
//! It needs nobody to serve. Sites, hosts and builds come from a snapshot on its own disk; the node
//! is asked for a newer one, never waited for. It knows no crate of the layers behind it and speaks
//! to them over HTTP only. It does not decide who may do what, and it reads no token.

mod answers;
mod body;
mod config;
mod encode;
mod first_bytes;
mod forward;
mod hygiene;
mod manifest;
mod node;
mod peers;
mod replica;
mod server;
mod snapshot;
mod store;

pub use config::Config;
pub use server::Edge;

use std::{io, net::SocketAddr, path::PathBuf};

/// Why the edge cannot start. After the start nothing is fatal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node's address is not a plain HTTP origin.
    #[error("`{address}` is not a node's address: expected http://host:port")]
    Node {
        /// What was configured.
        address: String,
    },
    /// The address to listen on is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was configured.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The data directory cannot be created or read.
    #[error("cannot use the data directory {}: {source}", path.display())]
    DataDir {
        /// What was configured.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}
