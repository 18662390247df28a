//! HTTP in: decides the tenant and the caller, checks the contract, and hands the request to the engine.
//!
//! The node's HTTP server calls [`Gateway::handle`] for every request on a tenant's host. A request
//! passes, in this order: [`tenants`] (whose host is this), [`routes`] (does a contract declare it),
//! [`origin`] (is it a write from another site), [`callers`] (who asks, and for this tenant?), the
//! engine, and the meters. A link to a file carries its own permission, and passes the first only. It refuses whatever no contract declares, and never reads a tenant from
//! anything but the host name.

mod answer;
mod body;
mod callers;
mod gateway;
mod origin;
mod routes;
mod tally;
mod tenants;

pub use answer::problem_response;
pub use body::Body;
pub use callers::{SESSION_COOKIE, bearer_or_cookie};
pub use gateway::{Config, Files, Gateway, Parts, Streams};
pub use origin::cross_site;
pub use routes::{Canary, Deployed, Services, check_paths};
pub use tally::{Counts, Tally};
pub use tenants::{Resolved, TenantState, Tenants, host_label};
