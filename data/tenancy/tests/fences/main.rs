//! The fences between two tenants, each with the other two removed, on a directory as it is installed.
//!
//! | fence | alone in | goes red when |
//! |---|---|---|
//! | roles | `roles.rs` | a grant is too wide, `hardening.sql` forgets a function, the lane inherits |
//! | guard | `guard.rs` | an attack is let through, or a name is not bound to the sender's schema |
//! | tags | `data/router/tests/router/fences.rs` | a command tag is not read, or a backend lives on after a wrong one |
//!
//! What a fence cannot hold alone is in `alone/*.txt`, by trick, and asserted: a line that comes or goes
//! is seen. `managed.rs` runs the same on a database whose built-in functions cannot be revoked.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../guard/tests/corpus/mod.rs"]
mod corpus;
#[path = "../../../guard/tests/corpus/wire.rs"]
mod wire;

mod guard;
mod managed;
mod roles;
mod street;
