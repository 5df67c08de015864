//! Codecs stand at the door of a topic's chain: they make documents of records that are no text.
//!
//! ```text
//! queue → decoded batch → codec → chain → verdicts        mod.rs       records and what became of them
//!                           │                             spec.rs      as people write it, as a generation keeps it
//!              MessagePack, Avro → JSON document          document.rs  writing it   msgpack.rs  datum.rs  avro.rs (schemas)
//!                           │                             registry.rs  who asks     fetch.rs (HTTP)  answers.rs (durable)
//!                   schema registry
//! ```
//! **What a codec does.** None (a topic that has none): the chain sees the payload. `plain`: the same, and a topic without a
//! chain of its own has no filter, so nobody looks for JSON. `json`: the payload must be one JSON value (as the standard says,
//! UTF-8, at most [`document::DEPTH`] deep); the chain sees it as it came. `msgpack` and `avro`: the chain sees a JSON document
//! that was made of the payload; [`document`], [`msgpack`] and [`avro`] say how, and the same bytes always make the same one.
//!
//! **Payload and message.** The queue keeps the bytes that came; dead letters, and emissions of the whole payload, carry them.
//! The document is the chain's payload: a row's message is what it would be had the sender sent that JSON, so the document's own
//! `message` where the JSON filter finds one, else the document's text where no filter took the fields out of it. A MessagePack
//! string or binary, or an Avro string or bytes, that stands alone is a message as it is.
//!
//! Invariants: a record that does not decode is a dead letter with the reason, its neighbours go on; what a record decodes to
//! depends on its bytes, its arrival time and the generation, on nothing else: what a registry said is durable before it is used.
//! Limits: documents by [`document`]; a call is cut before its documents pass [`CALL_BYTES`], which follows from the log alone.
//! Nothing is allocated by what a record says its length is, and no record costs an allocation of its own.

use std::sync::Arc;

use crate::base::limits::CALL_RECORDS;
use crate::base::record::{RecordView, Records};
use crate::sandbox::{Arena, Chain, Output, State, Verdict, VerdictKind};

mod answers;
mod avro;
mod datum;
mod document;
mod fetch;
mod msgpack;
pub(crate) mod registry;
pub mod spec;
mod strict;

#[cfg(test)]
mod tests;

use answers::{Known, Place};
use avro::Plan;
use document::{Writer, Wrong};
use registry::Registries;
use spec::{AvroRecord, CodecRecord};

/// The filter that dead letters name.
pub(crate) const FILTER: &str = "codec";
/// Documents of one call: past it the call ends early.
const CALL_BYTES: usize = 8 * 1024 * 1024;
/// What Confluent's framing begins with.
const MAGIC: u8 = 0;

/// A topic's codec, ready.
pub(crate) enum Codec {
    /// The payload is what it is.
    Bytes,
    /// See [`spec::CodecName::Json`].
    Json,
    /// See [`spec::CodecName::Msgpack`].
    Msgpack,
    /// With a schema of its own.
    Avro(Box<Plan>),
    /// With schemas that a registry knows by number.
    Registry { url: Arc<str>, registries: Arc<Registries> },
}

/// A record cannot be decoded before this schema is known.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// Which, and where it is asked for.
    pub(crate) place: (Arc<str>, u32),
}

/// Why a call cannot be made now.
pub(crate) enum NotNow {
    /// A schema is asked for.
    Pending(Pending),
    /// The answers of registries cannot be read.
    Trouble(String),
}

/// A call, run.
pub(crate) struct Ran<'b> {
    /// The records of the call, as they came; perhaps fewer than were given.
    pub(crate) call: Records<'b>,
    /// One verdict a record.
    pub(crate) output: Output<'b>,
    /// Records that did not decode.
    pub(crate) undecoded: u64,
    /// Bytes of documents.
    pub(crate) bytes: usize,
}

/// What one record is to the chain.
enum Seen<'p> {
    /// These bytes of it.
    Part(&'p [u8]),
    /// The document that was written.
    Document(usize, usize),
    Wrong(Wrong),
}

impl Codec {
    /// Makes one ready.
    ///
    /// # Errors
    /// A schema that is none.
    pub(crate) fn new(record: Option<&CodecRecord>, registries: &Arc<Registries>) -> Result<Self, String> {
        Ok(match record {
            None | Some(CodecRecord::Plain) => Self::Bytes,
            Some(CodecRecord::Json) => Self::Json,
            Some(CodecRecord::Msgpack) => Self::Msgpack,
            Some(CodecRecord::Avro(AvroRecord::Schema(text))) => Self::Avro(Box::new(Plan::new(text, &[])?)),
            Some(CodecRecord::Avro(AvroRecord::SchemaRegistry(url))) => {
                Self::Registry { url: url.clone(), registries: registries.clone() }
            }
        })
    }

    /// Decodes a call and runs the chain over it. `documents` is room that is used again.
    pub(crate) fn run<'b>(
        &self,
        chain: &Chain,
        call: Records<'b>,
        arena: &'b Arena,
        documents: &mut Vec<u8>,
        state: &mut State,
    ) -> Result<Ran<'b>, NotNow> {
        self.run_by(call, arena, documents, |decoded| chain.run(decoded, arena, state))
    }

    /// As [`Codec::run`], with what runs the chain over what was decoded.
    pub(crate) fn run_by<'b>(
        &self,
        mut call: Records<'b>,
        arena: &'b Arena,
        documents: &mut Vec<u8>,
        run: impl FnOnce(&Records<'b>) -> Output<'b>,
    ) -> Result<Ran<'b>, NotNow> {
        if matches!(self, Self::Bytes) {
            let output = run(&call);
            return Ok(Ran { call, output, undecoded: 0, bytes: 0 });
        }
        documents.clear();
        let mut seen = Vec::with_capacity(call.records.len().min(CALL_RECORDS));
        let mut schema = Schemas::default();
        for record in &call.records {
            seen.push(self.see(record, documents, &mut schema)?);
            if documents.len() >= CALL_BYTES {
                break;
            }
        }
        call.records.truncate(seen.len());
        let bytes = documents.len();
        let documents = arena.push(documents);
        let mut decoded = Records { records: Vec::with_capacity(seen.len()), headers: call.headers.clone() };
        for (record, seen) in call.records.iter().zip(&seen) {
            let payload = match seen {
                Seen::Part(part) => part,
                Seen::Document(from, to) => documents.get(*from..*to).unwrap_or_default(),
                Seen::Wrong(_) => continue,
            };
            decoded.records.push(RecordView { payload, ..*record });
        }
        let mut output = run(&decoded);
        let undecoded = call.records.len() - decoded.records.len();
        for (verdict, (given, record)) in output.verdicts.iter_mut().zip(decoded.records.iter().zip(came(&call.records, &seen)))
        {
            for emission in &mut verdict.emissions {
                if std::ptr::eq(emission.payload, given.payload) {
                    emission.payload = record.payload;
                }
            }
        }
        if undecoded > 0 {
            let mut verdicts = std::mem::take(&mut output.verdicts).into_iter();
            let with_failures = seen.into_iter().filter_map(|seen| match seen {
                Seen::Part(_) | Seen::Document(..) => verdicts.next(),
                Seen::Wrong(Wrong(why)) => Some(Verdict {
                    kind: VerdictKind::Fail { filter: FILTER.into(), reason: format!("{}: {why}", self.name()).into() },
                    emissions: Vec::new(),
                    joined: None,
                }),
            });
            output.verdicts = with_failures.collect();
        }
        Ok(Ran { call, output, undecoded: undecoded as u64, bytes })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Bytes => "plain",
            Self::Json => "json",
            Self::Msgpack => "msgpack",
            Self::Avro(_) | Self::Registry { .. } => "avro",
        }
    }

    fn see<'b>(&self, record: &RecordView<'b>, out: &mut Vec<u8>, schemas: &mut Schemas) -> Result<Seen<'b>, NotNow> {
        let from = out.len();
        let payload = record.payload;
        let read = match self {
            Self::Bytes => Ok(Some(payload)),
            Self::Json => strict::check(payload).map(|()| Some(payload)),
            Self::Msgpack => msgpack::read(payload, &mut Writer::new(out, payload.len())),
            Self::Avro(plan) => datum::read(plan, payload, &mut Writer::new(out, payload.len())),
            Self::Registry { url, registries } => match payload.split_first_chunk::<5>() {
                Some(([MAGIC, id @ ..], data)) => {
                    match schemas.find(registries, url, u32::from_be_bytes(*id), record.arrival_ns)? {
                        Ok(plan) => match &*plan {
                            Ok(plan) => datum::read(plan, data, &mut Writer::new(out, payload.len())),
                            Err(why) => Err(Wrong::new(why)),
                        },
                        Err(why) => Err(Wrong::new(&*why)),
                    }
                }
                _ => Err(Wrong::new("does not begin with 0x00 and a schema's number, as records for a schema registry do")),
            },
        };
        Ok(match read {
            Ok(Some(part)) => Seen::Part(part),
            Ok(None) => Seen::Document(from, out.len()),
            Err(wrong) => {
                out.truncate(from);
                Seen::Wrong(wrong)
            }
        })
    }
}

/// The records that decoded.
fn came<'r, 'b>(all: &'r [RecordView<'b>], seen: &'r [Seen<'_>]) -> impl Iterator<Item = &'r RecordView<'b>> {
    all.iter().zip(seen).filter(|(_, seen)| !matches!(seen, Seen::Wrong(_))).map(|(record, _)| record)
}

/// The schema of the record before: mostly the next one has it too.
#[derive(Default)]
struct Schemas(Option<(u32, i64, Ready)>);

/// A schema that can be read by, or why it cannot.
type Ready = Arc<Result<Plan, String>>;
type Found = Result<Ready, Arc<str>>;

impl Schemas {
    fn find(&mut self, registries: &Registries, url: &Arc<str>, id: u32, arrival_ns: i64) -> Result<Found, NotNow> {
        if let Some((known, after_ns, plan)) = &self.0
            && *known == id
            && *after_ns < arrival_ns
        {
            return Ok(Ok(plan.clone()));
        }
        let place: Place = (url.clone(), id);
        match registries.known(&place, arrival_ns).map_err(NotNow::Trouble)? {
            Known::Schema(plan, after_ns) => {
                self.0 = Some((id, after_ns, plan.clone()));
                Ok(Ok(plan))
            }
            Known::Refused(why) => Ok(Err(why)),
            Known::Nothing => Err(NotNow::Pending(Pending { place })),
        }
    }
}
