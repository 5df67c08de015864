//! What the store has of a record, looked up by lineage, and whether it is what the chain makes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde_json::{Value as Json, json};

use super::{LOOKUP, Place, SHOWN_BYTES};
use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::base::predicate::Number;
use crate::base::row::{PAYLOAD, TIME, Value};
use crate::queue::Topic;
use crate::relay::{Relay, shown};
use crate::sandbox::{Output, Verdict};
use crate::store::query::{self, Cancel, OutRow, OutValue, Request, virtual_field};

/// Rows of one record that are looked at.
const ROWS: usize = 8;

impl Relay {
    /// The rows of a record. With its time it is looked for there first, which is quick.
    pub(super) fn rows_of(
        &self,
        topic: TopicId,
        partition: PartitionId,
        offset: Offset,
        time_ns: Option<i64>,
        notes: &mut Vec<String>,
    ) -> Vec<OutRow> {
        let wanted = format!("{}:{partition} {}:{offset}", virtual_field::PARTITION, virtual_field::OFFSET);
        if time_ns.is_some() {
            let rows = self.rows_where(topic, &wanted, time_ns, notes);
            if !rows.is_empty() {
                return rows;
            }
        }
        // Not at its time: one that lies far in the future is stored by its arrival.
        self.rows_where(topic, &wanted, None, notes)
    }

    /// The bytes that a record was, where one of its rows kept them.
    pub(super) fn payload_of(&self, place: &Place<'_>, notes: &mut Vec<String>) -> Json {
        let (partition, offset) = (place.partition.id(), place.offset);
        let wanted = format!("{}:{partition} {}:{offset} | fields {PAYLOAD}", virtual_field::PARTITION, virtual_field::OFFSET);
        let rows = self.rows_where(place.topic.id(), &wanted, None, notes);
        let payload = rows.iter().find_map(|row| match row.get(PAYLOAD) {
            Some(OutValue::Str(payload)) => Some(shown::bytes(payload, SHOWN_BYTES)),
            _ => None,
        });
        payload.unwrap_or(Json::Null)
    }

    /// What to know where topics of this name were deleted, and have rows of a record of this place: that one is not this one.
    pub(super) fn of_before(&self, topic: &Topic, partition: PartitionId, offset: Offset) -> Option<String> {
        let mut others = self.shared().store.topics_named(topic.name());
        others.retain(|other| *other != topic.id());
        let has_rows = |other: &TopicId| !self.rows_of(*other, partition, offset, None, &mut Vec::new()).is_empty();
        others.iter().any(has_rows).then(|| {
            format!(
                "a topic `{}` that was deleted has rows of {partition}@{offset} too: this is not what became of those, and their record \
                 is gone",
                topic.name()
            )
        })
    }

    /// Rows of a topic that a query finds, at this time or at any.
    pub(super) fn rows_where(
        &self,
        topic: TopicId,
        wanted: &str,
        time_ns: Option<i64>,
        notes: &mut Vec<String>,
    ) -> Vec<OutRow> {
        let shared = self.shared();
        let Ok(parsed) = query::parse_at(wanted, shared.clock.now_ns()) else { return Vec::new() };
        let mut request = Request::new(parsed);
        (request.from_ns, request.to_ns) = (time_ns, time_ns.map(|ns| ns.saturating_add(1)));
        request.limit = ROWS;
        let mut sources = shared.store.snapshot(request.from_ns, request.to_ns, None).sources;
        // By id: a topic that was deleted and made again has the same name.
        sources.retain(|source| source.topic() == topic);
        let cancel = Cancel::new(shared.clock.clone()).within(LOOKUP);
        let mut rows = Vec::new();
        let found = query::search(&sources, &request, &cancel, &mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        });
        if !found.is_ok_and(|stats| !stats.partial) {
            let note = "the store could not be searched to its end in time: what is said of it may not be all";
            if !notes.iter().any(|known| known == note) {
                notes.push(note.to_owned());
            }
        }
        rows
    }
}

/// A row of the store as JSON.
pub(super) fn json(row: &OutRow) -> Json {
    serde_json::from_str(&row.to_json()).unwrap_or(Json::Null)
}

/// The generation that made a row.
pub(super) fn generation(row: &OutRow) -> Option<Generation> {
    match row.get(virtual_field::GENERATION) {
        Some(OutValue::Int(generation)) => u32::try_from(*generation).ok(),
        _ => None,
    }
}

/// What the store should have.
pub(super) struct Expected<'e, 'b> {
    pub(super) output: &'e Output<'b>,
    pub(super) verdict: &'e Verdict<'b>,
    pub(super) time_ns: i64,
    pub(super) generation: Generation,
}

impl Expected<'_, '_> {
    /// Where a row of the store is something else.
    pub(super) fn differences(&self, row: &OutRow) -> Vec<Json> {
        let mut differences = Vec::new();
        let mut differ = |field: &str, made: Json, stored: Option<&OutValue>| {
            let mut text = Vec::new();
            stored.unwrap_or(&OutValue::Null).write_json(&mut text);
            let stored: Json = serde_json::from_slice(&text).unwrap_or(Json::Null);
            differences.push(json!({ "field": field, "made": made, "stored": stored }));
        };
        if generation(row) != Some(self.generation) {
            differ(virtual_field::GENERATION, self.generation.into(), row.get(virtual_field::GENERATION));
        }
        let mut made: BTreeMap<&str, Vec<Value<'_>>> = BTreeMap::new();
        for cell in self.output.cells_of(self.verdict) {
            if let Some(name) = self.output.names.get(cell.name as usize) {
                made.entry(name).or_default().push(cell.value);
            }
        }
        // A row has these beside its fields; a field of such a name is not to be seen.
        made.retain(|name, _| !virtual_field::ALL.contains(name));
        if row.get(TIME) != Some(&OutValue::Time(self.time_ns)) {
            differ(TIME, crate::base::time::format(self.time_ns).into(), row.get(TIME));
        }
        for (name, values) in &made {
            let stored = row.get(name);
            if !stored.is_some_and(|stored| is_same(values, stored)) {
                differ(name, shown::values(values, SHOWN_BYTES), stored);
            }
        }
        let is_field = |name: &str| !virtual_field::ALL.contains(&name) && !made.contains_key(name);
        for (name, stored) in row.fields.iter().filter(|(name, _)| is_field(name)) {
            if *stored != OutValue::Null {
                differ(name, Json::Null, Some(stored));
            }
        }
        differences
    }
}

/// Whether the store keeps these values so: lists are of strings.
fn is_same(made: &[Value<'_>], stored: &OutValue) -> bool {
    match (made, stored) {
        ([Value::Str(made)], OutValue::Str(stored)) => **made == **stored,
        ([Value::Int(made)], OutValue::Int(stored)) => made == stored,
        ([Value::Float(made)], OutValue::Float(stored)) => {
            made.to_bits() == stored.to_bits() || (made.is_nan() && stored.is_nan())
        }
        ([Value::Bool(made)], OutValue::Bool(stored)) => made == stored,
        (many, OutValue::List(items)) => {
            let is_item = |(made, stored): (&Value<'_>, &[u8])| match made {
                Value::Str(made) => **made == *stored,
                Value::Int(made) => made.to_string().as_bytes() == stored,
                Value::Float(made) => Number::text_of(*made).as_bytes() == stored,
                Value::Bool(made) => made.to_string().as_bytes() == stored,
            };
            many.len() == items.len() && many.iter().zip(items.iter().map(|item| &**item)).all(is_item)
        }
        _ => false,
    }
}
