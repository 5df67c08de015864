//! The relay's own thread: promotions that lanes ask for, growth that a start could not do, the folder people drop filters into, and
//! the sweep of files that nothing refers to any more.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::base::ids::{Generation, TopicId};
use crate::relay::Relay;
use crate::relay::watch::Watch;

/// What the thread is asked to do.
pub(crate) enum Control {
    /// A filter of this generation fails too often: let records pass as they are.
    Pass { topic: TopicId, generation: Generation },
    /// Likewise: go back to the chain before.
    Previous { topic: TopicId, generation: Generation },
    /// The lanes are held: make that outlive this life.
    Hold { topic: TopicId, generation: Generation },
    /// Something happened in the filters' folder.
    Look,
    /// End.
    Stop,
}

/// How long a file must stay as it is before it counts as wholly copied.
pub(crate) const SETTLED: Duration = Duration::from_millis(300);

/// How long until topics that should grow are tried again.
const GROW_AGAIN: Duration = Duration::from_secs(5);

/// How long from one sweep to the next.
const SWEEP: Duration = Duration::from_secs(24 * 3600);

/// What the thread does.
pub(crate) fn run(relay: &Arc<Relay>, asked: &Receiver<Control>, mut watch: Option<Watch>) {
    // Files may have been dropped while the box was down.
    let mut look = watch.is_some();
    let mut grow = relay.grow_configured() > 0;
    let clock = &relay.shared().clock;
    let mut sweep = clock.monotonic();
    loop {
        if clock.monotonic() >= sweep {
            if let Err(error) = relay.sweep() {
                tracing::warn!(%error, "files that nothing refers to stay for a day");
            }
            sweep = clock.monotonic() + SWEEP;
        }
        let wait = match (look, grow) {
            (true, _) => SETTLED,
            (false, true) => GROW_AGAIN,
            (false, false) => sweep.saturating_sub(clock.monotonic()),
        };
        match asked.recv_timeout(wait) {
            Ok(Control::Pass { topic, generation }) => relay.pass(topic, generation),
            Ok(Control::Previous { topic, generation }) => relay.previous(topic, generation),
            Ok(Control::Hold { topic, generation }) => relay.keep_held(topic, generation),
            Ok(Control::Look) => look = true,
            Ok(Control::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                grow = grow && relay.grow_configured() > 0;
                look = look && watch.as_mut().is_some_and(|watch| watch.look(relay));
            }
        }
    }
}
