//! The laws of the directory, over a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod archive;
mod builds;
mod canaries;
mod connections;
mod create;
mod delete;
mod figures;
mod installed;
mod operations;
mod releases;
mod relocate;
mod restore;
mod retention;
mod settings;
mod streams;
mod usage;
mod walk;
