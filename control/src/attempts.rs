//! How many wrong passwords one peer may send, and how many of its sign-ins may wait at once: neither
//! guessing nor flooding from one place keeps an operator out.
//!
//! Kept in memory, per node: a window is short, and forgetting it at a restart gives a guesser little.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Wrong passwords of one peer in one window; then even the right one has to wait.
const WRONG_MAX: u32 = 20;
/// How long a window lasts, from its first wrong password on.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Sign-ins of one peer that are under way at once.
const UNDER_WAY_MAX: u32 = 4;
/// Peers that are remembered. With more, who is not known yet is refused until a window is over.
const PEERS_MAX: usize = 10_000;

/// Who tried what. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Attempts(Arc<Mutex<HashMap<String, Peer>>>);

struct Peer {
    since: Instant,
    wrong: u32,
    under_way: u32,
}

impl Peer {
    fn is_over(&self, now: Instant) -> bool {
        self.under_way == 0 && now.duration_since(self.since) >= WINDOW
    }
}

/// Why a sign-in may not go on, and for how long, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Flood,
    Guessing { wait_seconds: u32 },
}

/// One sign-in under way.
pub(crate) struct Attempt {
    attempts: Attempts,
    peer: String,
}

impl Attempts {
    /// Lets one sign-in of `peer` begin.
    pub(crate) fn begin(&self, peer: &str, now: Instant) -> Result<Attempt, Refused> {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS_MAX && !peers.contains_key(peer) {
            peers.retain(|_, peer| !peer.is_over(now));
            if peers.len() >= PEERS_MAX {
                return Err(Refused::Flood);
            }
        }
        let known = peers.entry(peer.to_owned()).or_insert(Peer {
            since: now,
            wrong: 0,
            under_way: 0,
        });
        let elapsed = now.duration_since(known.since);
        if elapsed >= WINDOW {
            (known.since, known.wrong) = (now, 0);
        } else if known.wrong >= WRONG_MAX {
            let wait = WINDOW.saturating_sub(elapsed).as_secs();
            return Err(Refused::Guessing {
                wait_seconds: u32::try_from(wait).unwrap_or(u32::MAX).max(1),
            });
        }
        if known.under_way >= UNDER_WAY_MAX {
            return Err(Refused::Flood);
        }
        known.under_way += 1;
        Ok(Attempt {
            attempts: self.clone(),
            peer: peer.to_owned(),
        })
    }
}

impl Attempt {
    /// The password was wrong.
    pub(crate) fn wrong(self) {
        self.change(|peer| peer.wrong += 1);
    }

    /// The password was right: its peer starts again.
    pub(crate) fn right(self) {
        self.change(|peer| peer.wrong = 0);
    }

    fn change(&self, change: impl FnOnce(&mut Peer)) {
        let mut peers = self.attempts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get_mut(&self.peer) {
            change(peer);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.change(|peer| peer.under_way = peer.under_way.saturating_sub(1));
        let mut peers = self.attempts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers
            .get(&self.peer)
            .is_some_and(|peer| peer.under_way == 0 && peer.wrong == 0)
        {
            peers.remove(&self.peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_guesses_waits_for_the_window_and_no_other_does() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        for _ in 0..WRONG_MAX {
            attempts.begin("192.0.2.1", start).ok().unwrap().wrong();
        }
        let later = start + Duration::from_secs(60);
        let refused = attempts.begin("192.0.2.1", later).err();
        assert_eq!(refused, Some(Refused::Guessing { wait_seconds: 14 * 60 }));
        assert!(attempts.begin("192.0.2.2", later).is_ok());
        assert!(attempts.begin("192.0.2.1", start + WINDOW).is_ok());
    }

    #[test]
    fn a_right_password_starts_the_count_again_and_leaves_nothing_behind() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..WRONG_MAX - 1 {
            attempts.begin("192.0.2.1", now).ok().unwrap().wrong();
        }
        attempts.begin("192.0.2.1", now).ok().unwrap().right();
        assert!(attempts.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_peer_that_floods_takes_few_seats_and_gives_them_back() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let held: Vec<_> = (0..UNDER_WAY_MAX)
            .map(|_| attempts.begin("192.0.2.1", now).ok().unwrap())
            .collect();
        assert_eq!(attempts.begin("192.0.2.1", now).err(), Some(Refused::Flood));
        assert!(attempts.begin("192.0.2.2", now).is_ok());
        drop(held);
        assert!(attempts.begin("192.0.2.1", now).is_ok());
    }

    #[test]
    fn the_memory_of_peers_is_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..PEERS_MAX {
            attempts.begin(&number.to_string(), now).ok().unwrap().wrong();
        }
        assert_eq!(attempts.begin("one more", now).err(), Some(Refused::Flood));
        assert!(attempts.begin("one more", now + WINDOW).is_ok());
        assert!(attempts.0.lock().unwrap().is_empty());
    }
}
