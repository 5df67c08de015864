//! Answers that hold what was acknowledged before they were asked for.
//!
//! Rows become searchable by themselves, a moment after their records are durable. Who has just written, and wants to find it, waits
//! for the lanes to come as far as the queue was; nobody waits longer than he said.

use std::time::Duration;

use crate::web::Web;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until the rows of what is durable now in topics of these names are there; whether they are.
pub(super) async fn caught_up(web: &Web, wanted: impl Fn(&str) -> bool, longest: Duration) -> bool {
    let mut to_reach = web.relay.to_reach(wanted);
    let deadline = web.clock.monotonic() + longest;
    loop {
        let has_reached = web.relay.has_reached(&mut to_reach);
        if has_reached || web.clock.monotonic() >= deadline {
            return has_reached;
        }
        tokio::time::sleep(LOOK).await;
    }
}
