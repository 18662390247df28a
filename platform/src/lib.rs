//! Composition: the only crate that names every layer.
//!
//! [`node`] puts one node together on one screen; [`up`] starts a database, a node and an edge and
//! watches them. Everything they are made of lives elsewhere.

pub mod config;
pub mod node;
pub mod parent;
pub mod secrets;
pub mod up;
