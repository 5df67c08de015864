//! The form of every request that may be served: what `guard.rs` walks along before a request is decoded.
//!
//! Invariant: an API in the dispatch table stands here, and its line agrees with what `kafka-protocol` decodes, field by field;
//! the tests of `guard.rs` hold the two against each other. Names of fields are left out: only lengths matter.

use kafka_protocol::messages::ApiKey;

/// One API's request.
pub(super) struct Schema {
    /// Which.
    pub key: ApiKey,
    /// The first version with compact lengths and tagged fields.
    pub flexible: i16,
    /// Its fields, in order.
    pub fields: &'static [Field],
}

/// A field, in the versions that have it.
pub(super) struct Field {
    pub since: i16,
    pub until: i16,
    /// Among the tagged fields, under this number.
    pub tag: Option<u32>,
    pub kind: Kind,
}

/// What a field is made of.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// So many bytes.
    Fixed(usize),
    /// A string, perhaps null.
    Text,
    /// Bytes, perhaps null.
    Octets,
    /// An array, perhaps null.
    Array(&'static Kind),
    /// Fields, and tagged ones behind them.
    Struct(&'static [Field]),
}

use Kind::{Array, Fixed, Octets, Struct, Text};

const fn all(kind: Kind) -> Field {
    between(0, i16::MAX, kind)
}

const fn since(version: i16, kind: Kind) -> Field {
    between(version, i16::MAX, kind)
}

const fn until(version: i16, kind: Kind) -> Field {
    between(0, version, kind)
}

const fn between(since: i16, until: i16, kind: Kind) -> Field {
    Field { since, until, tag: None, kind }
}

const fn tagged(tag: u32, kind: Kind) -> Field {
    Field { since: 0, until: i16::MAX, tag: Some(tag), kind }
}

const fn api(key: ApiKey, flexible: i16, fields: &'static [Field]) -> Schema {
    Schema { key, flexible, fields }
}

/// No version of it is flexible.
const NEVER: i16 = i16::MAX;

/// An ACL binding, or what selects some.
const ACL: &[Field] = &[all(Fixed(1)), all(Text), all(Fixed(1)), all(Text), all(Text), all(Fixed(1)), all(Fixed(1))];

/// All of them.
#[rustfmt::skip]
pub(super) const SCHEMAS: &[Schema] = &[
    api(ApiKey::Produce, 9, &[all(Text), all(Fixed(2)), all(Fixed(4)), all(Array(&Struct(&[until(12, Text), since(13, Fixed(16)), all(Array(&Struct(&[all(Fixed(4)), all(Octets)])))])))]),
    api(ApiKey::Fetch, 12, &[until(14, Fixed(4)), all(Fixed(4)), all(Fixed(4)), all(Fixed(4)), all(Fixed(1)), since(7, Fixed(4)), since(7, Fixed(4)), all(Array(&Struct(&[until(12, Text), since(13, Fixed(16)), all(Array(&Struct(&[all(Fixed(4)), since(9, Fixed(4)), all(Fixed(8)), since(12, Fixed(4)), since(5, Fixed(8)), all(Fixed(4)), tagged(0, Fixed(16)), tagged(1, Fixed(8))])))]))), since(7, Array(&Struct(&[between(7, 12, Text), since(13, Fixed(16)), since(7, Array(&Fixed(4)))]))), since(11, Text), tagged(0, Text), tagged(1, Struct(&[since(15, Fixed(4)), since(15, Fixed(8))]))]),
    api(ApiKey::ListOffsets, 6, &[all(Fixed(4)), since(2, Fixed(1)), all(Array(&Struct(&[all(Text), all(Array(&Struct(&[all(Fixed(4)), since(4, Fixed(4)), all(Fixed(8))])))]))), since(10, Fixed(4))]),
    api(ApiKey::Metadata, 9, &[all(Array(&Struct(&[since(10, Fixed(16)), all(Text)]))), since(4, Fixed(1)), between(8, 10, Fixed(1)), since(8, Fixed(1))]),
    api(ApiKey::OffsetCommit, 8, &[all(Text), all(Fixed(4)), all(Text), since(7, Text), until(4, Fixed(8)), all(Array(&Struct(&[all(Text), all(Array(&Struct(&[all(Fixed(4)), all(Fixed(8)), since(6, Fixed(4)), all(Text)])))])))]),
    api(ApiKey::OffsetFetch, 6, &[until(7, Text), until(7, Array(&Struct(&[until(7, Text), until(7, Array(&Fixed(4)))]))), since(8, Array(&Struct(&[since(8, Text), since(9, Text), since(9, Fixed(4)), since(8, Array(&Struct(&[since(8, Text), since(8, Array(&Fixed(4)))])))]))), since(7, Fixed(1))]),
    api(ApiKey::FindCoordinator, 3, &[until(3, Text), since(1, Fixed(1)), since(4, Array(&Text))]),
    api(ApiKey::JoinGroup, 6, &[all(Text), all(Fixed(4)), since(1, Fixed(4)), all(Text), since(5, Text), all(Text), all(Array(&Struct(&[all(Text), all(Octets)]))), since(8, Text)]),
    api(ApiKey::Heartbeat, 4, &[all(Text), all(Fixed(4)), all(Text), since(3, Text)]),
    api(ApiKey::LeaveGroup, 4, &[all(Text), until(2, Text), since(3, Array(&Struct(&[since(3, Text), since(3, Text), since(5, Text)])))]),
    api(ApiKey::SyncGroup, 4, &[all(Text), all(Fixed(4)), all(Text), since(3, Text), since(5, Text), since(5, Text), all(Array(&Struct(&[all(Text), all(Octets)])))]),
    api(ApiKey::DescribeGroups, 5, &[all(Array(&Text)), since(3, Fixed(1))]),
    api(ApiKey::ListGroups, 3, &[since(4, Array(&Text)), since(5, Array(&Text))]),
    api(ApiKey::SaslHandshake, NEVER, &[all(Text)]),
    api(ApiKey::ApiVersions, 3, &[since(3, Text), since(3, Text)]),
    api(ApiKey::CreateTopics, 5, &[all(Array(&Struct(&[all(Text), all(Fixed(4)), all(Fixed(2)), all(Array(&Struct(&[all(Fixed(4)), all(Array(&Fixed(4)))]))), all(Array(&Struct(&[all(Text), all(Text)])))]))), all(Fixed(4)), all(Fixed(1))]),
    api(ApiKey::DeleteTopics, 4, &[since(6, Array(&Struct(&[since(6, Text), since(6, Fixed(16))]))), until(5, Array(&Text)), all(Fixed(4))]),
    api(ApiKey::DeleteRecords, 2, &[all(Array(&Struct(&[all(Text), all(Array(&Struct(&[all(Fixed(4)), all(Fixed(8))])))]))), all(Fixed(4))]),
    api(ApiKey::InitProducerId, 2, &[all(Text), all(Fixed(4)), since(3, Fixed(8)), since(3, Fixed(2))]),
    api(ApiKey::OffsetForLeaderEpoch, 4, &[since(3, Fixed(4)), all(Array(&Struct(&[all(Text), all(Array(&Struct(&[all(Fixed(4)), all(Fixed(4)), all(Fixed(4))])))])))]),
    api(ApiKey::DescribeAcls, 2, ACL),
    api(ApiKey::CreateAcls, 2, &[all(Array(&Struct(ACL)))]),
    api(ApiKey::DeleteAcls, 2, &[all(Array(&Struct(ACL)))]),
    api(ApiKey::DescribeConfigs, 4, &[all(Array(&Struct(&[all(Fixed(1)), all(Text), all(Array(&Text))]))), all(Fixed(1)), since(3, Fixed(1))]),
    api(ApiKey::AlterConfigs, 2, &[all(Array(&Struct(&[all(Fixed(1)), all(Text), all(Array(&Struct(&[all(Text), all(Text)])))]))), all(Fixed(1))]),
    api(ApiKey::DescribeLogDirs, 2, &[all(Array(&Struct(&[all(Text), all(Array(&Fixed(4)))])))]),
    api(ApiKey::SaslAuthenticate, 2, &[all(Octets)]),
    api(ApiKey::CreatePartitions, 2, &[all(Array(&Struct(&[all(Text), all(Fixed(4)), all(Array(&Struct(&[all(Array(&Fixed(4)))])))]))), all(Fixed(4)), all(Fixed(1))]),
    api(ApiKey::DeleteGroups, 2, &[all(Array(&Text))]),
    api(ApiKey::IncrementalAlterConfigs, 1, &[all(Array(&Struct(&[all(Fixed(1)), all(Text), all(Array(&Struct(&[all(Text), all(Fixed(1)), all(Text)])))]))), all(Fixed(1))]),
    api(ApiKey::DescribeCluster, 0, &[all(Fixed(1)), since(1, Fixed(1)), since(2, Fixed(1))]),
    api(ApiKey::DescribeUserScramCredentials, 0, &[all(Array(&Struct(&[all(Text)])))]),
    api(ApiKey::AlterUserScramCredentials, 0, &[all(Array(&Struct(&[all(Text), all(Fixed(1))]))), all(Array(&Struct(&[all(Text), all(Fixed(1)), all(Fixed(4)), all(Octets), all(Octets)])))]),
    api(ApiKey::OffsetDelete, NEVER, &[all(Text), all(Array(&Struct(&[all(Text), all(Array(&Fixed(4)))])))]),
];
