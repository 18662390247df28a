//! How fast the bodies of a tenant's responses leave, all of them together. Asked by `Outbound` for each
//! piece of a long body.
//!
//! A body that flows as fast as it is read costs the processor on its way: here, in the edge, in the network.
//! None of that is the guest's CPU time, so a tenant that streams without end from many requests would
//! take what others need, within all of its limits. It waits instead. Nothing fails for it: the limits on
//! bodies and on wall time do.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use terrace_compute_capability::TenantFacts;
use terrace_ground_ids::TenantId;
use tokio::time::{Sleep, sleep};

/// Of each body, so much is not counted: most bodies are shorter, and cost no look at the clock.
const FREE_BYTES: u64 = 64 << 10;
/// What the shortest piece counts as: on its way it costs about as much as one of this length.
const PIECE_BYTES: u64 = 4 << 10;
/// What a tenant may send at once after it has been quiet, as a part of what it may send in a second.
const AT_ONCE: f64 = 0.25;
/// A shorter wait is not worth a timer.
const WAIT_MIN: Duration = Duration::from_millis(1);
/// Tenants that are remembered before those are forgotten that owe nothing.
const REMEMBERED: usize = 1_024;

/// Those of all tenants.
pub(crate) struct Flows {
    bytes_per_second: f64,
    /// When each tenant will have paid for what it has sent, at its rate.
    paid: Mutex<HashMap<TenantId, Instant>>,
}

impl Flows {
    /// With so many bytes a second for each tenant. None: as fast as they are read.
    pub(crate) fn new(bytes_per_second: u64) -> Option<Arc<Self>> {
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = bytes_per_second as f64;
        (bytes_per_second > 0).then(|| {
            Arc::new(Self {
                bytes_per_second: rate,
                paid: Mutex::default(),
            })
        })
    }

    /// How long this tenant has to wait now that it has sent `bytes` more.
    fn send(&self, tenant: &TenantId, bytes: u64, now: Instant) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let until = match paid.get_mut(tenant) {
            Some(until) => until,
            None => {
                if paid.len() >= REMEMBERED {
                    paid.retain(|_, until| *until > now);
                }
                paid.entry(tenant.clone()).or_insert(now)
            }
        };
        *until = (*until).max(now) + takes;
        until
            .saturating_duration_since(now)
            .saturating_sub(Duration::from_secs_f64(AT_ONCE))
    }
}

/// That of one body.
pub(crate) struct Flow {
    all: Arc<Flows>,
    tenant: Arc<TenantFacts>,
    free: u64,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Flow {
    pub(crate) fn new(all: Arc<Flows>, tenant: Arc<TenantFacts>) -> Self {
        Self {
            all,
            tenant,
            free: FREE_BYTES,
            pause: None,
        }
    }

    /// Ready when the next piece may leave.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        Poll::Ready(())
    }

    /// A piece has left.
    pub(crate) fn sent(&mut self, bytes: u64) {
        let bytes = bytes.max(PIECE_BYTES);
        let counted = bytes.saturating_sub(self.free);
        self.free -= bytes - counted;
        if counted == 0 {
            return;
        }
        let wait = self.all.send(&self.tenant.id, counted, Instant::now());
        if wait >= WAIT_MIN {
            self.pause = Some(Box::pin(sleep(wait)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_tenant_that_sends_more_than_its_share_waits_and_nobody_else_does() {
        let flows = Flows::new(1_000).unwrap();
        let (greedy, modest) = (TenantId::random(), TenantId::random());
        let now = Instant::now();
        assert_eq!(
            flows.send(&greedy, 250, now),
            Duration::ZERO,
            "what it may send at once"
        );
        assert_eq!(flows.send(&greedy, 1_000, now), SECOND);
        assert_eq!(
            flows.send(&greedy, 1_000, now + SECOND),
            SECOND,
            "its rate from then on"
        );
        assert_eq!(flows.send(&modest, 250, now), Duration::ZERO);
        assert_eq!(flows.send(&greedy, 250, now + 10 * SECOND), Duration::ZERO, "rested");
    }

    #[tokio::test]
    async fn a_piece_counts_as_what_it_costs_also_when_it_is_empty() {
        let flows = Flows::new(PIECE_BYTES).unwrap();
        let tenant = TenantFacts {
            id: TenantId::random(),
            slug: "acme".parse().unwrap(),
            name: "Acme".to_owned(),
            plan: "free".to_owned(),
        };
        let mut flow = Flow::new(flows, Arc::new(tenant));
        (0..FREE_BYTES / PIECE_BYTES).for_each(|_| flow.sent(0));
        assert!(flow.pause.is_none(), "the first ones are free");
        flow.sent(1);
        assert!(flow.pause.is_some());
    }

    #[test]
    fn who_owes_nothing_is_forgotten() {
        let flows = Flows::new(1_000_000).unwrap();
        let now = Instant::now();
        for _ in 0..REMEMBERED {
            flows.send(&TenantId::random(), 1, now);
        }
        flows.send(&TenantId::random(), 1, now + SECOND);
        assert_eq!(flows.paid.lock().unwrap().len(), 1);
    }

    #[test]
    fn without_a_rate_there_is_nothing_to_ask() {
        assert!(Flows::new(0).is_none());
    }
}
