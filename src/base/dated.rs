//! Names of Elasticsearch's indices that end with a date: what stands before it names the topic, for a topic is not made anew each day.

/// What stands before `-2026.11.22`, `-2026-11-22` or `-2026.11`, or before a date that the server is to reckon, as in
/// `<logs-{now/d}>` and `<logs-{now/M{yyyy.MM|+02:00}}>`. Nothing if the name has no date.
pub fn without_date(index: &str) -> Option<&str> {
    written(index, 11).or_else(|| written(index, 8)).or_else(|| reckoned(index))
}

fn written(index: &str, length: usize) -> Option<&str> {
    let (topic, date) = index.split_at_checked(index.len().checked_sub(length)?)?;
    let is_date = date.bytes().enumerate().all(|(at, byte)| match at {
        0 => byte == b'-',
        5 | 8 => (byte == b'.' || byte == b'-' && length == 11) && date.as_bytes()[5] == byte,
        _ => byte.is_ascii_digit(),
    });
    (is_date && !topic.is_empty()).then_some(topic)
}

fn reckoned(index: &str) -> Option<&str> {
    let (topic, date) = index.strip_prefix('<')?.strip_suffix("}>")?.split_once("-{")?;
    let (maths, format) = match date.split_once('{') {
        Some((maths, format)) => (maths, format.strip_suffix('}')?),
        None => (date, ""),
    };
    let steps = maths.strip_prefix("now")?;
    let is_date =
        (steps.is_empty() || steps.starts_with(['+', '-', '/'])) && !steps.contains('}') && !format.contains(['{', '}']);
    (is_date && !topic.is_empty()).then_some(topic)
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_at_the_end_are_left_off() {
        for (index, topic) in [
            ("logstash-2026.11.20", Some("logstash")),
            ("logstash-2026.11", Some("logstash")),
            ("logstash-2026-11-20", Some("logstash")),
            ("logstash-2026-11", None),
            ("logstash-2026-11.20", None),
            ("filebeat-8.12.0", None),
            ("filebeat-8.12.0-2026.11.20", Some("filebeat-8.12.0")),
            ("-2026.11.20", None),
            ("x-2026.1a.20", None),
            ("é-2026.11.20", Some("é")),
            ("<logs-{now/d}>", Some("logs")),
            ("<logs-eu-{now/M-1M{yyyy.MM|+02:00}}>", Some("logs-eu")),
            ("<logs-{now/d}-000001>", None),
            ("<logs-{now/d}-{now/M}>", None),
            ("<logs-{now/d{yyyy}>", None),
            ("<logs-{today}>", None),
            ("<logs-{nowhere}>", None),
            ("<logs-{now|abc}>", None),
            ("<logs-{now}>", Some("logs")),
            ("<logs-{now{yyyy}}>", Some("logs")),
            ("<-{now/d}>", None),
            ("<logs>", None),
            ("<", None),
            ("", None),
        ] {
            assert_eq!(super::without_date(index), topic, "{index}");
        }
    }
}
