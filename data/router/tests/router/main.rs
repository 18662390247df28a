//! The router over a real PostgreSQL: values, flights, and the fences one by one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fences;
mod flights;
mod house;
mod values;
