//! Replays, rollbacks and deletions, checked against a model that knows nothing of how they work.
//!
//! The real houses run over a disk in memory that loses power in the middle of anything (`lineage_model.rs` checks what lives
//! without them). The model knows appends, promotions with their offsets, replays with their ranges, deletions. After any
//! interleaving with steps of lanes and replays, flushes, merges, trimming, pauses, cancellations and crashes:
//! * at every moment, the visible rows of each offset are those of one generation, each once, and of deleted offsets there are none;
//! * what a replay made is seen wholly or not at all, and what it could not read any more stays as it was; where rows kept their
//!   records (half of the histories) that is nothing: what the queue has no longer is made anew of them;
//! * where rows are made of several records, each record is in one of them, whatever a replay's range was;
//! * once all is drained, rows are exactly what that generation's filter makes of each record;
//! * a replay that was acknowledged is there after a crash, and goes on to the same end; one that was cancelled leaves nothing;
//! * nothing is emitted again.
//!
//! `SAWBOX_SEEDS` says how many histories are run.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use sawbox::base::ids::Generation;
use sawbox::relay::{Range, ReplayState};
use sawbox::store;

use crate::replay_world::{MARKS, PARTITIONS, World, spec};

#[derive(Clone, Debug)]
enum Op {
    Append(u32, Vec<u8>),
    /// Steps of the lanes, chosen by number.
    Steps(Vec<u8>),
    Flush,
    Merge,
    Promote(usize),
    /// To one of the generations there are, by number.
    RollBack(u8),
    /// Of about these offsets (in eighths of what there is), through this filter or the newest chain.
    Replay {
        from: u8,
        to: u8,
        mark: Option<usize>,
        all: bool,
    },
    /// So many steps of a replay that is open, on the range of this number.
    StepReplay(u8, u8),
    Checkpoint(u8),
    Pause(u8),
    Resume(u8),
    Cancel(u8),
    /// A few offsets, at about this place.
    Delete(u32, u8, u8),
    /// The queue's records below about this place go.
    Trim(u32, u8),
    FailSoon(u64),
    Crash,
    /// What mostly matters, in a row: records, a replay of all of them, so many steps of it with or without a checkpoint; then the
    /// power fails, at once or amid so many more changes of the disk.
    Scene {
        mark: usize,
        steps: u8,
        checkpoint: bool,
        more: Option<u64>,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let kinds = proptest::collection::vec(proptest::sample::select(b"xxxxedf".to_vec()), 1..12);
    let mark = proptest::option::of(0..MARKS.len());
    prop_oneof![
        8 => (0..PARTITIONS, kinds).prop_map(|(partition, kinds)| Op::Append(partition, kinds)),
        8 => proptest::collection::vec(any::<u8>(), 1..12).prop_map(Op::Steps),
        3 => Just(Op::Flush),
        2 => Just(Op::Merge),
        2 => (0..MARKS.len()).prop_map(Op::Promote),
        1 => any::<u8>().prop_map(Op::RollBack),
        5 => (0u8..9, 0u8..9, mark, any::<bool>()).prop_map(|(from, to, mark, all)| Op::Replay { from, to, mark, all }),
        8 => (any::<u8>(), 1u8..6).prop_map(|(which, steps)| Op::StepReplay(which, steps)),
        2 => any::<u8>().prop_map(Op::Checkpoint),
        1 => any::<u8>().prop_map(Op::Pause),
        1 => any::<u8>().prop_map(Op::Resume),
        1 => any::<u8>().prop_map(Op::Cancel),
        2 => (0..PARTITIONS, 0u8..9, 1u8..5).prop_map(|(partition, place, count)| Op::Delete(partition, place, count)),
        1 => (0..PARTITIONS, 0u8..6).prop_map(|(partition, place)| Op::Trim(partition, place)),
        2 => (0u64..40).prop_map(Op::FailSoon),
        2 => Just(Op::Crash),
        3 => (0..MARKS.len(), 0u8..12, any::<bool>(), proptest::option::of(0u64..60))
            .prop_map(|(mark, steps, checkpoint, more)| Op::Scene { mark, steps, checkpoint, more }),
    ]
}

fn operate(world: &mut World, op: &Op) -> Result<(), TestCaseError> {
    match op {
        Op::Append(partition, kinds) => world.append(*partition, kinds),
        Op::Steps(chosen) => chosen.iter().for_each(|number| {
            world.step(*number);
        }),
        // A disk that is off refuses, here and below; nothing changes then.
        Op::Flush => {
            let _ = world.life().store.flush_all();
        }
        Op::Merge => {
            let _ = world.life().store.merge_all();
        }
        Op::Promote(mark) => {
            let _ = world.life().relay.promote("web", spec(MARKS[*mark], world.joins));
        }
        Op::RollBack(which) => {
            let all: Vec<Generation> = world.promoted.keys().chain(world.made.keys()).copied().collect();
            let to = all[usize::from(*which) % all.len()];
            let mark = world.promoted.get(&to).map(|(mark, _)| *mark).unwrap_or_else(|| world.made[&to].0);
            if let Ok(generation) = world.life().relay.roll_back("web", to)
                && !world.disk.is_off()
            {
                world.learn()?;
                prop_assert_eq!(world.promoted.get(&generation).map(|(mark, _)| *mark), Some(mark), "rolled back to another");
            }
        }
        Op::Replay { from, to, mark, all } => return world.replay(*from, *to, *mark, *all),
        Op::StepReplay(which, steps) => {
            if let Some(id) = world.open(*which) {
                for step in 0..*steps {
                    let _ = world.life().relay.step_replay(id, usize::from(step));
                }
            }
        }
        Op::Checkpoint(which) => {
            let _ = world.open(*which).map(|id| world.life().relay.checkpoint_replay(id));
        }
        Op::Pause(which) => {
            let _ = world.open(*which).map(|id| world.life().relay.set_replay(id, ReplayState::Paused));
        }
        Op::Resume(which) => {
            let _ = world.open(*which).map(|id| world.life().relay.set_replay(id, ReplayState::Running));
        }
        Op::Cancel(which) => {
            if let Some(id) = world.open(*which)
                && world.life().relay.set_replay(id, ReplayState::Cancelled).is_ok()
                && !world.disk.is_off()
            {
                world.learn()?;
                prop_assert_eq!(world.replays[&id].state, ReplayState::Cancelled);
                let web = world.web().id();
                prop_assert_eq!(world.life().store.staged(web, id), (0, 0), "a cancelled replay's rows");
            }
        }
        Op::Delete(partition, place, count) => {
            let mut first = world.place(*partition, *place);
            let end = (first + u64::from(*count)).min(world.place(*partition, 8));
            if world.joins {
                // Which rows a line was part of that the queue has no longer is not known.
                first = first.max(world.web().partition(*partition).expect("configured").log_start());
            }
            if first < end {
                let range = Range { partition: *partition, first, end };
                let with_it = world.with_their_rows(range)?;
                match world.life().relay.delete_rows("web", &[range]) {
                    Ok(_) => world.deleted.extend(with_it),
                    Err(_) => world.unsure.push(with_it),
                }
            }
        }
        Op::Trim(partition, place) => {
            let before = world.place(*partition, *place);
            let committed = world.life().store.cursor(world.web().id(), *partition).unwrap_or(0);
            world.learn()?;
            let web = world.web();
            let _ = web.partition(*partition).expect("configured").delete_records(before.min(committed));
        }
        Op::FailSoon(operations) => world.disk.power_off_after(*operations),
        Op::Crash => return world.crash(),
        Op::Scene { mark, steps, checkpoint, more } => {
            (0..PARTITIONS).for_each(|partition| world.append(partition, b"xxedxxxfxxxx"));
            if !world.disk.keep_on() {
                return Ok(());
            }
            world.drain()?;
            world.replay(0, 8, Some(*mark), true)?;
            let Some(id) = world.open(u8::MAX) else { return Ok(()) };
            let step = |steps: u8| {
                (0..steps).for_each(|step| {
                    let _ = world.life().relay.step_replay(id, usize::from(step));
                });
            };
            step(*steps);
            if *checkpoint {
                let _ = world.life().relay.checkpoint_replay(id);
            }
            if let Some(more) = more {
                world.disk.power_off_after(*more);
                step(40);
            }
            return world.crash();
        }
    }
    if !world.disk.is_off() {
        world.learn()?;
    }
    Ok(())
}

fn run(seed: u64, ops: &[Op]) -> Result<(), TestCaseError> {
    run_in(World::new(seed, false), ops)
}

fn run_in(mut world: World, ops: &[Op]) -> Result<(), TestCaseError> {
    let joins = world.joins;
    for op in ops {
        operate(&mut world, op)?;
        if !world.disk.is_off()
            && let Err(error) = world.check(&format!("after {op:?}"))
            // An armed failure may strike what is read here.
            && !world.disk.is_off()
        {
            return Err(error);
        }
    }
    // An armed failure must not strike the end, which is about what a healthy box comes to.
    if world.disk.keep_on() {
        world.learn()?;
    } else {
        world.crash()?;
    }
    world.finish()?;
    world.check_whole("all done")?;
    let refused = |error: store::StoreError| TestCaseError::fail(error.to_string());
    world.life().store.flush_all().map_err(refused)?;
    world.life().store.merge_all().map_err(refused)?;
    world.check_whole("merged")?;
    let web = world.web().id();
    // Swept: what is masked is in no part any more, and no mask but deletions is left.
    let left = world.life().store.masks(web).map(|masks| masks.all()).unwrap_or_default();
    // Where rows are made of several records, one may still come of records that a replay has made another row of.
    prop_assert!(joins || left.iter().all(|mask| mask.keep.is_none()), "masks that nobody needs: {:?}", left);
    let rows: u64 = world.life().store.stats().iter().filter(|stats| stats.name == "web").map(|stats| stats.rows).sum();
    prop_assert_eq!(rows, world.check("merged")?.len() as u64, "rows that nobody sees");
    world.crash()?;
    world.check_whole("started again")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_one_generations_through_replays_and_crashes(seed in any::<u64>(), ops in proptest::collection::vec(op(), 1..50)) {
        run(seed, &ops)?;
    }

    #[test]
    fn rows_of_several_records_are_replayed_whole(seed in any::<u64>(), ops in proptest::collection::vec(op(), 1..50)) {
        run_in(World::new(seed, true), &ops)?;
    }
}

fn cases() -> u32 {
    std::env::var("SAWBOX_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

/// What a replay staged needs the masks of the one before it; once it is cancelled nobody does.
#[test]
fn a_cancelled_replay_leaves_no_masks() {
    let scene = |steps, checkpoint| Op::Scene { mark: 1, steps, checkpoint, more: None };
    let mut ops = vec![scene(0, false), Op::Append(1, b"xx".to_vec()), Op::Delete(0, 1, 1), Op::StepReplay(0, 1)];
    ops.extend([Op::Trim(1, 3), Op::StepReplay(0, 4), scene(1, true), Op::Steps(vec![0]), Op::Merge, Op::Cancel(0)]);
    run(0, &ops).expect("rows of one generation, and no mask that nobody needs");
}

/// A trim of which the power left nobody an answer may be durable all the same: its rows stay, its records are gone.
#[test]
fn a_trim_without_an_answer_costs_no_rows() {
    let ops = [Op::Scene { mark: 0, steps: 0, checkpoint: false, more: None }, Op::FailSoon(1), Op::Trim(0, 1)];
    run(6604312761487608919, &ops).expect("rows of records that were there");
}

/// A range that begins and ends amid rows of several lines is widened to these; one whose first lines are gone stays.
#[test]
fn a_range_amid_a_row_is_widened_to_it() {
    let lines = |kinds: &[u8]| Op::Append(0, kinds.to_vec());
    let steps = || Op::Steps(vec![0; 8]);
    let replay = |from, to| Op::Replay { from, to, mark: Some(1), all: false };
    let most = || [Op::StepReplay(0, 5), Op::StepReplay(0, 5)];
    // Offsets 0 to 7, edges at 3 and 5: events of 2 to 4, and of 5 and 6.
    let mut ops = vec![lines(b"xxxe"), lines(b"exex"), steps(), replay(3, 6)];
    ops.extend(most());
    // The event of 2 to 4 loses its first line.
    ops.extend([Op::Flush, Op::Trim(0, 3), replay(0, 8)]);
    ops.extend(most());
    run_in(World::new(1, true), &ops).expect("every line once");
    let ops = [lines(b"xfed"), lines(b"edxf"), steps(), replay(2, 5)].into_iter().chain(most()).collect::<Vec<_>>();
    run_in(World::new(2, true), &ops).expect("every line of both hosts once");
}
