//! Slows down whoever guesses passwords: the answer to a failed sign-in waits, longer with each failure from the same address.
//!
//! Invariant: nobody else waits, and who knows the password never does, whatever others at the same address do.
//! Limits: [`ADDRESSES`] are remembered; the longest wait is [`LONGEST`]. Of a v6 address the network (64 bits) counts: a machine
//! has all of it. Forgotten by a restart, and after [`MEMORY`].

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;

/// Addresses that are remembered.
const ADDRESSES: usize = 4096;
/// The first failure's wait; each further one doubles it.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait. Clients give up a request after 30 s or more.
const LONGEST: Duration = Duration::from_secs(5);
/// How long a failure is held against an address.
const MEMORY: Duration = Duration::from_secs(300);

/// Who failed lately.
#[derive(Debug, Default)]
pub(super) struct Brake(Mutex<HashMap<IpAddr, (u32, Duration)>>);

impl Brake {
    /// Notes a failure; says how long the answer waits.
    pub(super) fn failed(&self, peer: IpAddr, now: Duration) -> Duration {
        let peer = network(peer);
        let mut addresses = self.0.lock();
        if addresses.len() >= ADDRESSES && !addresses.contains_key(&peer) {
            addresses.retain(|_, (_, last)| now.saturating_sub(*last) < MEMORY);
            if addresses.len() >= ADDRESSES {
                // So many at a time are a flood: the least guilty may go.
                let least = addresses.values().map(|(failures, _)| *failures).min().unwrap_or(0);
                let mut room = ADDRESSES / 4;
                addresses.retain(|_, (failures, _)| {
                    let goes = room > 0 && *failures == least;
                    room -= usize::from(goes);
                    !goes
                });
            }
        }
        let (failures, last) = addresses.entry(peer).or_insert((0, now));
        if now.saturating_sub(*last) >= MEMORY {
            *failures = 0;
        }
        *failures = failures.saturating_add(1);
        *last = now;
        (FIRST * 2_u32.saturating_pow((*failures - 1).min(16))).min(LONGEST)
    }
}

fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_waits_longer_and_is_forgotten_in_time() {
        let brake = Brake::default();
        let (one, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let at = Duration::from_secs;
        let waits: Vec<u128> = (0..8).map(|n| brake.failed(one, at(n)).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(brake.failed(other, at(8)), FIRST, "somebody else's failures");
        assert_eq!(brake.failed("::ffff:10.0.0.1".parse().unwrap(), at(9)), LONGEST, "the same machine by v6");
        assert_eq!(brake.failed(one, at(400)), FIRST, "long ago");
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_room_and_frees_no_guesser() {
        let brake = Brake::default();
        let guesser: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..10 {
            brake.failed(guesser, Duration::ZERO);
        }
        for n in 0..20_000_u128 {
            brake.failed(IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | n << 64)), Duration::ZERO);
            assert!(brake.0.lock().len() <= ADDRESSES);
        }
        assert_eq!(brake.failed(guesser, Duration::from_secs(1)), LONGEST);
        let (a, b) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let brake = Brake::default();
        brake.failed(a, Duration::ZERO);
        assert_eq!(brake.failed(b, Duration::ZERO), FIRST * 2, "one network, one guesser");
    }
}
