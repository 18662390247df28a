//! What a host interface must be to be granted to a service, and what it finds when it is called.
//!
//! A capability is one WIT interface, implemented in one small crate of `capabilities/`. The engine
//! links it into a release only when the manifest lists it. While a guest runs, the capability's
//! functions get a [`Guest`]: who asks ([`Invocation`]), what the release may do ([`Release`]), and
//! a place for state that ends with the request ([`Guest::slot`]).
//!
//! This crate knows no capability and no engine; it is what the two agree on.

mod egress;
mod guest;
mod invocation;
mod limits;
mod logs;
mod memory;
pub mod request;
mod shared;
mod tables;
mod usage;

pub use egress::{Asked, Egress, Ended, Outgoing, Refusal, Sending};
pub use guest::{Guest, Release};
pub use invocation::{Caller, Invocation, TenantFacts};
pub use limits::{Isolation, Limits};
pub use logs::{Level, LogLine, Logs};
pub use memory::Memory;
pub use shared::Shared;
pub use tables::{OwnTables, Tables, Unavailable};
pub use usage::{Account, Accounts, Usage, Used};

use wasmtime::component::Linker;

/// A host interface that a service can be granted.
///
/// Its `Host` trait (from `wasmtime::component::bindgen!`) is implemented for [`Guest`]; what all
/// requests share (a router, a key) is put into [`Shared`] and read back by type.
pub trait Capability: Send + Sync + 'static {
    /// The word in the manifest: `sql`. Constant; called when a release is loaded.
    fn name(&self) -> &'static str;

    /// The interfaces it provides, without their version: `terrace:platform/sql`. Called when a
    /// release is loaded, also when it does not list this capability: the error for an import that
    /// was not granted names the capability to list.
    fn interfaces(&self) -> &'static [&'static str];

    /// Adds the interfaces. Called once per load of a release that lists the capability, never per
    /// request.
    ///
    /// # Errors
    /// When an interface is there already.
    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()>;

    /// Leaves what its host functions need, and finds there what the manifest grants it. Called once per
    /// load, right after [`Capability::link`].
    fn share(&self, shared: &mut Shared) {
        let _ = shared;
    }
}
