//! Instances that wait for another request of their own tenant.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use terrace_ground_ids::{ReleaseId, TenantId};

/// What an instance belongs to, for life.
pub(crate) type Key = (TenantId, ReleaseId);

/// The idle instances of one thread, or of two: of one that runs guests alone and of one where requests
/// arrive; and of the tenants at home there, where guests take turns. Others take the lock for figures only.
pub(crate) struct Idle<T> {
    state: Mutex<State<T>>,
    max: usize,
    per_key_max: usize,
}

struct State<T> {
    /// Oldest first within a key.
    by_key: HashMap<Key, Vec<(Instant, T)>>,
    count: usize,
}

impl<T> Idle<T> {
    pub(crate) fn new(max: usize, per_key_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                by_key: HashMap::new(),
                count: 0,
            }),
            max,
            per_key_max,
        }
    }

    /// The instance of this tenant and release that was used last: its memory is warmest.
    pub(crate) fn take(&self, key: &Key) -> Option<T> {
        let mut state = self.state();
        let kept = state.by_key.get_mut(key)?;
        let (_, instance) = kept.pop()?;
        if kept.is_empty() {
            state.by_key.remove(key);
        }
        state.count -= 1;
        Some(instance)
    }

    /// Keeps an instance, perhaps in place of the one that waits longest. What is not kept is
    /// returned, to be dropped outside the lock.
    pub(crate) fn put(&self, key: Key, instance: T) -> Option<T> {
        let mut state = self.state();
        let kept = state.by_key.entry(key).or_default();
        if kept.len() >= self.per_key_max {
            return Some(instance);
        }
        kept.push((Instant::now(), instance));
        state.count += 1;
        if state.count > self.max { state.oldest() } else { None }
    }

    /// Gives up the instance that waits longest, to make room for another.
    pub(crate) fn evict(&self) -> Option<T> {
        self.state().oldest()
    }

    /// Takes out all that have waited longer than `age`.
    pub(crate) fn expire(&self, age: Duration) -> Vec<T> {
        let now = Instant::now();
        let mut expired = Vec::new();
        let mut state = self.state();
        state.by_key.retain(|_, kept| {
            let old = kept.partition_point(|(since, _)| now.duration_since(*since) >= age);
            expired.extend(kept.drain(..old).map(|(_, instance)| instance));
            !kept.is_empty()
        });
        state.count -= expired.len();
        expired
    }

    /// Takes out all that belong to a release, whoever's they are.
    pub(crate) fn take_release(&self, release: &ReleaseId) -> Vec<T> {
        let mut state = self.state();
        let mut taken = Vec::new();
        state.by_key.retain(|(_, of), kept| {
            if of == release {
                taken.extend(kept.drain(..).map(|(_, instance)| instance));
            }
            !kept.is_empty()
        });
        state.count -= taken.len();
        taken
    }

    pub(crate) fn len(&self) -> usize {
        self.state().count
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn oldest(&mut self) -> Option<T> {
        let (key, _) = self
            .by_key
            .iter()
            .filter_map(|(key, kept)| Some((key, kept.first()?.0)))
            .min_by_key(|(_, since)| *since)?;
        let key = key.clone();
        let kept = self.by_key.get_mut(&key)?;
        let (_, instance) = kept.remove(0);
        if kept.is_empty() {
            self.by_key.remove(&key);
        }
        self.count -= 1;
        Some(instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_given_to_its_own_tenant_only() {
        let idle = Idle::new(8, 8);
        let release = ReleaseId::random();
        let (a, b) = ((TenantId::random(), release.clone()), (TenantId::random(), release));
        assert_eq!(idle.put(a.clone(), 1), None);
        assert_eq!(idle.take(&b), None);
        assert_eq!(idle.take(&a), Some(1));
        assert_eq!((idle.take(&a), idle.len()), (None, 0));
    }

    #[test]
    fn a_release_leaves_with_all_its_instances_and_with_no_other() {
        let idle = Idle::new(8, 8);
        let (old, new) = (ReleaseId::random(), ReleaseId::random());
        for (number, release) in [&old, &new, &old].into_iter().enumerate() {
            assert_eq!(idle.put((TenantId::random(), release.clone()), number), None);
        }
        let mut taken = idle.take_release(&old);
        taken.sort_unstable();
        assert_eq!((taken, idle.len()), (vec![0, 2], 1));
    }

    #[test]
    fn the_longest_idle_makes_room() {
        let idle = Idle::new(2, 2);
        let keys: Vec<Key> = (0..3).map(|_| (TenantId::random(), ReleaseId::random())).collect();
        assert_eq!(idle.put(keys[0].clone(), 0), None);
        assert_eq!(idle.put(keys[1].clone(), 1), None);
        assert_eq!(idle.put(keys[2].clone(), 2), Some(0));
        assert_eq!(idle.evict(), Some(1));
        assert_eq!(idle.expire(Duration::ZERO), [2]);
        assert_eq!(idle.len(), 0);
    }
}
