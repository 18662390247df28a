//! The memory itself: for each (tenant, service) its own entries, those used longest ago go first.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;
use serde::Deserialize;
use terrace_ground_ids::{ServiceName, TenantId};

/// Locks, so that tenants seldom meet at one.
const SHARDS: usize = 16;
/// What an entry costs besides its key and value: the map, the list, the allocations.
const OVERHEAD: usize = 160;
/// Longest key, in bytes. Said in the WIT file too.
const KEY_BYTES_MAX: usize = 256;
/// Largest value. Said in the WIT file too.
const VALUE_BYTES_MAX: usize = 65_536;
/// Longest life of an entry. Said in the WIT file too.
const TTL_MAX: Duration = Duration::from_secs(86_400);

/// Whose entries.
pub type Owner = (TenantId, ServiceName);

/// Settings of the cache: section `[cache]` of `terrace.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// All entries of a node, in MiB. Default 64.
    pub total_mib: usize,
    /// The entries of one (tenant, service), in KiB. Default 1,024.
    pub tenant_kib: usize,
    /// How many entries one (tenant, service) may have. Default 1,000.
    pub tenant_entries: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            total_mib: 64,
            tenant_kib: 1_024,
            tenant_entries: 1_000,
        }
    }
}

/// Why a value was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// Empty, or over 256 bytes.
    KeyLength,
    /// Over 65,536 bytes, or over all the room that there is.
    ValueTooLarge,
}

/// The entries of all tenants.
pub struct Store {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    shard_bytes_max: usize,
    space_bytes_max: usize,
    space_entries_max: usize,
}

/// Some tenants' entries. The tenant that used its own longest ago comes last.
struct Shard {
    spaces: LruCache<Owner, Space>,
    bytes: usize,
}

/// The entries of one (tenant, service).
struct Space {
    entries: LruCache<Box<str>, Entry>,
    bytes: usize,
}

struct Entry {
    value: Arc<[u8]>,
    until: Instant,
}

impl Store {
    /// An empty one.
    pub fn new(config: &Config) -> Self {
        let shard_bytes_max = (config.total_mib << 20) / SHARDS;
        Self {
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard {
                    spaces: LruCache::unbounded(),
                    bytes: 0,
                })
            }),
            hasher: RandomState::new(),
            shard_bytes_max,
            space_bytes_max: (config.tenant_kib << 10).min(shard_bytes_max),
            space_entries_max: config.tenant_entries,
        }
    }

    /// The value, unless it is gone.
    pub fn get(&self, owner: &Owner, key: &str, now: Instant) -> Option<Vec<u8>> {
        let mut shard = self.shard(owner);
        let space = shard.spaces.get_mut(owner)?;
        let entry = space.entries.get(key)?;
        if entry.until > now {
            let value = entry.value.clone();
            drop(shard);
            return Some(value.to_vec());
        }
        shard.remove(owner, key);
        None
    }

    /// Keeps a value for `ttl`, at the price of those of the same owner that were used longest ago.
    ///
    /// # Errors
    /// [`Error`]; what was there under the key stays.
    pub fn set(&self, owner: &Owner, key: &str, value: Vec<u8>, ttl: Duration, now: Instant) -> Result<(), Error> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Error::KeyLength);
        }
        let cost = cost(key, value.len());
        if value.len() > VALUE_BYTES_MAX || cost > self.space_bytes_max {
            return Err(Error::ValueTooLarge);
        }
        let mut shard = self.shard(owner);
        shard.remove(owner, key);
        if ttl.is_zero() || self.space_entries_max == 0 {
            return Ok(());
        }
        let entry = Entry {
            value: value.into(),
            until: now + ttl.min(TTL_MAX),
        };
        let space = shard.spaces.get_or_insert_mut(owner.clone(), || Space {
            entries: LruCache::unbounded(),
            bytes: 0,
        });
        space.entries.put(key.into(), entry);
        space.bytes += cost;
        let mut freed = 0;
        while space.bytes > self.space_bytes_max || space.entries.len() > self.space_entries_max {
            freed += space.pop();
        }
        shard.bytes = shard.bytes + cost - freed;
        while shard.bytes > self.shard_bytes_max && shard.pop() {}
        Ok(())
    }

    /// Forgets a value.
    pub fn delete(&self, owner: &Owner, key: &str) {
        self.shard(owner).remove(owner, key);
    }

    /// Forgets everything of a tenant that is gone.
    pub fn forget(&self, tenant: &TenantId) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let owned: Vec<Owner> = shard
                .spaces
                .iter()
                .filter(|(owner, _)| owner.0 == *tenant)
                .map(|(owner, _)| owner.clone())
                .collect();
            for owner in owned {
                if let Some(space) = shard.spaces.pop(&owner) {
                    shard.bytes -= space.bytes;
                }
            }
        }
    }

    /// Bytes that are kept, of all tenants.
    pub fn bytes(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).bytes)
            .sum()
    }

    fn shard(&self, owner: &Owner) -> MutexGuard<'_, Shard> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let at = self.hasher.hash_one(owner) as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn remove(&mut self, owner: &Owner, key: &str) {
        let Some(space) = self.spaces.get_mut(owner) else {
            return;
        };
        if let Some(entry) = space.entries.pop(key) {
            let cost = cost(key, entry.value.len());
            space.bytes -= cost;
            self.bytes -= cost;
        }
        if space.entries.is_empty() {
            self.spaces.pop(owner);
        }
    }

    /// Forgets one entry of the tenant that used its own longest ago. False when there is none.
    fn pop(&mut self) -> bool {
        let Some((owner, _)) = self.spaces.peek_lru() else {
            return false;
        };
        let owner = owner.clone();
        if let Some(space) = self.spaces.peek_mut(&owner) {
            self.bytes -= space.pop();
            if space.entries.is_empty() {
                self.spaces.pop(&owner);
            }
        }
        true
    }
}

impl Space {
    /// Forgets the entry that was used longest ago, and says what it cost.
    fn pop(&mut self) -> usize {
        let Some((key, entry)) = self.entries.pop_lru() else {
            return 0;
        };
        let cost = cost(&key, entry.value.len());
        self.bytes -= cost;
        cost
    }
}

fn cost(key: &str, value: usize) -> usize {
    key.len() + value + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn owner() -> Owner {
        (TenantId::random(), "tasks".parse().unwrap())
    }

    fn store(total_mib: usize, tenant_kib: usize, tenant_entries: usize) -> Store {
        Store::new(&Config {
            total_mib,
            tenant_kib,
            tenant_entries,
        })
    }

    #[test]
    fn a_value_is_its_own_tenants_and_services_alone() {
        let (store, now, acme, globex) = (store(64, 1_024, 10), Instant::now(), owner(), owner());
        let other_service = (acme.0.clone(), "billing".parse().unwrap());
        store.set(&acme, "k", b"acme".to_vec(), HOUR, now).unwrap();
        assert_eq!(store.get(&acme, "k", now), Some(b"acme".to_vec()));
        assert_eq!(store.get(&globex, "k", now), None);
        assert_eq!(store.get(&other_service, "k", now), None);
        store.delete(&globex, "k");
        store.set(&other_service, "k", b"billing".to_vec(), HOUR, now).unwrap();
        assert_eq!(store.get(&acme, "k", now), Some(b"acme".to_vec()));
        store.forget(&acme.0);
        assert_eq!((store.get(&acme, "k", now), store.bytes()), (None, 0));
    }

    #[test]
    fn a_value_is_gone_when_its_time_has_come_and_when_it_was_deleted() {
        let (store, now, acme) = (store(64, 1_024, 10), Instant::now(), owner());
        store.set(&acme, "k", vec![1], Duration::from_secs(5), now).unwrap();
        assert!(store.get(&acme, "k", now + Duration::from_millis(4_999)).is_some());
        assert_eq!(store.get(&acme, "k", now + Duration::from_secs(5)), None);
        store.set(&acme, "k", vec![1], HOUR * 48, now).unwrap();
        assert_eq!(store.get(&acme, "k", now + HOUR * 24), None, "no longer than a day");
        store.set(&acme, "k", vec![1], HOUR, now).unwrap();
        store.set(&acme, "k", vec![2], Duration::ZERO, now).unwrap();
        assert_eq!(store.get(&acme, "k", now), None);
        assert_eq!(store.bytes(), 0);
    }

    #[test]
    fn a_tenant_has_so_many_entries_and_bytes_and_loses_its_own_oldest() {
        let (store, now, acme, globex) = (store(64, 1, 3), Instant::now(), owner(), owner());
        store.set(&globex, "k", vec![0], HOUR, now).unwrap();
        for key in ["a", "b", "c"] {
            store.set(&acme, key, vec![0], HOUR, now).unwrap();
        }
        assert!(store.get(&acme, "a", now).is_some());
        store.set(&acme, "d", vec![0], HOUR, now).unwrap();
        assert!(store.get(&acme, "a", now).is_some(), "it was used last");
        assert_eq!(store.get(&acme, "b", now), None);
        // 1 KiB holds one of 700 bytes.
        store.set(&acme, "large", vec![0; 700], HOUR, now).unwrap();
        store.set(&acme, "larger", vec![0; 701], HOUR, now).unwrap();
        assert_eq!(store.get(&acme, "large", now), None);
        assert_eq!(
            store.set(&acme, "k", vec![0; 1_024], HOUR, now),
            Err(Error::ValueTooLarge)
        );
        assert_eq!(store.set(&acme, "", vec![], HOUR, now), Err(Error::KeyLength));
        assert_eq!(
            store.set(&acme, &"k".repeat(257), vec![], HOUR, now),
            Err(Error::KeyLength)
        );
        assert!(store.get(&globex, "k", now).is_some(), "a neighbour pays nothing");
    }

    #[test]
    fn all_tenants_together_stay_within_the_nodes_room() {
        let (store, now) = (store(1, 1_024, 1_000), Instant::now());
        let owners: Vec<Owner> = (0..200).map(|_| owner()).collect();
        for owner in &owners {
            for key in 0..10 {
                store.set(owner, &key.to_string(), vec![0; 4_096], HOUR, now).unwrap();
            }
            assert!(store.bytes() <= 1 << 20, "{}", store.bytes());
        }
        let last = owners.last().unwrap();
        assert!(store.get(last, "9", now).is_some());
        assert_eq!(
            store.get(&owners[0], "0", now),
            None,
            "who used it longest ago loses it first"
        );
    }
}
