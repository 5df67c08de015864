//! What consumers say about themselves, as far as it is for others to see. Big-endian, by Kafka's consumer protocol:
//! ```text
//! subscription   version i16 | topics: count i32, each i16 + bytes | …
//! assignment     version i16 | topics: count i32, each i16 + bytes | partitions: count i32, each i32 | …
//! ```
//! The protocol's bytes are between consumers; a group of another kind may put anything there. So what does not read ends the
//! list, and nothing is asked of memory that the bytes do not fill.

/// The topics that a member has subscribed to.
pub fn subscribed_topics(metadata: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = metadata;
    let count = take::<2>(&mut rest).and_then(|_| take::<4>(&mut rest)).map_or(0, i32::from_be_bytes);
    (0..count).map_while(move |_| text(&mut rest))
}

/// The partitions that a member was assigned, by topic.
pub fn assigned_partitions(assignment: &[u8]) -> Vec<(String, Vec<u32>)> {
    let mut rest = assignment;
    let count = take::<2>(&mut rest).and_then(|_| take::<4>(&mut rest)).map_or(0, i32::from_be_bytes);
    let mut topics = Vec::new();
    for _ in 0..count {
        let Some(name) = text(&mut rest) else { break };
        let partitions = take::<4>(&mut rest).map_or(0, i32::from_be_bytes);
        let numbers = (0..partitions).map_while(|_| take::<4>(&mut rest)).map(u32::from_be_bytes);
        topics.push((String::from_utf8_lossy(name).into_owned(), numbers.collect()));
    }
    topics
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

fn text<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(i16::from_be_bytes(take(bytes)?)).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_partitions_are_read_as_far_as_they_make_sense() {
        let subscription = b"\x00\x01\x00\x00\x00\x02\x00\x01a\x00\x03b.c\xff\xff\xff\xff";
        assert_eq!(subscribed_topics(subscription).collect::<Vec<_>>(), [&b"a"[..], b"b.c"]);
        let assignment = b"\x00\x01\x00\x00\x00\x01\x00\x01a\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x00";
        assert_eq!(assigned_partitions(assignment), [("a".to_owned(), vec![3, 4])]);
        for cut in 0..subscription.len() {
            assert!(subscribed_topics(&subscription[..cut]).count() <= 2);
            let _whatever = assigned_partitions(&assignment[..cut]);
        }
        assert_eq!(subscribed_topics(b"\x00\x01\x7f\xff\xff\xff\x00\x01a\xff\xff").count(), 1);
        assert_eq!(assigned_partitions(b"\x00\x01\x7f\xff\xff\xff\x00\x01a\x7f\xff\xff\xff"), [("a".to_owned(), vec![])]);
    }
}
