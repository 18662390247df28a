//! The blueprint's sentences, each as a test that goes red when it stops being true.
//!
//! `graph` and `house` read the source; the others start a whole Terrace.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and says where")]

mod bad_input;
mod clusters;
mod compute;
mod conformity;
mod database;
mod durability;
mod egress;
mod files;
mod graph;
mod house;
mod javascript;
mod killed;
mod lifecycle;
mod locks;
mod presentation;
mod preview3;
mod privacy;
mod release_crashes;
mod release_store;
mod releases;
mod schedule;
mod sql;
mod stage;
mod standards;
mod streams;
mod usage;
mod wait;
