//! Where calls into a chain are cut: from the log alone, so that it is the same at every run.

use crate::base::ids::Offset;
use crate::base::limits::CALL_RECORDS;
use crate::base::record::Records;

/// The next call within `[at, until)`, and the offset after it. Boundaries depend on the batch alone.
pub(crate) fn cut<'a>(records: &Records<'a>, at: Offset, until: Offset) -> (Records<'a>, Offset) {
    let all = &records.records;
    let first = all.partition_point(|record| record.offset < at);
    let limit = all.partition_point(|record| record.offset < until);
    let last = limit.min((first / CALL_RECORDS + 1) * CALL_RECORDS);
    let next = if last == limit { until } else { all[last].offset };
    if first == 0 && last == all.len() {
        return (records.clone(), next);
    }
    let mut call = Records { records: all[first..last].to_vec(), headers: Vec::new() };
    if let (Some(from), Some(to)) = (call.records.first(), call.records.last()) {
        // Headers stand in the records' order.
        let (from, to) = (from.headers.0, to.headers.1);
        call.headers = records.headers[from as usize..to as usize].to_vec();
        for record in &mut call.records {
            record.headers = (record.headers.0 - from, record.headers.1 - from);
        }
    }
    (call, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::record::RecordView;

    fn batch(count: u64, base: Offset) -> Records<'static> {
        let view = |index: u64| RecordView {
            offset: base + index,
            arrival_ns: 0,
            timestamp_ms: 0,
            key: None,
            payload: b"",
            headers: (u32::try_from(index).unwrap_or(0), u32::try_from(index + 1).unwrap_or(0)),
        };
        Records { records: (0..count).map(view).collect(), headers: (0..count).map(|_| (&b"a"[..], &b"b"[..])).collect() }
    }

    #[test]
    fn calls_depend_on_the_batch_alone() {
        let records = batch(3000, 100);
        let calls = |mut at: Offset, until: Offset| {
            let mut cuts = Vec::new();
            while at < until {
                let (call, next) = cut(&records, at, until);
                assert!(call.records.iter().all(|record| call.headers_of(record).len() == 1));
                assert_eq!(call.records.first().map(|record| record.offset), Some(at));
                cuts.push(next);
                at = next;
            }
            cuts
        };
        assert_eq!(calls(100, 3100), [1124, 2148, 3100]);
        assert_eq!(calls(1124, 3100), [2148, 3100], "a lane that starts in between cuts the same");
        assert_eq!(calls(100, 1500), [1124, 1500], "a generation's boundary");
        assert_eq!(calls(1500, 3100), [2148, 3100]);
        let (call, next) = cut(&batch(0, 5), 5, 9);
        assert_eq!((call.records.len(), next), (0, 9), "a batch of which no record is left");
    }
}
