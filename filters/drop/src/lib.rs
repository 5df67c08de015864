//! `drop`: leaves out what its `when` selects.
//!
//! ```toml
//! [[topics.web.chain]]
//! filter = "drop"
//! when = 'request:"/f5.txt"'                  # health checks of the load balancer
//! config = { reason = "health check" }        # optional; shown by explain and counted
//! ```
//! Without `when` it drops every record. It looks at nothing, so nothing is copied for it.

use sawbox_guest::{Filter, Record, Setup, Verdict};

/// The filter.
#[derive(Debug)]
pub struct Drop {
    reason: String,
}

impl Filter for Drop {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        setup.config().only(&["reason"])?;
        setup.needs_payload(false);
        Ok(Self { reason: setup.config().str_or("reason", "dropped")?.to_owned() })
    }

    fn process(&mut self, _: &Record<'_>, verdict: &mut Verdict<'_>) {
        verdict.drop(&self.reason);
    }
}

sawbox_guest::filter!(Drop);

#[cfg(test)]
mod tests {
    use super::Drop;
    use sawbox_guest::testing::{Decision, Harness};

    #[test]
    fn drops_all_it_is_given_with_the_reason() {
        for (config, reason) in [("{}", "dropped"), (r#"{"reason": "health check"}"#, "health check")] {
            let outcome = Harness::<Drop>::new(config).unwrap().one("anything");
            assert_eq!((outcome.decision, outcome.reason.as_str()), (Decision::Drop, reason));
        }
        assert!(Harness::<Drop>::new(r#"{"percentage": 5}"#).unwrap_err().contains("percentage"));
        assert!(Harness::<Drop>::new(r#"{"reason": 5}"#).is_err());
    }
}
