//! The router over a real PostgreSQL: values, flights, and the fences one by one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../guard/tests/corpus/mod.rs"]
mod corpus;

mod catalogue;
mod copies;
mod failover;
mod fences;
mod flights;
mod gate;
mod house;
mod openings;
mod parts;
mod priorities;
mod statements;
mod values;
