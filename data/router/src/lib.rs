//! One transaction in one tenant's schema: lanes, the one-flight protocol, tag checks.
//!
//! The only crate that opens a connection on behalf of a tenant. The `sql` and `events` capabilities
//! call it with a [`Principal`]; it asks the directory where that tenant lives ([`Placements`]), the
//! guard whether the statement may run, and then speaks PostgreSQL's protocol itself, because what it
//! needs no client library offers: `BEGIN; SET LOCAL ROLE; timeouts; statement; COMMIT` in one write,
//! every command tag read, and a connection destroyed the moment it says anything unexpected.
//!
//! It refuses to run anything outside a transaction under the principal's own role, and it never
//! gives a connection of one lane to a tenant of another.

mod backend;
mod codec;
mod config;
mod connect;
mod error;
mod export;
mod flight;
mod lease;
mod placement;
mod pool;
mod process;
mod route;
mod router;
mod sessions;
mod statements;
mod transaction;
mod turnstile;
mod value;

pub use config::Config;
pub use error::{Error, ErrorKind};
pub use export::{Copy, Export};
pub use placement::{Address, Cluster, Lane, Placement, Placements, Principal, Trusted};
pub use router::{LaneHealth, Router, TenantStats};
pub use statements::{StatementStats, Statements};
pub use transaction::{Savepoint, Scan, Transaction};
pub use value::{Rows, Value};

/// What everything here returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
