//! From a name to addresses. Nothing is remembered: an address is good for the one connection that it
//! is checked and dialled for.

use std::{io, net::IpAddr, sync::Arc};

use async_trait::async_trait;

use crate::quota::Place;

/// Looks names up. The platform uses [`System`]; tests say what they like.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// All addresses of a name. Called once for each connection that is opened to a name, never for an
    /// address. `place` is given back when the work has ended, also when nobody waits for it any more.
    ///
    /// # Errors
    /// There is no such name, or nobody knows.
    async fn resolve(&self, name: &str, place: Place) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

#[async_trait]
impl Resolver for System {
    async fn resolve(&self, name: &str, place: Place) -> io::Result<Vec<IpAddr>> {
        let name: Arc<str> = name.into();
        // It cannot be interrupted. So its thread holds the place: names that never answer take the
        // threads that are meant for it, and no more.
        let looking = tokio::task::spawn_blocking(move || {
            let _place = place;
            std::net::ToSocketAddrs::to_socket_addrs(&(&*name, 0_u16))
                .map(|found| found.map(|address| address.ip()).collect())
        });
        looking.await.map_err(io::Error::other)?
    }
}
