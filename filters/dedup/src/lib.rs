//! `dedup`: finds records that say what one said a short while ago.
//!
//! ```toml
//! [[topics.app.chain]]
//! filter = "dedup"
//! config = { key = ["host", "message"], window = 60, summary = true }
//! ```
//! | key | default | means |
//! | --- | --- | --- |
//! | `key` | the payload | a field, or a list of them: records with the same values are the same. A field that a record lacks is another value than an empty one |
//! | `window` | 60 | seconds, from the first of them by arrival time; the next one after that is a first one again |
//! | `extend` | `false` | `true`: the window begins anew with every repetition, so only a silence ends it |
//! | `then` | `"drop"` | what becomes of repetitions: `"drop"` or `"tag"` |
//! | `tag` | `"duplicate"` | the tag |
//! | `count_field` | none | with `"tag"`: a field that is set to how many of them there were, this one included |
//! | `summary` | `false` | with `"drop"`: when the window is over and there were repetitions, the last of them becomes a row after all, with `repeated`, how many were left out (this one included), and the tag |
//!
//! What is remembered is part of the topic's keyed state: it survives restarts, and a promotion if this filter stays in the chain (a
//! window with a summary ends then). Each partition remembers for itself. When the state is full, records go through, tagged
//! `_dedup_state_full`.
//!
//! Shippers that send again what they were not told had arrived make new records; this is the filter for them: give it a `key` that is
//! different for every message, such as the file and the offset in it.

use sawbox_guest::{Filter, Kept, Record, Setup, Value, Verdict, field, kept};

/// The filter.
#[derive(Debug)]
pub struct Dedup {
    /// None: the payload.
    key: Option<Vec<String>>,
    window_ms: u64,
    extend: bool,
    drops: bool,
    summary: bool,
    tag: String,
    count_field: Option<String>,
    room: Vec<u8>,
    value: Vec<u8>,
}

/// Longest window that ends with a summary: a day; without, 30 days.
const WINDOW: i64 = 30 * 86_400;
const SUMMARY_WINDOW: i64 = 86_400;

/// What the state has of a key: start of the window, how many came, and where there is to be a summary the last one.
struct Seen {
    start_ns: i64,
    count: u64,
    last: Option<Kept>,
}

impl Seen {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (start, bytes) = bytes.split_first_chunk()?;
        let (count, bytes) = bytes.split_first_chunk()?;
        let last = if bytes.is_empty() { None } else { Kept::read(bytes) };
        Some(Self { start_ns: i64::from_le_bytes(*start), count: u64::from_le_bytes(*count), last })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.start_ns.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        if let Some(last) = &self.last {
            last.write(out);
        }
    }
}

impl Filter for Dedup {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        config.only(&["key", "window", "extend", "then", "tag", "count_field", "summary"])?;
        let key = match config.get("key") {
            Some(_) => Some(config.strings("key")?.into_iter().map(field::name).collect::<Result<Vec<_>, _>>()?),
            None => None,
        };
        if key.as_ref().is_some_and(Vec::is_empty) {
            return Err("`key` names no field; leave it out to compare payloads".into());
        }
        let drops = match config.str_or("then", "drop")? {
            "tag" => false,
            "drop" => true,
            other => return Err(format!("`then` must be \"tag\" or \"drop\", not `{other}`")),
        };
        let (extend, summary) = (config.bool_or("extend", false)?, config.bool_or("summary", false)?);
        let count = config.str_or("count_field", "")?;
        if count.starts_with('_') {
            return Err("`count_field`: names that begin with `_` are the box's own".into());
        }
        if summary && !drops {
            return Err("`summary` goes with `then = \"drop\"`: what is tagged is stored anyway".into());
        }
        if !count.is_empty() && drops {
            return Err("`count_field` goes with `then = \"tag\"`: what is dropped has no fields; see `summary`".into());
        }
        let most = if summary { SUMMARY_WINDOW } else { WINDOW };
        let window = config.i64_or("window", 60)?;
        if !(1..=most).contains(&window) {
            return Err(format!("`window` must be between 1 and {most} seconds"));
        }
        let tag = config.str_or("tag", "duplicate")?.to_owned();
        let count_field = (!count.is_empty()).then(|| count.to_owned());
        let payload = key.is_none() || summary;
        if summary {
            setup.reads_all();
        } else {
            for name in key.iter().flatten() {
                setup.reads(name);
            }
        }
        setup.needs_payload(payload);
        setup.state_schema(1);
        let window_ms = window.unsigned_abs() * 1000;
        Ok(Self { key, window_ms, extend, drops, summary, tag, count_field, room: Vec::new(), value: Vec::new() })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        if record.is_expired() {
            match Seen::read(record.payload()) {
                Some(Seen { count, last: Some(last), .. }) => {
                    last.join(verdict);
                    verdict.set("repeated", i64::try_from(count.saturating_sub(1)).unwrap_or(i64::MAX));
                    verdict.tag(&self.tag);
                }
                // There was but one.
                Some(_) => verdict.drop("seen once"),
                None => verdict.fail("what waited is nothing of this filter"),
            }
            return;
        }
        match &self.key {
            None => kept::key(&mut self.room, std::iter::once(Some(Value::Str(record.payload())))),
            Some(key) => {
                let value =
                    |name: &String| record.values().find(|(field, _)| *field == name.as_bytes()).map(|(_, value)| value);
                kept::key(&mut self.room, key.iter().map(value));
            }
        }
        let (state, now_ns) = (record.state(), record.arrival_ns());
        let known = state.get(&self.room).and_then(|value| Seen::read(&value));
        let is_first = known.is_none();
        let mut seen = known.unwrap_or(Seen { start_ns: now_ns, count: 0, last: None });
        seen.count = seen.count.saturating_add(1);
        if self.extend {
            seen.start_ns = now_ns;
        }
        if self.summary && !is_first {
            seen.last = Some(Kept::of(record));
        }
        seen.write(&mut self.value);
        let passed_ms = now_ns.saturating_sub(seen.start_ns).max(0).unsigned_abs() / 1_000_000;
        let left_ms = self.window_ms.saturating_sub(passed_ms);
        // Only repetitions have something to say at the end.
        let put = match self.summary && !is_first {
            true => state.wait(&self.room, &self.value, left_ms),
            false => state.put(&self.room, &self.value, Some(left_ms)),
        };
        if put.is_err() {
            verdict.tag("_dedup_state_full");
            return;
        }
        if is_first {
            return;
        }
        if self.drops {
            verdict.drop("duplicate");
        } else {
            verdict.tag(&self.tag);
            if let Some(field) = &self.count_field {
                verdict.set(field.as_str(), i64::try_from(seen.count).unwrap_or(i64::MAX));
            }
        }
    }
}

sawbox_guest::filter!(Dedup);

#[cfg(test)]
mod tests {
    use super::Dedup;
    use sawbox_guest::testing::{Decision, Harness, Input, Outcome, Owned, clear_state};

    const SECOND: i64 = 1_000_000_000;

    fn harness(config: &str) -> Harness<Dedup> {
        clear_state();
        Harness::new(config).unwrap()
    }

    fn at(seconds: i64, payload: &str) -> Input {
        Input::new(payload).arrived(seconds * SECOND)
    }

    fn dropped(outcomes: &[Outcome]) -> String {
        outcomes.iter().map(|outcome| if outcome.decision == Decision::Drop { 'x' } else { '.' }).collect()
    }

    #[test]
    fn what_was_said_within_the_window_is_dropped() {
        let long = "y".repeat(1000);
        let inputs = [at(0, "a"), at(1, "b"), at(5, "a"), at(10, "a"), at(11, "b"), at(19, "a"), at(20, &long), at(21, &long)];
        assert_eq!(dropped(&harness(r#"{"window": 10}"#).run(&inputs)), "..x..x.x");
        assert_eq!(dropped(&harness(r#"{"window": 10, "extend": true}"#).run(&inputs)), "..xx.x.x");
    }

    #[test]
    fn keys_are_fields_and_the_missing_is_not_the_empty() {
        let of = |host: &str, n: i64| Input::new("x").field("host", host).field("n", n);
        let inputs = [
            of("a", 1),
            of("a", 2),
            of("b", 1),
            of("a", 1),
            Input::new("x"),
            Input::new("y"),
            of("", 1),
            Input::new("x").field("n", 1),
        ];
        let mut harness = harness(r#"{"key": ["[host]", "n"], "then": "tag", "tag": "again", "count_field": "times"}"#);
        let outcomes = harness.run(&inputs);
        let tagged: Vec<bool> = outcomes.iter().map(|outcome| outcome.get("tags") == Some(&Owned::from("again"))).collect();
        assert_eq!(tagged, [false, false, false, true, false, true, false, false]);
        assert_eq!(outcomes[3].int("times"), Some(2));
    }

    #[test]
    fn a_summary_is_the_last_one_with_how_many_were_left_out() {
        let mut harness = harness(r#"{"window": 10, "summary": true}"#);
        let with = |seconds: i64, host: &str, offset: u64| at(seconds, "disk full").field("host", host).at(offset);
        let outcomes = harness.run(&[with(0, "a", 7), with(3, "b", 8), at(4, "other").at(9), with(9, "c", 10)]);
        assert_eq!(dropped(&outcomes), ".x.x");
        assert!(harness.expire(9 * SECOND).is_empty());
        let rows = harness.expire(10 * SECOND);
        assert_eq!(rows.len(), 1, "nothing is said of what came once");
        assert_eq!(rows[0].joined, Some((10, b"disk full".to_vec())));
        assert_eq!((rows[0].text("host"), rows[0].int("repeated"), rows[0].time_ns), (Some("c"), Some(2), Some(9 * SECOND)));
        assert_eq!(dropped(&harness.run(&[with(10, "a", 11)])), ".");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (config, says) in [
            (r#"{"key": []}"#, "key"),
            (r#"{"window": 0}"#, "window"),
            (r#"{"window": 100000, "summary": true}"#, "window"),
            (r#"{"then": "tag", "summary": true}"#, "summary"),
            (r#"{"count_field": "n"}"#, "count_field"),
            (r#"{"then": "die"}"#, "then"),
            (r#"{"ttl": 3}"#, "ttl"),
        ] {
            let error = Harness::<Dedup>::new(config).unwrap_err();
            assert!(error.contains(says), "{config}: {error}");
        }
    }
}
