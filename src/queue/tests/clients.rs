//! What a client with an idempotent producer does, for one partition: it has up to five batches in flight, loses answers, sends
//! again what it does not know to be there, and gives up now and then with a new epoch. As librdkafka and Kafka's Java client do.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Random, batch, stamped};
use crate::base::ids::Offset;
use crate::queue::batch::Compression;
use crate::queue::{Appended, Partition, QueueError, Ticket};

/// As many as Kafka's clients have in flight, and brokers know again.
const IN_FLIGHT: usize = 5;

/// A batch of the client's: its number, its payloads, where it went.
#[derive(Clone, Debug)]
struct Sent {
    sequence: i32,
    payloads: Vec<Vec<u8>>,
    base: Option<Offset>,
}

#[derive(Debug)]
pub struct Client {
    pub id: i64,
    epoch: i16,
    next: i32,
    /// Not known to be there, oldest first.
    unacked: VecDeque<Sent>,
    /// Known to be there: the last ones of this epoch.
    acked: VecDeque<Sent>,
    /// Records of this epoch.
    made: u64,
}

impl Client {
    pub fn new(id: i64, random: &mut Random) -> Self {
        // Near the end of the numbers every now and then.
        let next = if random.one_in(3) { i32::MAX - i32::try_from(random.below(6)).unwrap() } else { 0 };
        Self { id, epoch: 0, next, unacked: VecDeque::new(), acked: VecDeque::new(), made: 0 }
    }

    fn make(&mut self, random: &mut Random) -> Sent {
        let payloads: Vec<Vec<u8>> = (0..=random.below(3))
            .map(|_| {
                self.made += 1;
                format!("client {} {} {}", self.id, self.epoch, self.made).into_bytes()
            })
            .collect();
        let sequence = self.next;
        let next = (i64::from(sequence) + payloads.len() as i64) % (i64::from(i32::MAX) + 1);
        self.next = i32::try_from(next).unwrap();
        Sent { sequence, payloads, base: None }
    }

    fn submit(&self, partition: &Arc<Partition>, sent: &Sent) -> Ticket {
        let plain = batch(&sent.payloads, Compression::None);
        partition.append(stamped(&plain, self.id, self.epoch, sent.sequence))
    }

    /// One round trip. `sent` hears of every payload before it is sent, `known` of every one that is acknowledged.
    pub fn round(
        &mut self,
        partition: &Arc<Partition>,
        random: &mut Random,
        mut sent: impl FnMut(&[u8]),
        mut known: impl FnMut(Offset, &[u8]),
    ) {
        if random.one_in(12) {
            // Gives up what it does not know to be there, and begins anew.
            self.epoch += 1;
            self.next = 0;
            self.made = 0;
            self.unacked.clear();
            self.acked.clear();
        }
        for _ in 0..random.below(3) {
            if self.unacked.len() < IN_FLIGHT {
                let made = self.make(random);
                made.payloads.iter().for_each(|payload| sent(payload));
                self.unacked.push_back(made);
            }
        }
        if let (true, Some(old)) = (self.unacked.is_empty() && random.one_in(3), self.acked.iter().next()) {
            // An answer that the network doubled: one of the last five.
            let (old, ticket) = (old.clone(), self.submit(partition, old));
            match ticket.wait() {
                Ok(place) => {
                    assert!(place.duplicate, "taken twice: {old:?} at {place:?}");
                    assert_eq!(Some(place.base_offset), old.base);
                }
                Err(error) => passes(&error),
            }
        }
        let tickets: Vec<Ticket> = self.unacked.iter().map(|sent| self.submit(partition, sent)).collect();
        if random.one_in(8) {
            // The connection is gone, and the answers with it.
            return;
        }
        let outcomes: Vec<Result<Appended, QueueError>> = tickets.into_iter().map(Ticket::wait).collect();
        let mut left = VecDeque::new();
        for (nth, (mut sent, outcome)) in self.unacked.drain(..).zip(outcomes).enumerate() {
            match outcome {
                Ok(place) => {
                    assert!(place.duplicate || left.is_empty(), "taken before what it follows: {sent:?}");
                    assert_eq!(place.next_offset - place.base_offset, sent.payloads.len() as u64);
                    (place.base_offset..).zip(&sent.payloads).for_each(|(offset, payload)| known(offset, payload));
                    sent.base = Some(place.base_offset);
                    self.acked.push_back(sent);
                }
                Err(error) => {
                    // The oldest one that is not there can never be out of order.
                    assert!(nth > 0 || !matches!(error, QueueError::OutOfOrderSequence), "{sent:?}");
                    passes(&error);
                    left.push_back(sent);
                }
            }
        }
        self.unacked = left;
        while self.acked.len() > IN_FLIGHT {
            self.acked.pop_front();
        }
    }
}

/// An error that a client gets over by sending again.
fn passes(error: &QueueError) {
    let fatal = matches!(error, QueueError::ProducerFenced | QueueError::Refused(_) | QueueError::Malformed(_));
    assert!(!fatal, "{error}");
}

/// What clients sent is there in the order they sent it, with nothing left out between.
pub fn in_order<'a>(all: impl Iterator<Item = &'a [u8]>) {
    let mut last: std::collections::HashMap<(i64, i16), u64> = std::collections::HashMap::new();
    for payload in all {
        let Some(rest) = std::str::from_utf8(payload).ok().and_then(|text| text.strip_prefix("client ")) else { continue };
        let numbers: Vec<i64> = rest.split(' ').map(|number| number.parse().unwrap()).collect();
        let key = (numbers[0], i16::try_from(numbers[1]).unwrap());
        let number = u64::try_from(numbers[2]).unwrap();
        if let Some(before) = last.insert(key, number) {
            assert_eq!(before + 1, number, "client {key:?}");
        }
    }
}
