//! The gate before the door: quotas and routes, as they hold for one sender's batches.
//!
//! A [`Gate`] belongs to a `Gather`. Records of topics with routes that look at records are looked into here, no others; a batch
//! asks the queue's `Traffic` once, when it is sent off.
//! Invariants: the rules that look at records are those of when the batch was begun; a change holds from the next batch on.
//! Who can be answered (`patience`) hears of a quota in the answer; who cannot is not read until its batch may go, and, where it
//! owes, for a while after.
//! Crash story: none; what waits here was not acknowledged.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::route::json_field;
use crate::base::clock::Clock;
use crate::queue::traffic::{Admit, HOPS, Rules, Traffic, Way, Who};
use crate::queue::{Partition, Queue, QueueError, Topic};

/// How long a sender that cannot be answered waits at a time before it asks again: rules change meanwhile.
const AGAIN: Duration = Duration::from_secs(1);

/// What holds for the batches that are gathered.
pub struct Gate {
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    rules: Arc<Rules>,
    /// What each route has sent elsewhere since the last batch: records and bytes.
    moved: Vec<(Arc<Way>, u64, u64)>,
}

/// Where a batch may go.
#[derive(Debug, Default)]
pub struct Pass {
    /// Another topic than the one that was meant.
    pub to: Option<Arc<str>>,
    /// For how long the sender is not to be read once the batch is on its way.
    pub pause: Duration,
}

impl Gate {
    /// A gate with the rules that hold now.
    pub fn new(queue: Arc<Queue>, clock: Arc<dyn Clock>) -> Self {
        let rules = queue.traffic().rules();
        Self { queue, clock, rules, moved: Vec::new() }
    }

    fn traffic(&self) -> &Traffic {
        self.queue.traffic()
    }

    /// The topic that routes send this record to, if any does.
    pub fn place(&mut self, topic: &str, payload: &[u8], headers: &[(&[u8], &[u8])]) -> Option<Arc<str>> {
        if self.rules.by_record(topic).is_empty() {
            return None;
        }
        let mut to: Option<Arc<str>> = None;
        for _ in 0..HOPS {
            let ways = self.rules.by_record(to.as_deref().unwrap_or(topic));
            let Some(way) = ways.iter().find(|way| way.applies(&mut |name| field(name, payload, headers))) else { break };
            match self.moved.iter_mut().find(|(own, ..)| Arc::ptr_eq(own, way)) {
                Some((_, records, bytes)) => (*records, *bytes) = (*records + 1, *bytes + payload.len() as u64),
                None => self.moved.push((way.clone(), 1, payload.len() as u64)),
            }
            to = Some(way.to().clone());
        }
        to
    }

    /// A batch ends here: what routes did is counted, and the next batch meets the rules of now.
    pub fn turn(&mut self) {
        for (way, records, bytes) in self.moved.drain(..) {
            way.count(records, bytes);
        }
        self.rules = self.queue.traffic().rules();
    }

    /// Waits until a batch may go, no longer than `patience` (`None`: however long it takes), and says where to.
    ///
    /// # Errors
    /// [`QueueError::OverQuota`] for those who can be told.
    pub async fn pass(&self, topic: &str, records: u64, bytes: u64, patience: Option<Duration>) -> Result<Pass, QueueError> {
        if self.traffic().rules().is_empty() {
            return Ok(Pass::default());
        }
        let who = Who { waits: patience.is_none(), ..Who::default() };
        let deadline = patience.map(|patience| self.clock.monotonic() + patience);
        loop {
            let now = self.clock.monotonic();
            if let Some(deadline) = deadline
                && let Some((after, reason)) = self.traffic().owed(topic, &who, now)
            {
                if now + after > deadline {
                    return Err(QueueError::OverQuota { reason: reason.into(), after });
                }
                tokio::time::sleep(after.min(AGAIN)).await;
                continue;
            }
            match self.traffic().admit(topic, &who, records, bytes, now) {
                Admit::Go => return Ok(Pass::default()),
                // Who can be answered pays before the next batch.
                Admit::Throttle(_) if deadline.is_some() => return Ok(Pass::default()),
                Admit::Throttle(pause) => return Ok(Pass { to: None, pause }),
                Admit::Divert { to, throttle } => {
                    let pause = if deadline.is_some() { Duration::ZERO } else { throttle };
                    return Ok(Pass { to: Some(to), pause });
                }
                Admit::Refuse { reason, after } if deadline.is_some() => {
                    return Err(QueueError::OverQuota { reason: reason.into(), after });
                }
                Admit::Refuse { after, .. } => tokio::time::sleep(after.min(AGAIN)).await,
            }
        }
    }
}

impl Gate {
    /// Where a batch goes that a rule sends to another topic: to the partition of the same number there, so that a key keeps its
    /// order. Nothing for a topic that the full disk has no room for: it is made when the batch is appended.
    ///
    /// # Errors
    /// If the topic cannot be made.
    pub async fn elsewhere(
        &self,
        source: &Arc<str>,
        own: Option<&Arc<Partition>>,
        to: &Arc<str>,
    ) -> Result<(Arc<str>, Option<Arc<Topic>>, Option<Arc<Partition>>), QueueError> {
        let topic = match self.queue.topic(to) {
            Some(topic) => topic,
            None => {
                let (queue, source, name) = (self.queue.clone(), source.clone(), to.clone());
                let made = tokio::task::spawn_blocking(move || queue.target(&source, &name)).await;
                match made.unwrap_or(Err(QueueError::Closed)) {
                    Ok(topic) => topic,
                    Err(QueueError::Full(_)) => return Ok((to.clone(), None, None)),
                    Err(error) => return Err(error),
                }
            }
        };
        let count = u32::try_from(topic.partitions().len()).unwrap_or(1).max(1);
        let partition = own.and_then(|own| topic.partition(own.id() % count));
        Ok((topic.name().clone(), Some(topic), partition))
    }
}

/// A header, or a field of a document.
pub fn field<'a>(name: &str, payload: &'a [u8], headers: &[(&'a [u8], &'a [u8])]) -> Option<Cow<'a, [u8]>> {
    if let Some((_, value)) = headers.iter().find(|(own, _)| *own == name.as_bytes()) {
        return Some(Cow::Borrowed(value));
    }
    if name.starts_with('_') || payload.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    Some(match json_field(payload, name)? {
        Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
        Cow::Owned(value) => Cow::Owned(value.into_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_header_or_of_the_document() {
        let headers: [(&[u8], &[u8]); 2] = [(b"host", b"web-1"), (b"_peer", b"10.0.0.1")];
        let document = br#" {"host":"other","app":"shop","n":5,"_peer":"x","a":{"b":"\u00e9"}}"#;
        for (name, payload, value) in [
            ("host", &document[..], Some("web-1")),
            ("app", document, Some("shop")),
            ("n", document, Some("5")),
            ("a.b", document, Some("é")),
            ("_peer", document, Some("10.0.0.1")),
            ("_receiver", document, None),
            ("app", b"app=shop", None),
            ("app", b"", None),
        ] {
            let found = field(name, payload, &headers).map(|value| String::from_utf8_lossy(&value).into_owned());
            assert_eq!(found.as_deref(), value, "{name}");
        }
    }
}
