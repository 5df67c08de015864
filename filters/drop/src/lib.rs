//! `drop`: leaves out what its `when` selects.
//!
//! ```toml
//! [[topics.web.chain]]
//! filter = "drop"
//! when = 'request:"/f5.txt"'                  # health checks of the load balancer
//! config = { reason = "health check" }        # optional; shown by explain and counted
//! ```
//! Without `when` it drops every record. It looks at nothing, so nothing is copied for it.
//!
//! | option | default | what |
//! | --- | --- | --- |
//! | `reason` | `dropped` | why, as explain shows it and metrics count it |
//! | `percentage` | 100 | drops only that share, as Logstash's filter: by the record's offset and arrival, so always the same ones |
//!
//! `sample` says the same from the other end, and can keep what belongs together.

use sawbox_guest::{Filter, Record, Setup, Verdict, hash};

/// The filter.
#[derive(Debug)]
pub struct Drop {
    reason: String,
    share: hash::Share,
}

impl Filter for Drop {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        setup.config().only(&["reason", "percentage"])?;
        let share = match setup.config().get("percentage") {
            None => hash::Share::new(1.0),
            Some(percentage) => percentage.as_f64().and_then(|percentage| hash::Share::new(percentage / 100.0)),
        };
        let share = share.ok_or("`percentage` must be a number from 0 to 100")?;
        setup.needs_payload(false);
        Ok(Self { reason: setup.config().str_or("reason", "dropped")?.to_owned(), share })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        if self.share.has(hash::of_origin(0, record)) {
            verdict.drop(&self.reason);
        }
    }
}

sawbox_guest::filter!(Drop);

#[cfg(test)]
mod tests {
    use super::Drop;
    use sawbox_guest::testing::{Decision, Harness, Input};

    #[test]
    fn drops_all_it_is_given_with_the_reason() {
        for (config, reason) in [("{}", "dropped"), (r#"{"reason": "health check"}"#, "health check")] {
            let outcome = Harness::<Drop>::new(config).unwrap().one("anything");
            assert_eq!((outcome.decision, outcome.reason.as_str()), (Decision::Drop, reason));
        }
        assert!(Harness::<Drop>::new(r#"{"percentage": 500}"#).unwrap_err().contains("percentage"));
        assert!(Harness::<Drop>::new(r#"{"rate": 1}"#).unwrap_err().contains("rate"));
        assert!(Harness::<Drop>::new(r#"{"reason": 5}"#).is_err());
    }

    #[test]
    fn a_share_is_dropped_and_always_the_same_one() {
        let inputs: Vec<_> = (0..10_000).map(|second| Input::new("x").arrived(second * 1_000_000_000)).collect();
        let run = || {
            let outcomes = Harness::<Drop>::new(r#"{"percentage": 40}"#).unwrap().run(&inputs);
            outcomes.iter().map(|outcome| outcome.decision == Decision::Drop).collect::<Vec<_>>()
        };
        let dropped = run();
        assert!((3700..4300).contains(&dropped.iter().filter(|dropped| **dropped).count()));
        assert_eq!(dropped, run());
    }
}
