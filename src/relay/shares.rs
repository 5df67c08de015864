//! Who is next, when lanes of several priorities have something to do.
//!
//! Weighted fair in time: each class notes what its lanes have *spent*, time divided by the class's weight (high 16, medium 4,
//! low 1), and the ready class that has spent least goes first. So busy classes get time as 16 : 4 : 1 whatever their lanes are, one
//! that is alone gets all of it, and every class comes to its turn: while it waits the others' spending passes its own.
//! Within a class lanes take turns.
//!
//! Invariants: a class that was idle comes back with at most [`SAVED`] less spent than the least of the busy ones, so that nobody
//! saves up time to starve others with later. Nothing is computed for a class that is idle.
//!
//! Why not strict priorities: a busy topic would stop all below it for ever. Why spending and not rounds with deficits: the same
//! shares, but in steps of one turn, not of sixteen.

use std::collections::VecDeque;
use std::time::Duration;

use crate::queue::Priority;

/// How many times longer than a high class's its time counts: 16 divided by the weight.
const COST: [u32; 3] = [1, 4, 16];
/// What a class may have left of its time when it comes back: one round of sixteen turns.
const SAVED: Duration = Duration::from_millis(320);

/// Place of a priority.
pub(crate) fn class(priority: Priority) -> usize {
    match priority {
        Priority::High => 0,
        Priority::Medium => 1,
        Priority::Low => 2,
    }
}

struct Class<T> {
    ready: VecDeque<T>,
    running: usize,
    spent: Duration,
}

impl<T> Class<T> {
    fn is_busy(&self) -> bool {
        self.running > 0 || !self.ready.is_empty()
    }
}

/// What is ready, by class.
pub(crate) struct Shares<T> {
    classes: [Class<T>; 3],
}

impl<T> Default for Shares<T> {
    fn default() -> Self {
        let class = || Class { ready: VecDeque::new(), running: 0, spent: Duration::ZERO };
        Self { classes: [class(), class(), class()] }
    }
}

impl<T> Shares<T> {
    /// Something of this class is ready.
    pub(crate) fn push(&mut self, class: usize, one: T) {
        let least = self.classes.iter().filter(|class| class.is_busy()).map(|class| class.spent).min();
        let own = &mut self.classes[class];
        if !own.is_busy()
            && let Some(least) = least
        {
            own.spent = own.spent.max(least.saturating_sub(SAVED));
        }
        own.ready.push_back(one);
    }

    /// The next, and its class; it runs until [`Shares::ran`].
    pub(crate) fn pop(&mut self) -> Option<(T, usize)> {
        let ready = self.classes.iter().enumerate().filter(|(_, class)| !class.ready.is_empty());
        let (class, _) = ready.min_by_key(|(_, class)| class.spent)?;
        let own = &mut self.classes[class];
        let one = own.ready.pop_front()?;
        own.running += 1;
        Some((one, class))
    }

    /// What was popped of this class ran so long. If it has more to do it is pushed before this is said.
    pub(crate) fn ran(&mut self, class: usize, took: Duration) {
        let own = &mut self.classes[class];
        own.running = own.running.saturating_sub(1);
        own.spent = own.spent.saturating_add(took.saturating_mul(COST[class]));
    }

    /// Whether something else of this class is ready.
    pub(crate) fn has_ready(&self, class: usize) -> bool {
        !self.classes[class].ready.is_empty()
    }

    /// Whether anything runs or waits.
    pub(crate) fn is_busy(&self) -> bool {
        self.classes.iter().any(Class::is_busy)
    }

    /// Puts what is ready into the class that it is of now.
    pub(crate) fn sort(&mut self, class_of: impl Fn(&T) -> usize) {
        for class in 0..self.classes.len() {
            let (stay, go) = std::mem::take(&mut self.classes[class].ready).into_iter().partition(|one| class_of(one) == class);
            self.classes[class].ready = stay;
            for one in go {
                self.push(class_of(&one), one);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, SimClock};

    /// Lanes that always have more to do, on so many threads; each turn takes what the lane takes. Gives the time of each lane.
    struct Box {
        shares: Shares<usize>,
        clock: SimClock,
        /// Class and length of a turn.
        lanes: Vec<(usize, Duration)>,
        time: Vec<Duration>,
        /// Longest that a lane waited for its turn.
        waited: Vec<Duration>,
        since: Vec<Duration>,
        running: Vec<(Duration, usize, usize)>,
        threads: usize,
    }

    const TURN: Duration = Duration::from_millis(20);

    impl Box {
        fn new(threads: usize, lanes: &[(usize, Duration)]) -> Self {
            let (shares, clock, zero) = (Shares::default(), SimClock::at(0), vec![Duration::ZERO; lanes.len()]);
            let lanes = lanes.to_vec();
            Self { shares, clock, lanes, time: zero.clone(), waited: zero.clone(), since: zero, running: Vec::new(), threads }
        }

        fn ready(&mut self, lane: usize) {
            self.since[lane] = self.clock.monotonic();
            self.shares.push(self.lanes[lane].0, lane);
        }

        fn run(&mut self, span: Duration) {
            let end = self.clock.monotonic() + span;
            while self.clock.monotonic() < end {
                while self.running.len() < self.threads {
                    let Some((lane, class)) = self.shares.pop() else { break };
                    let now = self.clock.monotonic();
                    self.waited[lane] = self.waited[lane].max(now - self.since[lane]);
                    self.running.push((now + self.lanes[lane].1, lane, class));
                }
                self.running.sort();
                if self.running.is_empty() {
                    return;
                }
                let (at, lane, class) = self.running.remove(0);
                self.clock.advance(at - self.clock.monotonic());
                self.time[lane] += self.lanes[lane].1;
                self.ready(lane);
                self.shares.ran(class, self.lanes[lane].1);
            }
        }

        fn part(&self, lane: usize) -> f64 {
            self.time[lane].as_secs_f64() / self.time.iter().sum::<Duration>().as_secs_f64()
        }
    }

    fn close(is: f64, should: f64) -> bool {
        (is - should).abs() < 0.01
    }

    #[test]
    fn busy_classes_share_sixteen_to_four_to_one() {
        for lengths in [[20, 20, 20], [20, 5, 90], [1, 20, 20]] {
            let lanes: Vec<_> = (0..3).map(|class| (class, Duration::from_millis(lengths[class]))).collect();
            let mut one = Box::new(1, &lanes);
            (0..3).for_each(|lane| one.ready(lane));
            one.run(Duration::from_secs(100));
            assert!(
                close(one.part(0), 16.0 / 21.0) && close(one.part(1), 4.0 / 21.0) && close(one.part(2), 1.0 / 21.0),
                "{:?}",
                one.time
            );
            assert!(one.waited[2] < Duration::from_secs(3), "{:?}", one.waited);
        }
    }

    #[test]
    fn many_lanes_of_a_class_share_its_time() {
        let mut one = Box::new(1, &[(0, TURN), (0, TURN), (0, TURN), (0, TURN), (2, TURN)]);
        (0..5).for_each(|lane| one.ready(lane));
        one.run(Duration::from_secs(100));
        assert!(close(one.part(4), 1.0 / 17.0), "{:?}", one.time);
        assert!((0..4).all(|lane| close(one.part(lane), 4.0 / 17.0)), "{:?}", one.time);
    }

    #[test]
    fn two_threads_share_what_can_be_shared() {
        // Of two high lanes and one low one.
        let mut two = Box::new(2, &[(0, TURN), (0, TURN), (2, TURN)]);
        (0..3).for_each(|lane| two.ready(lane));
        two.run(Duration::from_secs(100));
        assert!(close(two.part(2), 1.0 / 17.0), "{:?}", two.time);
        // One lane is never on two threads: what it cannot use is the others'.
        let mut two = Box::new(2, &[(0, TURN), (2, TURN)]);
        (0..2).for_each(|lane| two.ready(lane));
        two.run(Duration::from_secs(100));
        assert!(close(two.part(1), 0.5), "{:?}", two.time);
    }

    #[test]
    fn nobody_saves_up_and_nobody_pays_for_having_been_alone() {
        let mut one = Box::new(1, &[(0, TURN), (2, TURN)]);
        one.ready(1);
        one.run(Duration::from_secs(60));
        assert_eq!(one.time[0], Duration::ZERO, "an idle class costs nothing");
        // The high one comes back from long idleness: the low one, which had all, still gets its part.
        let before = one.time[1];
        one.ready(0);
        one.run(Duration::from_secs(10));
        let part = (one.time[1] - before).as_secs_f64() / 10.0;
        assert!(part > 0.04 && part < 0.08, "{part}");
        assert!(one.waited[1] < Duration::from_secs(1), "{:?}", one.waited);
        // And the other way round.
        let mut one = Box::new(1, &[(0, TURN), (2, TURN)]);
        one.ready(0);
        one.run(Duration::from_secs(60));
        one.ready(1);
        let before = one.time[0];
        one.run(Duration::from_secs(10));
        let part = (one.time[0] - before).as_secs_f64() / 10.0;
        assert!(part > 0.9 && part < 0.97, "{part}");
        assert!(one.time[1] > Duration::ZERO);
    }

    #[test]
    fn another_priority_holds_at_once() {
        let mut one = Box::new(1, &[(2, TURN), (1, TURN)]);
        (0..2).for_each(|lane| one.ready(lane));
        one.run(Duration::from_secs(50));
        assert!(close(one.part(0), 0.2), "{:?}", one.time);
        one.lanes[0].0 = 0;
        let lanes = one.lanes.clone();
        one.shares.sort(|lane| lanes[*lane].0);
        let before = one.time.clone();
        one.run(Duration::from_secs(50));
        let part = (one.time[0] - before[0]).as_secs_f64() / 50.0;
        assert!((part - 0.8).abs() < 0.02, "{part}");
        assert!(one.waited[0] < Duration::from_millis(500), "{:?}", one.waited);
    }
}
