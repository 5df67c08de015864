//! `throttle`: tags or drops records of which there are too few or too many in a time, per key. Logstash's filter of that name.
//!
//! ```toml
//! [[topics.app.chain]]
//! filter = "throttle"
//! config = { key = ["host", "message"], after_count = 5, period = 600, then = "drop" }
//! ```
//! | key | default | means |
//! | --- | --- | --- |
//! | `key` | must be given | a field, or a list of them: records with the same values are counted together. `[]`: all of them. A field that a record lacks is another value than an empty one. Logstash's `"%{host}%{message}"` is `["host", "message"]` |
//! | `before_count` | none | records of a period before this one are throttled: with 3, the first two |
//! | `after_count` | none | records of a period after so many are throttled: with 5, the sixth and all that follow |
//! | `period` | 3600 | seconds, from the first record of the key by arrival time; then counting begins anew |
//! | `then` | `"tag"` | what becomes of the throttled: `"tag"` or `"drop"` |
//! | `tag` | `"throttled"` | the tag |
//! | `count_field` | none | a field that is set to the record's number in its period |
//!
//! At least one of the two counts must be given. Both: what is in between goes through.
//! Counts are part of the topic's keyed state: they survive restarts, and a promotion if this filter stays in the chain. Each partition
//! counts for itself. When the state is full, records of new keys go through, tagged `_throttle_state_full`.

use sawbox_guest::{Filter, Record, Setup, Verdict, field, kept};

/// The filter.
#[derive(Debug)]
pub struct Throttle {
    key: Vec<String>,
    reads: Vec<sawbox_guest::Read>,
    before: u64,
    after: u64,
    period_ms: u64,
    drops: bool,
    tag: String,
    count_field: Option<sawbox_guest::Name>,
    room: Vec<u8>,
}

/// Longest period: 30 days.
const PERIOD: i64 = 30 * 86_400;

impl Filter for Throttle {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        config.only(&["key", "before_count", "after_count", "period", "then", "tag", "count_field"])?;
        if config.get("key").is_none() {
            return Err("give `key`: the fields whose values are counted together, or [] to count all records together".into());
        }
        let key: Vec<String> = config.strings("key")?.into_iter().map(field::name).collect::<Result<_, _>>()?;
        // -1 is Logstash's word for none.
        let (before, after) = (config.i64_or("before_count", -1)?, config.i64_or("after_count", -1)?);
        if before < 0 && after < 0 {
            return Err("give `before_count` or `after_count`: without them nothing is throttled".into());
        }
        let period = config.i64_or("period", 3600)?;
        if !(1..=PERIOD).contains(&period) {
            return Err(format!("`period` must be between 1 and {PERIOD} seconds"));
        }
        let drops = match config.str_or("then", "tag")? {
            "tag" => false,
            "drop" => true,
            other => return Err(format!("`then` must be \"tag\" or \"drop\", not `{other}`")),
        };
        let tag = config.str_or("tag", "throttled")?.to_owned();
        let count = config.str_or("count_field", "")?;
        if count.starts_with('_') {
            return Err("`count_field`: names that begin with `_` are the box's own".into());
        }
        let count_field = (!count.is_empty()).then(|| count.to_owned()).map(|name| setup.name(&name));
        let reads = key.iter().map(|name| setup.reads(name)).collect();
        setup.needs_payload(false);
        setup.state_schema(1);
        Ok(Self {
            key,
            reads,
            before: u64::try_from(before).unwrap_or(0),
            after: u64::try_from(after).unwrap_or(u64::MAX),
            period_ms: period.unsigned_abs() * 1000,
            drops,
            tag,
            count_field,
            room: Vec::new(),
        })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        kept::key(&mut self.room, self.reads.iter().map(|read| record.get(*read)));
        let state = record.state();
        let now_ns = record.arrival_ns();
        // Start of the period, and how many it had.
        let known = state.get(&self.room).and_then(|value| {
            let (start, rest) = value.split_first_chunk()?;
            Some((i64::from_le_bytes(*start), u64::from_le_bytes(*rest.first_chunk()?)))
        });
        let (start_ns, count) = known.unwrap_or((now_ns, 0));
        let count = count.saturating_add(1);
        let mut value = [0; 16];
        value[..8].copy_from_slice(&start_ns.to_le_bytes());
        value[8..].copy_from_slice(&count.to_le_bytes());
        let passed_ms = now_ns.saturating_sub(start_ns).max(0).unsigned_abs() / 1_000_000;
        if state.put(&self.room, &value, Some(self.period_ms.saturating_sub(passed_ms))).is_err() {
            verdict.tag("_throttle_state_full");
            return;
        }
        if let Some(field) = self.count_field {
            verdict.set(field, i64::try_from(count).unwrap_or(i64::MAX));
        }
        if count >= self.before && count <= self.after {
            return;
        }
        if self.drops {
            verdict.drop("throttled");
        } else {
            verdict.tag(&self.tag);
        }
    }
}

impl Throttle {
    /// The fields whose values are counted together.
    pub fn key(&self) -> &[String] {
        &self.key
    }
}

sawbox_guest::filter!(Throttle);

#[cfg(test)]
mod tests {
    use super::Throttle;
    use sawbox_guest::testing::{Decision, Harness, Input, Owned, clear_state};

    const SECOND: i64 = 1_000_000_000;

    fn harness(config: &str) -> Harness<Throttle> {
        clear_state();
        Harness::new(config).unwrap()
    }

    fn at(seconds: i64, host: &str) -> Input {
        Input::new("x").field("host", host).arrived(seconds * SECOND)
    }

    fn tagged(harness: &mut Harness<Throttle>, inputs: &[Input]) -> Vec<bool> {
        harness.run(inputs).iter().map(|outcome| outcome.all("tags").contains(&&Owned::from("throttled"))).collect()
    }

    #[test]
    fn counts_mean_what_logstash_says() {
        // (configuration, which of seven records of one period are throttled)
        for (config, expected) in [
            (r#"{"key": "host", "after_count": 2}"#, "..xxxxx"),
            (r#"{"key": "host", "before_count": 3}"#, "xx....."),
            (r#"{"key": "host", "before_count": 3, "after_count": 5}"#, "xx...xx"),
            (r#"{"key": [], "before_count": -1, "after_count": 0}"#, "xxxxxxx"),
        ] {
            let mut harness = harness(config);
            let inputs: Vec<Input> = (0..7).map(|second| at(second, "a")).collect();
            let seen: String = tagged(&mut harness, &inputs).into_iter().map(|yes| if yes { 'x' } else { '.' }).collect();
            assert_eq!(seen, expected, "{config}");
        }
    }

    #[test]
    fn keys_and_periods_are_counted_for_themselves() {
        let mut harness = harness(r#"{"key": "host", "after_count": 1, "period": 10}"#);
        let inputs = [at(0, "a"), at(1, "b"), at(9, "a"), at(10, "a"), at(10, "b"), at(11, "b"), at(19, "a"), at(20, "a")];
        assert_eq!(tagged(&mut harness, &inputs), [false, false, true, false, true, false, true, false]);
        // A key is a list of values, not their text in a row.
        let mut harness = self::harness(r#"{"key": ["[host]", "app"], "after_count": 1}"#);
        let of = |host: &str, app: &str| Input::new("x").field("host", host).field("app", app);
        assert_eq!(
            tagged(&mut harness, &[of("a", "bc"), of("ab", "c"), Input::new("x"), of("ab", "c")]),
            [false, false, false, true]
        );
    }

    #[test]
    fn what_is_throttled_can_be_dropped_and_counted() {
        let mut harness = harness(r#"{"key": "host", "after_count": 1, "then": "drop", "count_field": "n"}"#);
        let outcomes = harness.run(&[at(0, "a"), at(0, "a")]);
        assert_eq!((outcomes[0].decision, outcomes[0].int("n")), (Decision::Store, Some(1)));
        assert_eq!((outcomes[1].decision, outcomes[1].reason.as_str()), (Decision::Drop, "throttled"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (config, says) in [
            (r#"{"after_count": 1}"#, "key"),
            (r#"{"key": "host"}"#, "before_count"),
            (r#"{"key": "host", "after_count": 1, "period": 0}"#, "period"),
            (r#"{"key": "host", "after_count": 1, "then": "die"}"#, "then"),
            (r#"{"key": "host", "after_count": 1, "count_field": "_n"}"#, "count_field"),
            (r#"{"key": "host", "after_count": 1, "max_age": 3}"#, "max_age"),
        ] {
            let error = Harness::<Throttle>::new(config).unwrap_err();
            assert!(error.contains(says), "{config}: {error}");
        }
    }
}
