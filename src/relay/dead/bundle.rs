//! A letter as a bundle: what its generation was, with everything that a filter can tell apart. See [`crate::sandbox::lab::bundle`].

use crate::base::ids::{Offset, PartitionId};
use crate::base::record::{RecordView, Records};
use crate::relay::codec::NotNow;
use crate::relay::{Relay, RelayError};
use crate::sandbox::lab::bundle::{Blob, Bundle, Record, Said, VERSION};
use crate::sandbox::{Arena, Config, Output};

impl Relay {
    /// The bundle of a letter: JSON. To be called where waiting for the disk and for filters hurts nobody.
    ///
    /// # Errors
    /// [`RelayError::Missing`] where there is no such letter, or its generation is gone; [`RelayError::Filter`] where a module is;
    /// [`RelayError::Crowded`] while as many are made as may.
    pub fn bundle(&self, topic: &str, partition: PartitionId, offset: Offset) -> Result<Vec<u8>, RelayError> {
        let shared = self.shared();
        let _one = shared.explains.take()?;
        let letter = self.letter(topic, partition, offset)?;
        let missing = |why: &str| RelayError::Missing(format!("the letter {partition}@{offset} of `{topic}` {why}"));
        let number = letter.generation.ok_or_else(|| missing("does not say which generation it failed in"))?;
        let own = shared.queue.topic(topic).ok_or_else(|| RelayError::NoTopic(topic.to_owned()))?;
        let (topic_id, of_partition, of_offset) = letter.origin.ok_or_else(|| missing("does not say where it is from"))?;
        if topic_id != own.id() {
            return Err(missing("is of another topic of that name, which was deleted; its chain went with it"));
        }
        let promoted = shared.generations(&own).get(number);
        let promoted =
            promoted.ok_or_else(|| missing(&format!("failed in generation {number}, which is not known any more")))?;
        let mut notes = Vec::new();
        if letter.is_of_emission() {
            notes.push("the chain did not fail: it emitted what could not be sent, and the record has its row".to_owned());
        }
        let undecoded = promoted.codec.is_some() && letter.is_undecoded();
        let mut document = None;
        if promoted.codec.is_some() && !undecoded {
            let ready = shared.apart(promoted.codec.as_ref(), &promoted.chain)?;
            let headers = letter.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
            let view = RecordView {
                offset: of_offset,
                arrival_ns: letter.arrival_ns,
                timestamp_ms: letter.timestamp_ms,
                key: letter.key.as_deref(),
                payload: &letter.payload,
                headers: (0, u32::try_from(letter.headers.len()).unwrap_or(0)),
            };
            let (arena, call) = (Arena::new(), Records { records: vec![view], headers });
            let ran = ready.codec.run_by(call, &arena, &mut Vec::new(), |decoded| {
                document = decoded.records.first().map(|record| Blob(record.payload.to_vec()));
                Output::default()
            });
            ran.map_err(|not_now| match not_now {
                NotNow::Pending(pending) => RelayError::Busy(shared.registries.said(&pending.place)),
                NotNow::Trouble(why) => RelayError::Schemas(why),
            })?;
            document = document.filter(|document| document.0 != letter.payload);
        }
        let codec = promoted.codec.as_ref().and_then(|codec| serde_json::to_value(codec.spec()).ok());
        let record = Record {
            payload: Blob(letter.payload),
            key: letter.key.map(Blob),
            headers: letter.headers.into_iter().map(|(name, value)| (Blob(name), Blob(value))).collect(),
            arrival_ns: letter.arrival_ns,
            timestamp_ms: letter.timestamp_ms,
            topic_id: topic_id.to_string(),
            partition: of_partition,
            offset: of_offset,
        };
        let bundle = Bundle {
            sawbox_bundle: VERSION,
            sawbox: env!("CARGO_PKG_VERSION").to_owned(),
            topic: topic.to_owned(),
            generation: number,
            record,
            codec,
            document,
            undecoded,
            chain: promoted.chain.clone(),
            modules: Default::default(),
            lookups: Default::default(),
            limits: Config::default(),
            said: Said { filter: letter.filter, reason: letter.reason },
            outcome: Default::default(),
            notes,
        };
        Ok(shared.sandbox.complete(bundle)?)
    }
}
