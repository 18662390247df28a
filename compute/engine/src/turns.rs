//! Whose turn it is among the guests that compute for longer than a tick.
//!
//! A guest that used up its tick waits here for the next one. One fewer run at a time than there are
//! cores. The next turn is for the tenant whose turns took the least time until now, as in fair queueing: where all
//! want more than there is, a tenant with thirty loops gets no more than one with a few, and one whose turns are
//! short has many of them for each long one of another. Were it turn by turn, whoever needs more short turns a
//! second than the others end long ones would fall behind for ever.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use terrace_ground_ids::TenantId;
use tokio::{sync::oneshot, time::Instant};

/// With more tenants than this, beyond those that wait, the time of those that are not ahead is forgotten.
const USED_MAX: usize = 256;
/// No turn counts for more: the machine may have stood still meanwhile.
const CHARGE_MAX: Duration = Duration::from_secs(1);

/// The turns of all threads.
pub(crate) struct Turns {
    state: Mutex<State>,
    at_once: usize,
}

#[derive(Default)]
struct State {
    taken: usize,
    /// What the tenant had used that had the last turn: who comes anew begins there, and has no claim on the past.
    level: Duration,
    /// What a tenant has used. Below the level it does not count.
    used: HashMap<TenantId, Duration>,
    /// The tenants that wait, each once: what it had used when it was put here, and in the order of coming.
    order: BTreeSet<(Duration, u64, TenantId)>,
    waiting: HashMap<TenantId, VecDeque<oneshot::Sender<Turn>>>,
    /// How often one was put in order.
    number: u64,
}

impl State {
    fn used(&self, tenant: &TenantId) -> Duration {
        self.used.get(tenant).copied().unwrap_or_default().max(self.level)
    }

    /// One of this tenant waits.
    fn wait(&mut self, tenant: TenantId) -> oneshot::Receiver<Turn> {
        let (sender, waiter) = oneshot::channel();
        if let Some(queue) = self.waiting.get_mut(&tenant) {
            queue.push_back(sender);
        } else {
            self.waiting.insert(tenant.clone(), VecDeque::from([sender]));
            self.put_in_order(tenant);
        }
        waiter
    }

    fn put_in_order(&mut self, tenant: TenantId) {
        self.number += 1;
        self.order.insert((self.used(&tenant), self.number, tenant));
    }

    /// The first waiter of the tenant that has used the least.
    fn next(&mut self) -> Option<(TenantId, oneshot::Sender<Turn>)> {
        while let Some((used, _, tenant)) = self.order.pop_first() {
            if self.used(&tenant) > used {
                // A turn of its own ended meanwhile.
                self.put_in_order(tenant);
                continue;
            }
            self.level = used;
            let Some(queue) = self.waiting.get_mut(&tenant) else {
                continue;
            };
            let sender = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&tenant);
            } else {
                self.put_in_order(tenant.clone());
            }
            if let Some(sender) = sender {
                return Some((tenant, sender));
            }
        }
        None
    }

    fn charge(&mut self, tenant: &TenantId, took: Duration) {
        let used = self.used(tenant) + took;
        self.used.insert(tenant.clone(), used);
        if self.used.len() > USED_MAX + self.waiting.len() {
            let level = self.level;
            self.used.retain(|_, used| *used > level);
        }
    }
}

/// The right to compute until the end of the poll. Dropping it passes it on.
pub(crate) struct Turn(Option<Given>);

struct Given {
    turns: Arc<Turns>,
    tenant: TenantId,
    since: Instant,
}

impl Turn {
    /// Its time begins now. Until then its guest waited for the thread, which is not its doing.
    pub(crate) fn begins(&mut self) {
        if let Some(given) = &mut self.0 {
            given.since = Instant::now();
        }
    }

    fn new(turns: &Arc<Turns>, tenant: TenantId) -> Self {
        Self(Some(Given {
            turns: turns.clone(),
            tenant,
            since: Instant::now(),
        }))
    }
}

impl Turns {
    /// So many at a time, and at least one.
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            state: Mutex::default(),
            at_once: at_once.max(1),
        }
    }

    /// Waits for this tenant's turn.
    pub(crate) async fn take(self: Arc<Self>, tenant: TenantId) -> Option<Turn> {
        let waiter = {
            let mut state = self.state();
            if state.taken < self.at_once {
                state.taken += 1;
                // Nobody waits, so nobody is behind.
                state.level = state.used(&tenant);
                drop(state);
                return Some(Turn::new(&self, tenant));
            }
            state.wait(tenant)
        };
        waiter.await.ok()
    }

    /// Whether guests of this tenant wait for a turn. A new request of such a tenant waits with
    /// them, if its release is not known to be short, or a storm of fresh requests would always be first.
    pub(crate) fn is_waiting(&self, tenant: &TenantId) -> bool {
        self.state().waiting.contains_key(tenant)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next one, if somebody waits; else there is a turn for whoever comes.
    fn next(&self) -> Option<(TenantId, oneshot::Sender<Turn>)> {
        let mut state = self.state();
        let next = state.next();
        if next.is_none() {
            state.taken -= 1;
            if state.taken == 0 {
                // Nobody has been waiting for anybody: what was used is of no account.
                state.used.clear();
                state.level = Duration::ZERO;
            }
        }
        next
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(Given { turns, tenant, since }) = self.0.take() else {
            return;
        };
        turns.state().charge(&tenant, since.elapsed().min(CHARGE_MAX));
        while let Some((tenant, sender)) = turns.next() {
            match sender.send(Self::new(&turns, tenant)) {
                Ok(()) => return,
                // The waiter is gone. The turn that came back must not be passed on by its own drop,
                // inside this one: a queue of the departed would be a deep recursion.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// In which order they have turns who come while the first has one: a turn of the first takes so much, one of
    /// the others a millisecond.
    fn order(come: &[&'static str], first_takes: Duration) -> Vec<&'static str> {
        let (first, other) = (TenantId::random(), TenantId::random());
        let mut state = State::default();
        let waits: Vec<_> = come
            .iter()
            .map(|name| state.wait(if *name == "first" { first.clone() } else { other.clone() }))
            .collect();
        state.charge(&first, first_takes);
        let mut had = Vec::new();
        while let Some((tenant, _)) = state.next() {
            let (name, took) = if tenant == first {
                ("first", first_takes)
            } else {
                ("other", MILLISECOND)
            };
            had.push(name);
            state.charge(&tenant, took);
        }
        assert_eq!(had.len(), waits.len());
        had
    }

    #[test]
    fn tenants_alternate_however_many_guests_one_of_them_has() {
        let had = order(&["first", "first", "first", "other", "other"], MILLISECOND);
        assert_eq!(had, ["other", "first", "other", "first", "first"]);
    }

    /// Else whoever needs more short turns than others end long ones falls behind for ever.
    #[test]
    fn whose_turns_are_short_has_many_for_each_long_one() {
        let came = [&["first"; 2][..], &["other"; 6]].concat();
        let had = order(&came, 4 * MILLISECOND);
        let four = ["other"; 4];
        assert_eq!(had, [&four[..], &["first", "other", "other", "first"]].concat());
    }

    #[test]
    fn who_comes_anew_has_no_claim_on_the_past() {
        let (old, new) = (TenantId::random(), TenantId::random());
        let mut state = State::default();
        for _ in 0..10 {
            let _waits = state.wait(old.clone());
            state.charge(&old, 10 * MILLISECOND);
            assert!(state.next().is_some());
        }
        let _waits = [&new, &old, &new].map(|tenant| state.wait(tenant.clone()));
        let mut next = |took| {
            let (tenant, _) = state.next().unwrap();
            state.charge(&tenant, took);
            tenant
        };
        assert_eq!(next(25 * MILLISECOND), new);
        assert_eq!(
            next(MILLISECOND),
            old,
            "what the new one used counts from where the old one was"
        );
        assert_eq!(next(MILLISECOND), new);
    }

    #[tokio::test]
    async fn who_had_turns_while_nobody_waited_owes_nobody_for_them() {
        let turns = Arc::new(Turns::new(2));
        let (alone, new) = (TenantId::random(), TenantId::random());
        let mut turn = turns.clone().take(alone.clone()).await;
        // One overlaps the next, so that what was used is never forgotten.
        for _ in 0..10 {
            turns.state().charge(&alone, 10 * MILLISECOND);
            let next = turns.clone().take(alone.clone()).await;
            drop(turn);
            turn = next;
        }
        let other = turns.clone().take(new.clone()).await;
        let mut state = turns.state();
        let _waits = [&new, &alone, &new].map(|tenant| state.wait(tenant.clone()));
        let mut next = || {
            let (tenant, _) = state.next().unwrap();
            state.charge(&tenant, 20 * MILLISECOND);
            tenant
        };
        assert_eq!([next(), next(), next()], [new.clone(), alone, new]);
        drop(state);
        drop((turn, other));
    }

    #[test]
    fn only_those_who_wait_or_are_ahead_are_remembered() {
        let mut state = State::default();
        for _ in 0..10 * USED_MAX {
            let tenant = TenantId::random();
            let _waits = state.wait(tenant.clone());
            assert!(state.next().is_some());
            state.charge(&tenant, MILLISECOND);
            // Somebody always uses more than those that left.
            state.level += 2 * MILLISECOND;
        }
        assert!(state.used.len() <= USED_MAX + 1);
    }

    #[tokio::test]
    async fn a_waiter_that_went_away_does_not_keep_the_turn() {
        let turns = Arc::new(Turns::new(1));
        let tenant = TenantId::random();
        let first = turns.clone().take(tenant.clone()).await;
        let gone = tokio::spawn(turns.clone().take(tenant.clone()));
        tokio::task::yield_now().await;
        assert!(turns.is_waiting(&tenant));
        gone.abort();
        assert!(gone.await.is_err());
        drop(first);
        assert!(turns.clone().take(tenant).await.is_some());
        assert_eq!(Arc::strong_count(&turns), 1);
    }
}
