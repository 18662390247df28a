//! The in-process wake-up: whoever commits an event rings, whoever waits for one listens.
//!
//! A ring carries the stream's new end, never the event: a reader that missed ten rings reads once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use terrace_ground_ids::TenantId;
use tokio::sync::{Notify, watch};

/// Wakes the readers of a tenant's stream. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Bell {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Only tenants with listeners: a tenant without one costs nothing.
    heads: Mutex<HashMap<TenantId, watch::Sender<u64>>>,
    /// Tenants that rang since [`Bell::rung`] was last answered.
    rung: Mutex<BTreeSet<TenantId>>,
    any: Notify,
}

impl Bell {
    /// A bell that nobody listens to yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that the stream of `tenant` reaches `seq` now. Called after each commit with events; an
    /// older number than the last one changes nothing.
    pub fn ring(&self, tenant: &TenantId, seq: u64) {
        if let Some(head) = lock(&self.inner.heads).get(tenant) {
            head.send_if_modified(|known| {
                let newer = *known < seq;
                *known = (*known).max(seq);
                newer
            });
        }
        lock(&self.inner.rung).insert(tenant.clone());
        self.inner.any.notify_one();
    }

    /// Listens to one tenant until the listener is dropped.
    pub fn subscribe(&self, tenant: &TenantId) -> Listener {
        let receiver = lock(&self.inner.heads)
            .entry(tenant.clone())
            .or_insert_with(|| watch::Sender::new(0))
            .subscribe();
        Listener {
            receiver: Some(receiver),
            tenant: tenant.clone(),
            inner: self.inner.clone(),
        }
    }

    /// Waits until any tenant rang, and returns all that rang since the last answer. For one waiter:
    /// the dispatcher.
    pub async fn rung(&self) -> BTreeSet<TenantId> {
        loop {
            let waiting = self.inner.any.notified();
            let rung = std::mem::take(&mut *lock(&self.inner.rung));
            if !rung.is_empty() {
                return rung;
            }
            waiting.await;
        }
    }

    /// The tenants that somebody listens to. The poller asks the log about these.
    pub fn watched(&self) -> Vec<TenantId> {
        lock(&self.inner.heads).keys().cloned().collect()
    }
}

/// One reader's ear for one tenant.
#[derive(Debug)]
pub struct Listener {
    receiver: Option<watch::Receiver<u64>>,
    tenant: TenantId,
    inner: Arc<Inner>,
}

impl Listener {
    /// The newest end that was rung since the first listener came; 0 for none.
    pub fn head(&self) -> u64 {
        self.receiver.as_ref().map_or(0, |receiver| *receiver.borrow())
    }

    /// Waits for a ring past `seq`; returns at once when there was one already. Cancel-safe.
    pub async fn past(&mut self, seq: u64) {
        match &mut self.receiver {
            // The sender lives as long as the entry, and the entry as long as a listener does.
            Some(receiver) => {
                if receiver.wait_for(|head| *head > seq).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            None => std::future::pending().await,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut heads = lock(&self.inner.heads);
        self.receiver = None;
        if heads.get(&self.tenant).is_some_and(|head| head.receiver_count() == 0) {
            heads.remove(&self.tenant);
        }
    }
}

/// A panic while a set was held leaves it whole: nothing here can stop half way.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ring_before_the_wait_is_not_lost() {
        let (bell, tenant) = (Bell::new(), TenantId::random());
        let mut listener = bell.subscribe(&tenant);
        bell.ring(&tenant, 5);
        bell.ring(&tenant, 3);
        listener.past(4).await;
        assert_eq!(bell.rung().await.into_iter().collect::<Vec<_>>(), vec![tenant]);
    }

    #[test]
    fn a_tenant_without_listeners_leaves_nothing_behind() {
        let (bell, tenant) = (Bell::new(), TenantId::random());
        let (one, two) = (bell.subscribe(&tenant), bell.subscribe(&tenant));
        drop(one);
        assert_eq!(bell.watched().len(), 1);
        drop(two);
        assert!(bell.watched().is_empty());
    }
}
