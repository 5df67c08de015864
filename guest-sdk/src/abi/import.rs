//! What a guest may import from the module `sawbox`, all of it.
//!
//! Every `at`, `len`, `out` and `cap` is an i32 read as unsigned: bytes in the guest's memory. A pointer or a length outside of
//! it traps, as does a handle that was never given out. What the host does is charged to the call's fuel: 100 a call, and by the
//! byte what each function says.
//! ```text
//! log(level: i32, at, len)                            UTF-8 text; level 0 = why I panic, 1 error, 2 warning, 3 information,
//!                                                     4 for the author. At most 4 lines of 1024 bytes a call; the rest is left out
//! last_error(out, cap) -> i32                         why the last import gave -1 for an error, UTF-8. Gives the length; nothing is
//!                                                     written where it is more than `cap`
//! config(at, len, out, cap) -> i32                    the value at a dotted path of the configuration (`targets.0.name`; the empty
//!                                                     path is the whole): a string as it is, anything else as JSON text. Gives the
//!                                                     length; nothing is written where it is more than `cap`. -1 = not there.
//!                                                     Fuel: 1 a byte of the answer
//!
//! pattern_compile(at, len, kind: i32) -> i32          kind 0 grok, 1 regex, 2 grok with ECS names; UTF-8: the expression, then
//!                                                     for each name that it adds: a zero byte, the name, a zero byte, what it
//!                                                     stands for. A handle >= 0, or -1: ask `last_error`. Fuel: 10,000 a byte
//! pattern_describe(handle: i32, out, cap) -> i32      the groups (see [`super::Groups`]). Gives the length; nothing is written
//!                                                     where it is more than `cap`. (-1 for a handle is as `last_error`: that
//!                                                     is how it was before 1.0, and it stays)
//! pattern_match(handle: i32, at, len, out, cap) -> i32
//!     searches the bytes; writes at most `cap` spans of 12 bytes (group u32, start u32, end u32) to `out`, only of named groups
//!     that captured something, in the expression's order; gives the number written, -1 = no match, -2 = gave up on this text
//!     (too much backtracking; not the same as no match). Fuel: 10 a byte. For an expression that needs backtracking, and a text
//!     that may match it, 48,000 more, and 600,000 more where that does not do (with every 256 bytes of text a twelfth more). For a text
//!     on which the plain steps of an expression give up, or where there are none, a quarter of the automaton's states a byte
//!
//! lookup_open(at, len) -> i32                         UTF-8: the kind, a zero byte, the argument. Kind `table`: the name of a file
//!                                                     of the box's `lookups` folder (.csv, .json, .yml), or a JSON object itself;
//!                                                     `geoip`: the name of a MaxMind file there; `dns`: a JSON object: `ask`
//!                                                     (`reverse`: keys are addresses, values their names; `resolve`: the other way
//!                                                     round) and, if wanted, `nameserver` (a list of addresses), `timeout`,
//!                                                     `hit_cache_ttl`, `failed_cache_ttl` (seconds) and `max_retries`.
//!                                                     A handle >= 0, or -1: ask `last_error`. Only in `init`; at most 16
//! lookup_get(handle: i32, record: i32, at, len, out, cap) -> i32
//!     the value of a key: of a table the value's bytes, and of the key that is one zero byte the whole table, a JSON object of
//!     strings; of geoip (the key is an address as text) a JSON object; of dns text. Gives the length; nothing is written where
//!     it is more than `cap`. -1 = nothing is known of this key; -2 = there was no answer in time (dns only; not the same as
//!     knowing nothing). Fuel: 10 a byte of the key, 1 a byte of the value. What dns answers belongs to the record's arrival
//!     time, and a call waits 50 ms for all of its answers together
//!
//! state_get(record: i32, at, len, out, cap) -> i32    what was put under this key. Gives the length; nothing is written where it is
//!                                                     more than `cap`. -1 = not there, or its time is over
//! state_put(record: i32, at, len, value_at, value_len, ttl_ms: i64) -> i32
//!     keeps a value under a key for so long, counted from the record's arrival; ttl_ms < 0 = without end. Gives 0, or -1: ask
//!     `last_error` (the topic's state is full)
//! state_wait(record: i32, at, len, value_at, value_len, wait_ms: i64) -> i32
//!     as `state_put`, but the entry is not forgotten at the end of its time (at least 1 ms, at most 24 h): it is given back, as a
//!     record without fields whose payload is the value (see [`super::input`]: expired), and is gone then. Its offset is that of the record
//!     which put it last. Putting it again, removing it or `state_put` under its key ends the wait. For a record that is itself
//!     an expired entry it gives -1
//! state_remove(record: i32, at, len) -> i32           forgets a key. Gives 0
//! ```
//! `record` is the index, in the input frame, of the record that this is for. Its arrival time is "now"; there is no clock.
//! The state that a filter wrote for a record stands if, and only if, it handled that record: a call that traps, or a record that
//! it fails, leaves no trace. State belongs to (topic, partition, place and name of the filter in the chain) and becomes durable
//! together with the rows. In `init` there are no records and the three state functions trap.

/// The module all of it is in.
pub const MODULE: &str = "sawbox";
/// Says something.
pub const LOG: &str = "log";
/// Says why the last import gave an error.
pub const LAST_ERROR: &str = "last_error";
/// Reads the configuration, for guests without a JSON reader.
pub const CONFIG: &str = "config";
/// Compiles a pattern.
pub const PATTERN_COMPILE: &str = "pattern_compile";
/// Says which groups a pattern has.
pub const PATTERN_DESCRIBE: &str = "pattern_describe";
/// Tries a pattern.
pub const PATTERN_MATCH: &str = "pattern_match";
/// Opens a lookup.
pub const LOOKUP_OPEN: &str = "lookup_open";
/// Asks a lookup.
pub const LOOKUP_GET: &str = "lookup_get";
/// Reads keyed state.
pub const STATE_GET: &str = "state_get";
/// Writes keyed state.
pub const STATE_PUT: &str = "state_put";
/// Writes keyed state that is given back when its time is over.
pub const STATE_WAIT: &str = "state_wait";
/// Forgets keyed state.
pub const STATE_REMOVE: &str = "state_remove";

/// Every function with its signature.
pub const FUNCTIONS: [(&str, &str); 12] = [
    (LOG, "(i32 i32 i32) -> nothing"),
    (LAST_ERROR, "(i32 i32) -> i32"),
    (CONFIG, "(i32 i32 i32 i32) -> i32"),
    (PATTERN_COMPILE, "(i32 i32 i32) -> i32"),
    (PATTERN_DESCRIBE, "(i32 i32 i32) -> i32"),
    (PATTERN_MATCH, "(i32 i32 i32 i32 i32) -> i32"),
    (LOOKUP_OPEN, "(i32 i32) -> i32"),
    (LOOKUP_GET, "(i32 i32 i32 i32 i32 i32) -> i32"),
    (STATE_GET, "(i32 i32 i32 i32 i32) -> i32"),
    (STATE_PUT, "(i32 i32 i32 i32 i32 i64) -> i32"),
    (STATE_WAIT, "(i32 i32 i32 i32 i32 i64) -> i32"),
    (STATE_REMOVE, "(i32 i32 i32) -> i32"),
];

/// What an import gives where something is not there, or, where it makes something, where that failed.
pub const NOTHING: i32 = -1;
/// What `lookup_get` gives where there was no answer in time.
pub const NO_ANSWER: i32 = -2;
/// The key for which `lookup_get` gives all of a table, as a JSON object of strings.
pub const WHOLE_TABLE: [u8; 1] = [0];
/// What `pattern_match` gives where there is no match.
pub const NO_MATCH: i32 = -1;
/// What `pattern_match` gives where the engine gave up.
pub const GAVE_UP: i32 = -2;

/// How a pattern is written.
pub mod pattern_kind {
    /// Logstash's grok: `%{NAME:field:type}` in a regular expression.
    pub const GROK: u32 = 0;
    /// A regular expression with named groups.
    pub const REGEX: u32 = 1;
    /// Grok with the Elastic Common Schema's field names.
    pub const GROK_ECS: u32 = 2;
}

/// Kinds of lookups.
pub mod lookup_kind {
    /// Keys and values, from a file or inline.
    pub const TABLE: &str = "table";
    /// Addresses, from a MaxMind file.
    pub const GEOIP: &str = "geoip";
    /// Names of addresses and addresses of names, from a resolver.
    pub const DNS: &str = "dns";
}
