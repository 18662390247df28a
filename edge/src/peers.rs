//! How many connections each peer has open. The server asks before it serves one.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Open connections by peer: by address, and for IPv6 by the 64 bits that one customer gets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peers {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One open connection in the count of its peer. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Seat {
    peer: IpAddr,
    peers: Peers,
}

impl Peers {
    /// A seat for one more connection of `peer`; None when it has `max` already.
    pub(crate) fn sit(&self, peer: IpAddr, max: usize) -> Option<Seat> {
        let peer = network(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(peer).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Seat {
            peer,
            peers: self.clone(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            IpAddr::V6(segments.into())
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_takes_its_share_and_no_more_and_gives_it_back() {
        let peers = Peers::default();
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let seats: Vec<_> = (0..3).filter_map(|_| peers.sit(one, 2)).collect();
        assert_eq!(seats.len(), 2);
        assert!(peers.sit(other, 2).is_some());
        drop(seats);
        assert!(peers.sit(one, 2).is_some());
        assert!(peers.open.lock().unwrap().is_empty());
    }

    #[test]
    fn a_v6_customer_is_one_peer() {
        let peers = Peers::default();
        let _seat = peers.sit("2001:db8:1:2::1".parse().unwrap(), 1);
        assert!(peers.sit("2001:db8:1:2:ffff::9".parse().unwrap(), 1).is_none());
        assert!(peers.sit("2001:db8:1:3::1".parse().unwrap(), 1).is_some());
    }
}
