//! One connection in one hand.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    backend::{Backend, State},
    connect,
    pool::LanePool,
    route::Route,
    turnstile::{InHand, Turn},
};

/// How long a dropped transaction may take to roll back before its connection is destroyed.
const ROLLBACK_PATIENCE: Duration = Duration::from_secs(2);

/// One connection in one hand. Whatever happens to the hand, dropping the lease leaves no connection
/// of an unknown state in the pool: an open transaction is rolled back, a running statement is
/// cancelled and its connection destroyed.
pub(crate) struct Lease {
    backend: Option<Backend>,
    in_hand: Option<InHand>,
    /// The lane's permit and the tenant's turn: both end when the connection is settled.
    rights: Option<(OwnedSemaphorePermit, Turn)>,
    pool: Arc<LanePool>,
    /// Opened for this lease: its death is no stale connection.
    pub(crate) is_new: bool,
}

impl Lease {
    /// Of a connection that the pool of this route counts.
    pub(crate) fn new(backend: Backend, route: &Route, is_new: bool) -> Self {
        Self {
            backend: Some(backend),
            in_hand: Some(route.turnstile.take_in_hand()),
            rights: None,
            pool: Arc::clone(&route.pool),
            is_new,
        }
    }

    /// The same, for whoever holds this permit, and has this turn.
    pub(crate) fn with(mut self, permit: OwnedSemaphorePermit, turn: &Turn) -> Self {
        self.rights = Some((permit, turn.clone()));
        self
    }

    /// Takes the connection out again: it is still counted.
    pub(crate) fn into_backend(mut self) -> Option<Backend> {
        self.backend.take()
    }

    /// Closes the connection now, whatever its state.
    pub(crate) fn destroy(mut self) {
        if let Some(backend) = &mut self.backend {
            backend.state = State::InFlight;
        }
    }
}

#[expect(clippy::expect_used, reason = "the backend is taken at the end only")]
impl Deref for Lease {
    type Target = Backend;
    fn deref(&self) -> &Backend {
        self.backend.as_ref().expect("a lease holds a backend")
    }
}

#[expect(clippy::expect_used, reason = "the backend is taken at the end only")]
impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Backend {
        self.backend.as_mut().expect("a lease holds a backend")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(mut backend), in_hand, rights) = (self.backend.take(), self.in_hand.take(), self.rights.take())
        else {
            return;
        };
        let pool = Arc::clone(&self.pool);
        pool.flights
            .fetch_add(std::mem::take(&mut backend.writes), Ordering::Relaxed);
        let runtime = pool.runtime.clone();
        match backend.state {
            State::Idle => {
                drop(in_hand);
                pool.give_back(backend);
            }
            // Who leaves something behind has the connection until it is settled.
            State::Open | State::Failed => drop(runtime.spawn(async move {
                let config = Arc::clone(&pool.config);
                let outcome = timeout(ROLLBACK_PATIENCE, backend.rollback(&config)).await;
                drop(in_hand);
                match outcome {
                    Ok(Ok(())) => pool.give_back(backend),
                    Ok(Err(_)) | Err(_) => pool.destroy(backend),
                }
                drop(rights);
            })),
            State::InFlight => drop(runtime.spawn(async move {
                connect::cancel(&backend.cancel).await;
                drop(in_hand);
                pool.destroy(backend);
                drop(rights);
            })),
        }
    }
}
