//! What was answered, when, and for how long: the memory of the resolver, which a replay reads.
//!
//! An answer stands for a span of arrival times: every record of that span, live or in a replay, is told the same. Spans of one
//! question never overlap and never change, so whatever a record was told once it is told for ever. "No answer in time" is an
//! answer too, of a short span.
//!
//! On disk: `sandbox/DNS`, a [`Journal`] whose payloads hold answers back to back, little-endian:
//! ```text
//! u8 kind (0 a text, 1 nothing is known, 2 no answer) | u16 question length | question | u16 text length | text | i64 from | i64 until
//! ```
//! Limits: [`ANSWERS`]; when there are more, the older half is forgotten, and a replay of records from then asks anew.
//! Crash story: answers are durable before the call that was told them is taken ([`Answers::settle`]); what a crash loses nobody
//! built upon. Damage costs the answers in it. While the disk refuses, answers wait in memory and are tried again by the next call:
//! the lane's own commit fails then as well.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::disk::Disk;
use crate::base::journal::Journal;

/// Most answers that are kept.
const ANSWERS: usize = 262_144;
/// The journal is written anew when it is so much larger than what it must hold.
const CHECKPOINT_BYTES: u64 = 64 << 20;
/// Bytes of one payload.
const PAYLOAD: usize = 1 << 20;
const FILE: &str = "sandbox/DNS";

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// A name, or an address.
    Text(Arc<str>),
    /// There is none.
    Nothing,
    /// Nobody said in time.
    Late,
}

/// An answer and the arrival times it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    from: i64,
    until: i64,
    answer: Answer,
}

/// All answers.
pub(super) struct Answers {
    memory: Mutex<Memory>,
    journal: Mutex<Journal>,
}

#[derive(Default)]
struct Memory {
    /// Of each question its spans, in their order.
    spans: HashMap<Arc<str>, Vec<Span>>,
    count: usize,
    /// Not yet durable.
    pending: Vec<(Arc<str>, Span)>,
}

impl Memory {
    fn at(&self, question: &str, now_ns: i64) -> Option<&Span> {
        let spans = self.spans.get(question)?;
        let after = spans.partition_point(|span| span.from <= now_ns);
        spans.get(after.checked_sub(1)?).filter(|span| now_ns < span.until)
    }

    /// Puts a span in; false where one of its times has an answer.
    fn put(&mut self, question: &Arc<str>, span: Span) -> bool {
        let spans = self.spans.entry(Arc::clone(question)).or_default();
        let at = spans.partition_point(|other| other.from <= span.from);
        let is_free = |other: Option<&Span>| other.is_none_or(|other| other.until <= span.from || span.until <= other.from);
        let free = is_free(at.checked_sub(1).and_then(|before| spans.get(before))) && is_free(spans.get(at));
        if free && span.from < span.until {
            spans.insert(at, span);
            self.count += 1;
        }
        free
    }

    /// Forgets the older half.
    fn halve(&mut self) {
        let mut times: Vec<i64> = self.spans.values().flatten().map(|span| span.until).collect();
        let middle = times.len() / 2;
        if times.is_empty() {
            return;
        }
        let (_, cut, _) = times.select_nth_unstable(middle);
        let cut = *cut;
        self.spans.retain(|_, spans| {
            spans.retain(|span| span.until >= cut);
            !spans.is_empty()
        });
        self.count = self.spans.values().map(Vec::len).sum();
    }
}

impl Answers {
    /// Opens what was kept.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        disk.create_dir_all(Path::new("sandbox"))?;
        let (journal, entries, found) = Journal::open(disk, Path::new(FILE))?;
        let mut memory = Memory::default();
        for entry in &entries {
            let mut rest = entry.as_slice();
            while let Some((question, span)) = decode(&mut rest) {
                memory.put(&question, span);
            }
        }
        if found.damaged > 0 {
            tracing::warn!(
                file = FILE,
                places = found.damaged,
                "damaged answers of the resolver were left out; a replay asks anew"
            );
        }
        if memory.count > ANSWERS {
            memory.halve();
        }
        Ok(Self { memory: Mutex::new(memory), journal: Mutex::new(journal) })
    }

    /// What a record that arrived then is told.
    pub(super) fn get(&self, question: &str, now_ns: i64) -> Option<Answer> {
        self.memory.lock().at(question, now_ns).map(|span| span.answer.clone())
    }

    /// Keeps an answer for `ttl_ns` from a time on, as far as nothing else is said; gives what holds for that time now.
    pub(super) fn put(&self, question: &Arc<str>, now_ns: i64, ttl_ns: i64, answer: Answer) -> Answer {
        let mut memory = self.memory.lock();
        if let Some(span) = memory.at(question, now_ns) {
            return span.answer.clone();
        }
        let next = memory.spans.get(question).and_then(|spans| spans.iter().find(|span| span.from > now_ns));
        let until = now_ns.saturating_add(ttl_ns.max(1)).min(next.map_or(i64::MAX, |next| next.from));
        let span = Span { from: now_ns, until, answer: answer.clone() };
        if memory.put(question, span.clone()) {
            memory.pending.push((Arc::clone(question), span));
        }
        if memory.count > ANSWERS {
            memory.halve();
        }
        answer
    }

    /// Makes durable all that anybody was told so far.
    pub(super) fn settle(&self) {
        // Whoever was told what another call is just writing waits here until it is written.
        let mut journal = self.journal.lock();
        let pending = std::mem::take(&mut self.memory.lock().pending);
        if pending.is_empty() {
            return;
        }
        if let Err(error) = self.write(&mut journal, &pending) {
            tracing::warn!(file = FILE, %error, "answers of the resolver cannot be kept; they are tried again with the next");
            let mut memory = self.memory.lock();
            let later = std::mem::replace(&mut memory.pending, pending);
            memory.pending.extend(later);
        }
    }

    fn write(&self, journal: &mut Journal, pending: &[(Arc<str>, Span)]) -> io::Result<()> {
        let mut payload = Vec::new();
        for (question, span) in pending {
            encode(question, span, &mut payload);
        }
        if journal.len() + payload.len() as u64 <= CHECKPOINT_BYTES && journal.append(&payload).is_ok() {
            return Ok(());
        }
        // Too long, or an earlier write failed: all there is, in a new file.
        let memory = self.memory.lock();
        let mut payloads = vec![Vec::new()];
        for (question, span) in memory.spans.iter().flat_map(|(question, spans)| spans.iter().map(move |span| (question, span)))
        {
            if payloads.last().is_none_or(|last| last.len() >= PAYLOAD) {
                payloads.push(Vec::new());
            }
            if let Some(last) = payloads.last_mut() {
                encode(question, span, last);
            }
        }
        drop(memory);
        journal.checkpoint(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.memory.lock().count
    }
}

fn encode(question: &str, span: &Span, out: &mut Vec<u8>) {
    let (kind, text) = match &span.answer {
        Answer::Text(text) => (0, &**text),
        Answer::Nothing => (1, ""),
        Answer::Late => (2, ""),
    };
    out.push(kind);
    for part in [question, text] {
        // Questions and answers are names: 255 bytes at most, and what is put before them.
        let len = u16::try_from(part.len()).unwrap_or(0);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&part.as_bytes()[..usize::from(len)]);
    }
    out.extend_from_slice(&span.from.to_le_bytes());
    out.extend_from_slice(&span.until.to_le_bytes());
}

fn decode(rest: &mut &[u8]) -> Option<(Arc<str>, Span)> {
    let (kind, after) = rest.split_first()?;
    *rest = after;
    let mut text = || -> Option<Arc<str>> {
        let (len, after) = rest.split_first_chunk::<2>()?;
        let (text, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        *rest = after;
        std::str::from_utf8(text).ok().map(Arc::from)
    };
    let (question, text) = (text()?, text()?);
    let (from, after) = rest.split_first_chunk::<8>()?;
    let (until, after) = after.split_first_chunk::<8>()?;
    *rest = after;
    let answer = match kind {
        0 => Answer::Text(text),
        1 => Answer::Nothing,
        _ => Answer::Late,
    };
    Some((question, Span { from: i64::from_le_bytes(*from), until: i64::from_le_bytes(*until), answer }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::disk::sim::SimDisk;

    fn text(text: &str) -> Answer {
        Answer::Text(text.into())
    }

    #[test]
    fn what_was_said_once_is_said_for_ever() {
        let disk = SimDisk::new(1);
        let answers = Answers::open(disk.clone()).unwrap();
        let question: Arc<str> = "q".into();
        assert_eq!(answers.get("q", 100), None);
        assert_eq!(answers.put(&question, 100, 50, text("a")), text("a"));
        assert_eq!(answers.put(&question, 149, 50, text("b")), text("a"), "another asked at the same time");
        assert_eq!(answers.put(&question, 90, 50, Answer::Nothing), Answer::Nothing, "an older record");
        assert_eq!(answers.put(&question, 150, 10, Answer::Late), Answer::Late);
        let told = |answers: &Answers| [89, 90, 99, 100, 149, 150, 159, 160].map(|now| answers.get("q", now));
        let expected = [
            None,
            Some(Answer::Nothing),
            Some(Answer::Nothing),
            Some(text("a")),
            Some(text("a")),
            Some(Answer::Late),
            Some(Answer::Late),
            None,
        ];
        assert_eq!(told(&answers), expected);
        answers.settle();
        drop(answers);
        assert_eq!(told(&Answers::open(disk.crash()).unwrap()), expected, "after a crash");
    }

    #[test]
    fn the_older_half_is_forgotten() {
        let mut memory = Memory::default();
        for number in 0..10 {
            memory.put(&format!("q{number}").into(), Span { from: number, until: number + 1, answer: Answer::Nothing });
        }
        memory.halve();
        assert_eq!(memory.count, 5);
        assert!(memory.at("q9", 9).is_some() && memory.at("q0", 0).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn answers_never_change(asked in prop::collection::vec((0_i64..60, 1_i64..20, 0_u8..5), 1..40)) {
            let answers = Answers::open(SimDisk::new(1)).unwrap();
            let question: Arc<str> = "q".into();
            let mut told: HashMap<i64, Answer> = HashMap::new();
            for (now, ttl, which) in asked {
                let answer = answers.put(&question, now, ttl, text(&which.to_string()));
                told.entry(now).or_insert(answer);
                for (now, answer) in &told {
                    prop_assert_eq!(answers.get("q", *now), Some(answer.clone()));
                }
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut rest = bytes.as_slice();
            while decode(&mut rest).is_some() {}
        }
    }
}
