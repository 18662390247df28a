//! Runs services in a sandbox: compiles, pools, instantiates, and bounds.
//!
//! The gateway, the event dispatcher and calls between services hand an [`Invocation`] and an HTTP
//! request to [`Engine::handle`]; what comes back is a response that streams, or a [`Fault`]. A fault
//! costs the one request. An instance belongs to one tenant and one release for life; it serves one
//! request at a time, and one that trapped or passed a limit is never used again.
//!
//! A guest that is likely to be short runs where its request arrived; the others run on executors of
//! their own, one thread per core. Everywhere a loop yields every millisecond, and is charged for the CPU
//! time that it takes. After two of them it is moved to threads that stand back, and the tenant's next
//! requests to that release do not begin where requests arrive: what accepts, watches or times requests
//! shares its threads with no guest that computes.
//!
//! A component answers in preview 2 of WASI or in preview 3; which, its exports say. Everything above holds
//! for both.
//!
//! The engine knows neither tenants' data nor HTTP routes: capabilities are handed to it.

mod admission;
mod apart;
mod artefact;
mod body;
mod config;
mod engine;
mod engines;
mod executor;
mod fault;
mod flow;
mod idle;
mod instance;
mod link;
mod meter;
mod pool;
mod preview;
mod preview3;
mod release;
mod task;
mod ticker;
mod trap;
mod turns;

pub use body::{Body, BoxError};
pub use config::Config;
pub use engine::{Engine, Stats};
pub use fault::{Error, Fault};
pub use release::{Release, ReleaseSpec};
pub use terrace_compute_capability::{
    Account, Accounts, Capability, Invocation, Isolation, Limits, Logs, Shared, Usage,
};
