//! `sample`: keeps a share of the records, always the same ones.
//!
//! ```toml
//! [[topics.web.chain]]
//! filter = "sample"
//! when = "response:200"                # all others are kept
//! config = { rate = 0.1, add_field = { sample_rate = 0.1 } }
//! ```
//! keeps about one of ten records whose `response` is 200, and sets `sample_rate` = 0.1 on those, so that counts can be scaled up.
//!
//! | option | default | what |
//! | --- | --- | --- |
//! | `rate` | | the share that is kept, from 0 to 1 |
//! | `percentage` | | the same from 0 to 100; one of the two must be there |
//! | `key` | | a field: records of the same value are kept or dropped together (all lines of one request) |
//! | `seed` | 0 | another number keeps others: a second sample of a sample needs one |
//! | `reason` | `sampled` | why records were dropped, as explain shows it and metrics count it |
//! | `add_field`, `remove_field`, `add_tag`, `remove_tag` | | of what is kept ([`sawbox_guest::common`]) |
//!
//! Which records are kept follows from the record alone: from the key's value, or else from its offset and when it arrived. So a
//! replay keeps the same ones, as do batches of any size. A record without the key is kept or dropped by its offset. What must
//! always be kept is told by `when`: it selects what is sampled.

use sawbox_guest::template::write_value;
use sawbox_guest::{Field, Filter, OnSuccess, Record, Setup, Verdict, hash};

/// The filter.
#[derive(Debug)]
pub struct Sample {
    share: hash::Share,
    key: Option<Field>,
    seed: u64,
    reason: String,
    on_success: OnSuccess,
    value: Vec<u8>,
}

impl Filter for Sample {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        config.only(&[&["rate", "percentage", "key", "seed", "reason"][..], &OnSuccess::KEYS].concat())?;
        let share = match (config.get("rate"), config.get("percentage")) {
            (Some(rate), None) => rate.as_f64().and_then(hash::Share::new).ok_or("`rate` must be a number from 0 to 1")?,
            (None, Some(percentage)) => percentage
                .as_f64()
                .and_then(|percentage| hash::Share::new(percentage / 100.0))
                .ok_or("`percentage` must be a number from 0 to 100")?,
            _ => return Err("give `rate`, from 0 to 1, or `percentage`, from 0 to 100".into()),
        };
        let key = match config.str_or("key", "")? {
            "" => None,
            written => Some(setup.field(written)?),
        };
        let seed = config.i64_or("seed", 0)?.cast_unsigned();
        let reason = config.str_or("reason", "sampled")?.to_owned();
        let on_success = OnSuccess::new(setup)?;
        setup.needs_payload(false);
        Ok(Self { share, key, seed, reason, on_success, value: Vec::new() })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let key = self.key.and_then(|key| record.value(key));
        let hash = match key {
            Some(value) => {
                self.value.clear();
                write_value(value, &mut self.value);
                hash::of_bytes(self.seed, &self.value)
            }
            None => hash::of_origin(self.seed, record),
        };
        if self.share.has(hash) {
            self.on_success.apply(record, verdict);
        } else {
            verdict.drop(&self.reason);
        }
    }
}

sawbox_guest::filter!(Sample);

#[cfg(test)]
mod tests {
    use super::Sample;
    use sawbox_guest::testing::{Decision, Harness, Input};

    fn kept(config: &str, inputs: &[Input]) -> Vec<bool> {
        let mut filter = Harness::<Sample>::new(config).unwrap();
        filter.run(inputs).iter().map(|outcome| outcome.decision == Decision::Store).collect()
    }

    #[test]
    fn the_share_is_as_asked() {
        let inputs: Vec<_> = (0..10_000).map(|second| Input::new("x").arrived(second * 1_000_000_000)).collect();
        for (config, least, most) in [
            (r#"{"rate": 0}"#, 0, 0),
            (r#"{"rate": 1}"#, 10_000, 10_000),
            (r#"{"rate": 0.1}"#, 850, 1150),
            (r#"{"percentage": 50, "seed": 7}"#, 4700, 5300),
        ] {
            let count = kept(config, &inputs).iter().filter(|kept| **kept).count();
            assert!((least..=most).contains(&count), "{config}: {count}");
        }
        assert_ne!(kept(r#"{"rate": 0.5}"#, &inputs), kept(r#"{"rate": 0.5, "seed": 1}"#, &inputs));
    }

    #[test]
    fn keys_stay_together() {
        let inputs: Vec<_> = (0..1000_i64).map(|number| Input::new("x").arrived(number).field("id", number % 50)).collect();
        let kept = kept(r#"{"rate": 0.5, "key": "id"}"#, &inputs);
        assert!((0..950).all(|at| kept[at] == kept[at + 50]));
        assert!(kept.iter().any(|kept| *kept) && kept.iter().any(|kept| !*kept));
    }

    #[test]
    fn what_is_kept_is_marked() {
        let config = r#"{"rate": 1, "add_field": {"sample_rate": 0.1}, "add_tag": "sampled"}"#;
        let outcome = Harness::<Sample>::new(config).unwrap().one("x");
        assert_eq!((outcome.get("sample_rate"), outcome.text("tags")), (Some(&0.1.into()), Some("sampled")));
        let outcome = Harness::<Sample>::new(r#"{"rate": 0, "reason": "thin"}"#).unwrap().one("x");
        assert_eq!((outcome.decision, outcome.reason.as_str()), (Decision::Drop, "thin"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for config in [
            "{}",
            r#"{"rate": 2}"#,
            r#"{"rate": -1}"#,
            r#"{"percentage": 101}"#,
            r#"{"rate": "x"}"#,
            r#"{"rate": 1, "percentage": 5}"#,
            r#"{"share": 1}"#,
        ] {
            assert!(Harness::<Sample>::new(config).is_err(), "{config}");
        }
    }
}
