//! Finds, starts and supervises a private PostgreSQL.
//!
//! `terrace-up` calls it, so that a newcomer needs no database of their own: it makes a cluster once,
//! runs `postgres` as a child on a unix socket, and stops it cleanly. It refuses to listen on the
//! network and to download anything.

mod cluster;
mod config;
mod error;
mod find;
mod identity;
mod place;
mod server;
#[cfg(feature = "testing")]
pub mod testing;

pub use config::{Config, Connection};
pub use error::Error;
pub use server::Postgres;

/// Told what is being done, one short line at a time.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);
