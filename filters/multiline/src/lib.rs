//! `multiline`: makes one row of the lines of one event, such as a stack trace, per source.
//!
//! ```toml
//! [[topics.app.chain]]
//! filter = "multiline"
//! config = { preset = "java" }
//!
//! [[topics.db.chain]]
//! filter = "multiline"
//! config = { starts = '^%{TIMESTAMP_ISO8601}', key = ["host", "file"], timeout = "10s" }
//! ```
//! Which lines belong together, in one of these ways (expressions are grok, so plain regular expressions too):
//!
//! | key | means | Logstash | Filebeat |
//! | --- | --- | --- | --- |
//! | `starts = E` | a line like this begins an event, all others continue it | `negate => true, what => previous` | `negate: true, match: after` |
//! | `continues = E` | a line like this continues the one before | `negate => false, what => previous` | `negate: false, match: after` |
//! | `ends = E` | a line like this ends its event | `negate => true, what => next` | `negate: true, match: before` |
//! | `pattern`, `negate`, `what` | as Logstash's codec has them; `match = "after"` is `what = "previous"`, `"before"` is `"next"` | the same | the same |
//! | `preset = "java"` | stack traces of the JVM: indented lines, `Caused by:`, a line that begins with an exception's full name | | |
//! | `preset = "python"` | tracebacks: `Traceback (most recent call last):`, indented and empty lines, the exception's line, chained ones | | |
//! | `preset = "indent"` | lines that begin with white space | | |
//!
//! | key | default | means |
//! | --- | --- | --- |
//! | `key` | `["host", "file", "log.file.path", "container.id", "app"]` | fields (of your own at most four) whose values tell sources apart; lines of different sources never mix. A field that a record lacks says nothing |
//! | `max_lines` | 500 | an event with so many lines is complete, tagged `_multiline_max_lines` |
//! | `max_bytes` | 131072 | the same of its bytes, tagged `_multiline_max_bytes`; at most 262144 |
//! | `timeout` | `"5s"` | an event that no line was added to for so long (by arrival time) is complete: `"500ms"`, `"2m"`, a number of seconds |
//! | `separator` | `"\n"` | what stands between lines |
//! | `tag` | `"multiline"` | tag of rows of more than one line; `""` for none |
//!
//! The row has the fields and the time of the event's first line, its `message` is all lines, and rows of more than one line have
//! `multiline.lines` and `multiline.first_offset`. Its origin is the offset of its last line; the lines before it count as held,
//! not as dropped. Filters that come later in the chain see only the whole: put this one first.
//!
//! When a row appears: with the line that shows that the event is over, or when the timeout has passed. What is not complete yet
//! is part of the topic's keyed state, durable with the offsets: neither a crash nor a restart tears an event. A promotion does: what
//! waits is given by the chain that held it, before the new one sees its first line.
//! When the topic's state is full, lines become rows of their own, or end their event early, tagged `_multiline_state_full`.
//! (Receivers send what one host or file says to one partition, if the topic's key is set so; events are put together there.)

mod config;
mod event;
#[cfg(test)]
mod tests;

use sawbox_guest::{Filter, Kept, Match, Pattern, Record, Setup, Verdict, kept};

use config::{What, settings};
use event::{Event, source};

/// Tag of a line that could not be kept.
const STATE_FULL: &str = "_multiline_state_full";

/// The filter.
#[derive(Debug)]
pub struct Multiline {
    pattern: Pattern,
    negate: bool,
    what: What,
    key: Vec<String>,
    max_lines: u32,
    max_bytes: usize,
    timeout_ms: u64,
    separator: Vec<u8>,
    tag: String,
    /// Rooms that are used again.
    source: Vec<u8>,
    value: Vec<u8>,
}

impl Multiline {
    fn matches(&mut self, line: &[u8]) -> bool {
        matches!(self.pattern.find(line), Match::Found(_)) != self.negate
    }

    fn is_full(&self, event: &Event) -> bool {
        event.lines >= self.max_lines || event.kept.line.len() >= self.max_bytes
    }

    fn wait(&mut self, record: &Record<'_>, event: &Event) -> bool {
        self.value.clear();
        event.write(&mut self.value);
        record.state().wait(&self.source, &self.value, self.timeout_ms).is_ok()
    }

    fn give(&self, event: &Event, verdict: &mut Verdict<'_>) {
        event.kept.join(verdict);
        if event.lines > 1 {
            verdict.set("multiline.lines", i64::from(event.lines));
            verdict.set("multiline.first_offset", i64::try_from(event.first).unwrap_or(i64::MAX));
            if !self.tag.is_empty() {
                verdict.tag(&self.tag);
            }
        }
        if event.lines >= self.max_lines {
            verdict.tag("_multiline_max_lines");
        }
        if event.kept.line.len() >= self.max_bytes {
            verdict.tag("_multiline_max_bytes");
        }
    }

    /// Adds the record's line.
    fn add(&self, event: &mut Event, record: &Record<'_>, line: &[u8]) {
        event.add(record.offset(), &self.separator, line);
    }
}

impl Filter for Multiline {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let settings = settings(setup.config())?;
        let pattern = setup.pattern(sawbox_guest::PatternKind::Grok, &settings.pattern, &[])?;
        setup.reads_all();
        setup.state_schema(1);
        Ok(Self {
            pattern,
            negate: settings.negate,
            what: settings.what,
            key: settings.key,
            max_lines: settings.max_lines,
            max_bytes: settings.max_bytes,
            timeout_ms: settings.timeout_ms,
            separator: settings.separator,
            tag: settings.tag,
            source: Vec::new(),
            value: Vec::new(),
        })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        if record.is_expired() {
            match Event::read(record.payload()) {
                Some(event) => self.give(&event, verdict),
                None => verdict.fail("what waited is no event of this filter"),
            }
            return;
        }
        let line = kept::line(record);
        source(&mut self.source, record, &self.key);
        let before = record.state().get(&self.source).and_then(|value| Event::read(&value));
        let matches = self.matches(line);
        let continues = match self.what {
            What::Previous => matches,
            What::Next => true,
        };
        let (over, mut event) = match before {
            Some(mut event) if continues => {
                self.add(&mut event, record, line);
                (None, event)
            }
            before => (before, Event::of(Kept::of(record))),
        };
        let ends = self.what == What::Next && !matches;
        if over.is_none() && (ends || self.is_full(&event)) {
            record.state().remove(&self.source);
            self.give(&event, verdict);
            return;
        }
        if self.wait(record, &event) {
            match over {
                Some(over) => self.give(&over, verdict),
                None => verdict.hold(),
            }
            return;
        }
        // There is no room: nothing may be lost, so it becomes a row now, with what came before.
        record.state().remove(&self.source);
        if let Some(mut over) = over {
            self.add(&mut over, record, line);
            event = over;
        }
        self.give(&event, verdict);
        verdict.tag(STATE_FULL);
    }
}

sawbox_guest::filter!(Multiline);
