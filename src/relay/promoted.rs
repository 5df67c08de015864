//! What the store keeps of a generation: JSON in its commit log. Entries from before there were codecs have none.

use serde::{Deserialize, Serialize};

use crate::relay::codec::spec::CodecRecord;
use crate::sandbox::{ChainRecord, ChainSpec};

/// Who made a generation.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MadeBy {
    /// Nobody configured a chain.
    Default,
    /// The configuration file.
    Config,
    /// A person or program, while the box ran.
    Hot,
    /// A replay.
    Replay,
}

impl MadeBy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Config => "config",
            Self::Hot => "hot",
            Self::Replay => "replay",
        }
    }
}

/// What the store keeps of a generation.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct Promoted {
    pub(crate) made_by: MadeBy,
    /// As people wrote it; none is the default chain.
    pub(crate) spec: Option<ChainSpec>,
    /// As it was resolved.
    pub(crate) chain: ChainRecord,
    /// What makes the chain's payload of a record's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) codec: Option<CodecRecord>,
    /// When it was promoted, nanoseconds since 1970; generations of older boxes do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_ns: Option<i64>,
    /// What made somebody promote it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// Why its lanes are held by a quarantine, until another generation is promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held: Option<String>,
}

impl Promoted {
    /// One that is yet to be promoted, for no particular reason.
    pub(crate) fn new(made_by: MadeBy, spec: Option<ChainSpec>, chain: ChainRecord, codec: Option<CodecRecord>) -> Self {
        Self { made_by, spec, chain, codec, at_ns: None, why: None, held: None }
    }
}
