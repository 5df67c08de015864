//! What two chains said of the same records, compared.
//!
//! Rows are equal if every field has the same values in the same order; the fields' own order is nothing. Numbers are compared
//! with their type: `1` and `"1"` are a change, as they are to a query.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::report::{EXAMPLE_BYTES, EXAMPLES, Example, FieldExample, Report, SHOWN_BYTES};
use crate::base::ids::PartitionId;
use crate::base::record::{RecordView, Records};
use crate::base::row::{Cell, TIME, Value};
use crate::relay::shown;
use crate::sandbox::{Output, Verdict, VerdictKind};

/// What was run.
pub(super) struct Seen<'s, 'b> {
    pub(super) partition: PartitionId,
    pub(super) call: &'s Records<'b>,
    /// How many examples of each kind are kept.
    pub(super) sample: usize,
}

/// Adds a call to the report; both outputs are of its records.
pub(super) fn compare(report: &mut Report, seen: &Seen<'_, '_>, live: &Output<'_>, candidate: &Output<'_>) {
    let &Seen { partition, call, sample } = seen;
    let same_names = live.names == candidate.names;
    for (record, (old, new)) in call.records.iter().zip(live.verdicts.iter().zip(&candidate.verdicts)) {
        let emissions_differ = old.emissions != new.emissions;
        if emissions_differ {
            report.emissions_differ += 1;
        }
        for emission in &old.emissions {
            report.emitted(emission.topic).live += 1;
        }
        for emission in &new.emissions {
            report.emitted(emission.topic).candidate += 1;
        }
        let kind = match (&old.kind, &new.kind) {
            (VerdictKind::Fail { .. }, VerdictKind::Fail { .. }) => None,
            (_, VerdictKind::Fail { reason, .. }) => {
                Report::reason(&mut report.fail_reasons, reason);
                report.newly_failed += 1;
                Some("newly_failed")
            }
            (VerdictKind::Fail { .. }, _) => {
                report.mended += 1;
                Some("mended")
            }
            (VerdictKind::Store { .. } | VerdictKind::Hold, VerdictKind::Drop { reason }) => {
                Report::reason(&mut report.drop_reasons, reason);
                report.newly_dropped += 1;
                Some("newly_dropped")
            }
            (VerdictKind::Drop { .. }, VerdictKind::Store { .. } | VerdictKind::Hold) => {
                report.newly_kept += 1;
                Some("newly_kept")
            }
            (VerdictKind::Drop { .. }, VerdictKind::Drop { .. }) | (VerdictKind::Hold, VerdictKind::Hold) => {
                emissions_differ.then_some("changed")
            }
            (VerdictKind::Store { .. }, VerdictKind::Hold) | (VerdictKind::Hold, VerdictKind::Store { .. }) => Some("changed"),
            (VerdictKind::Store { time_ns: before, .. }, VerdictKind::Store { time_ns: after, .. }) => {
                let (before, after) = (before.unwrap_or(record.arrival_ns), after.unwrap_or(record.arrival_ns));
                let (old, new) = (live.cells_of(old), candidate.cells_of(new));
                let is_equal = before == after && same_names && is_same(old, new);
                let at = Place { partition, record };
                let rows_differ = !is_equal && fields(report, &at, (&live.names, old, before), (&candidate.names, new, after));
                (rows_differ || emissions_differ).then_some("changed")
            }
        };
        match kind {
            None => report.same += 1,
            Some(kind) => {
                report.changed += u64::from(kind == "changed");
                example(report, kind, &Place { partition, record }, (live, old), (candidate, new), sample);
            }
        }
    }
    report.count(call.records.len() as u64);
}

struct Place<'p, 'b> {
    partition: PartitionId,
    record: &'p RecordView<'b>,
}

/// Mostly the cells are the same, one by one.
fn is_same(old: &[Cell<'_>], new: &[Cell<'_>]) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|(a, b)| a.name == b.name && is_equal(&a.value, &b.value))
}

fn is_equal(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        // NaNs are all one, and the sign of a zero is shown.
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

type Row<'r, 'b> = (&'r [Arc<str>], &'r [Cell<'b>], i64);
type ByName<'r, 'b> = BTreeMap<&'r str, Vec<Value<'b>>>;

fn by_name<'r, 'b>((names, cells, time_ns): Row<'r, 'b>) -> ByName<'r, 'b> {
    let mut all = ByName::from([(TIME, vec![Value::Int(time_ns)])]);
    for cell in cells {
        if let Some(name) = names.get(cell.name as usize) {
            all.entry(name).or_default().push(cell.value);
        }
    }
    all
}

/// Counts fields that differ; whether any does.
fn fields(report: &mut Report, at: &Place<'_, '_>, old: Row<'_, '_>, new: Row<'_, '_>) -> bool {
    let (old, new) = (by_name(old), by_name(new));
    let mut differ = false;
    let show = |name: &str, values: Option<&Vec<Value<'_>>>| match values.map(Vec::as_slice) {
        Some([Value::Int(time_ns)]) if name == TIME => crate::base::time::format(*time_ns).into(),
        values => shown::values(values.unwrap_or_default(), SHOWN_BYTES / 8),
    };
    let mut note = |name: &str, before: Option<&Vec<Value<'_>>>, after: Option<&Vec<Value<'_>>>| {
        differ = true;
        let field = report.field(name);
        match (before, after) {
            (None, _) => field.added += 1,
            (_, None) => field.removed += 1,
            _ => field.changed += 1,
        }
        if field.examples.len() < EXAMPLES {
            let (old, new) = (show(name, before), show(name, after));
            field.examples.push(FieldExample { partition: at.partition, offset: at.record.offset, old, new });
        }
    };
    for (name, before) in &old {
        match new.get(name) {
            Some(after) if before.len() == after.len() && before.iter().zip(after).all(|(a, b)| is_equal(a, b)) => {}
            after => note(name, Some(before), after),
        }
    }
    for (name, after) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        note(name, None, Some(after));
    }
    differ
}

/// Keeps a record, if there are few of its kind yet.
fn example(
    report: &mut Report,
    kind: &'static str,
    at: &Place<'_, '_>,
    (live, old): (&Output<'_>, &Verdict<'_>),
    (candidate, new): (&Output<'_>, &Verdict<'_>),
    sample: usize,
) {
    let known = report.examples.iter().filter(|example| example.kind == kind).count();
    if known >= sample || report.example_bytes >= EXAMPLE_BYTES {
        return;
    }
    let Place { partition, record } = at;
    let example = Example {
        kind,
        partition: *partition,
        offset: record.offset,
        old: shown::verdict(live, old, record.arrival_ns, SHOWN_BYTES),
        new: shown::verdict(candidate, new, record.arrival_ns, SHOWN_BYTES),
        raw: shown::bytes(record.payload, SHOWN_BYTES),
    };
    report.example_bytes += [&example.old, &example.new, &example.raw].map(|json| json.to_string().len()).iter().sum::<usize>();
    report.examples.push(example);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Emission;

    fn row<'b>(names: &[&str], values: &[(u32, Value<'b>)]) -> Output<'b> {
        let kind = VerdictKind::Store { time_ns: None, cells: (0, u32::try_from(values.len()).unwrap()) };
        Output {
            names: names.iter().map(|name| Arc::from(*name)).collect(),
            cells: values.iter().map(|&(name, value)| Cell { name, value }).collect(),
            verdicts: vec![Verdict { kind, emissions: Vec::new(), joined: None }],
            ..Output::default()
        }
    }

    fn said<'b>(kind: VerdictKind<'b>) -> Output<'b> {
        Output { verdicts: vec![Verdict { kind, emissions: Vec::new(), joined: None }], ..Output::default() }
    }

    fn compared(old: &Output<'_>, new: &Output<'_>) -> Report {
        let record = RecordView { offset: 7, arrival_ns: 5, timestamp_ms: 0, key: None, payload: b"raw", headers: (0, 0) };
        let call = Records { records: vec![record], headers: Vec::new() };
        let mut report = Report::default();
        let seen = Seen { partition: 1, call: &call, sample: 5 };
        compare(&mut report, &seen, old, new);
        let sum = report.same + report.changed + report.newly_dropped + report.newly_kept + report.newly_failed + report.mended;
        assert_eq!((sum, report.records), (1, 1), "in exactly one count: {report:?}");
        report
    }

    #[test]
    fn rows_are_compared_by_names_and_values() {
        let (a, b) = (Value::Str(b"a"), Value::Str(b"b"));
        let old = row(&["x", "y"], &[(0, a), (1, b)]);
        assert_eq!(compared(&old, &row(&["y", "x"], &[(1, a), (0, b)])).same, 1, "order is nothing");
        assert_eq!(compared(&row(&["x"], &[(0, a), (0, b)]), &row(&["x"], &[(0, b), (0, a)])).changed, 1, "but in lists");
        assert_eq!(compared(&row(&["x"], &[(0, Value::Int(1))]), &row(&["x"], &[(0, Value::Str(b"1"))])).changed, 1);
        let nan = row(&["x"], &[(0, Value::Float(f64::NAN))]);
        assert_eq!(compared(&nan, &nan.clone()).same, 1);

        let report = compared(&old, &row(&["x", "z"], &[(0, b), (1, b)]));
        let of = |name: &str| report.fields.get(name).map(|field| (field.added, field.removed, field.changed));
        assert_eq!((of("x"), of("y"), of("z")), (Some((0, 0, 1)), Some((0, 1, 0)), Some((1, 0, 0))));
        let example = &report.fields["x"].examples[0];
        assert_eq!((example.partition, example.offset, &example.old, &example.new), (1, 7, &"a".into(), &"b".into()));
        let example = &report.examples[0];
        assert_eq!((example.kind, example.offset, &example.raw["text"]), ("changed", 7, &"raw".into()));
        assert_eq!(example.old["fields"], serde_json::json!({ "_time": "1970-01-01T00:00:00.000000005Z", "x": "a", "y": "b" }));
        assert!(!report.fields.contains_key(TIME));
    }

    #[test]
    fn verdicts_are_counted_by_what_changed() {
        let store = row(&["x"], &[(0, Value::Int(1))]);
        let drop = said(VerdictKind::Drop { reason: "noise".into() });
        let fail = said(VerdictKind::Fail { filter: "f".into(), reason: "broken".into() });
        let counts = |old: &Output<'_>, new: &Output<'_>| {
            let report = compared(old, new);
            [report.same, report.newly_dropped, report.newly_kept, report.newly_failed, report.mended]
        };
        for (old, new, expected) in [
            (&store, &store, [1, 0, 0, 0, 0]),
            (&store, &drop, [0, 1, 0, 0, 0]),
            (&drop, &store, [0, 0, 1, 0, 0]),
            (&drop, &drop, [1, 0, 0, 0, 0]),
            (&store, &fail, [0, 0, 0, 1, 0]),
            (&drop, &fail, [0, 0, 0, 1, 0]),
            (&fail, &store, [0, 0, 0, 0, 1]),
            (&fail, &drop, [0, 0, 0, 0, 1]),
            (&fail, &fail, [1, 0, 0, 0, 0]),
        ] {
            assert_eq!(counts(old, new), expected);
        }
        assert_eq!(compared(&store, &drop).drop_reasons, [("noise".to_owned(), 1)].into());
        assert_eq!(compared(&drop, &fail).fail_reasons, [("broken".to_owned(), 1)].into());
        let mut emits = drop.clone();
        emits.verdicts[0].emissions.push(Emission { topic: "side", payload: b"p", headers: Vec::new() });
        let report = compared(&drop, &emits);
        assert_eq!((report.changed, report.emissions_differ), (1, 1));
        assert_eq!(report.emissions["side"], crate::relay::trial::Emitted { live: 0, candidate: 1 });
    }
}
