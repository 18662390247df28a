//! The laws of the directory, over a real PostgreSQL.

mod builds;
mod create;
mod delete;
mod installed;
mod releases;
mod streams;
