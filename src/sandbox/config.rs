//! What may be configured of the sandbox. Limits on guests; their reasons stand with each.

use serde::{Deserialize, Serialize};

use crate::base::units::Bytes;

/// The sandbox's part of the configuration.
#[derive(Deserialize, Serialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Fuel (about one per Wasm instruction) that a call may use for each of its records. A hand-written parser uses some
    /// thousands, a pattern some ten thousands.
    pub fuel_per_record: u64,
    /// Fuel that it may use besides for each byte that it is given: a megabyte of JSON is one record too.
    pub fuel_per_byte: u64,
    /// Fuel for starting a filter: its start function and `init`.
    pub fuel_to_start: u64,
    /// Most memory of one running filter.
    pub memory: Bytes,
    /// The same for one that brings a runtime with it: an interpreter, or Go's collector.
    pub memory_interpreter: Bytes,
    /// Largest module.
    pub module: Bytes,
    /// Most bytes of keyed state of one topic partition.
    pub state: Bytes,
    /// Largest file that a filter may look things up in.
    pub lookup: Bytes,
    /// A filter that took more memory than this since its start is not kept for the next call.
    pub recycle_above: Bytes,
    /// Running filters that are kept for the next call, in all.
    pub idle_instances: usize,
    /// Memory of those, in all.
    pub idle_memory: Bytes,
    /// How many versions of a filter are kept, the newest ones, though nothing uses them; besides, its current one and all that
    /// generations were made of.
    pub versions: usize,
    /// Whether what filters log is kept for whoever asks, and not logged. Trials and explanations do so; nobody configures it.
    #[serde(skip)]
    pub quiet: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fuel_per_record: 1_000_000,
            fuel_per_byte: 200,
            fuel_to_start: 500_000_000,
            memory: Bytes(64 << 20),
            memory_interpreter: Bytes(512 << 20),
            module: Bytes(32 << 20),
            state: Bytes(16 << 20),
            lookup: Bytes(256 << 20),
            recycle_above: Bytes(16 << 20),
            idle_instances: 64,
            idle_memory: Bytes(96 << 20),
            versions: 20,
            quiet: false,
        }
    }
}

impl Config {
    /// Refuses values that parse but make no sense.
    ///
    /// # Errors
    /// A sentence that says which and why.
    pub fn check(&self) -> Result<(), String> {
        if self.fuel_per_record < 1000 {
            return Err(format!("fuel_per_record = {} is too little for any filter; give at least 1000", self.fuel_per_record));
        }
        if self.fuel_to_start < 1_000_000 {
            return Err(format!("fuel_to_start = {} is too little for any filter; give at least 1000000", self.fuel_to_start));
        }
        if self.memory.0 < 2 << 20 || self.memory.0 > 4 << 30 {
            return Err(format!("memory = \"{}\" must be between 2MiB and 4GiB, the whole of a Wasm memory", self.memory));
        }
        if self.memory_interpreter.0 < self.memory.0 || self.memory_interpreter.0 > 4 << 30 {
            return Err(format!(
                "memory_interpreter = \"{}\" must be between memory = \"{}\" and 4GiB, the whole of a Wasm memory",
                self.memory_interpreter, self.memory
            ));
        }
        if self.module.0 == 0 || self.module.0 > 1 << 30 {
            return Err(format!("module = \"{}\" must be between 1 byte and 1GiB", self.module));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use crate::base::units::Bytes;

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Config::default().check(), Ok(()));
        for config in [
            Config { fuel_per_record: 1, ..Config::default() },
            Config { fuel_to_start: 1, ..Config::default() },
            Config { memory: Bytes(1), ..Config::default() },
            Config { memory_interpreter: Bytes(1 << 20), ..Config::default() },
            Config { module: Bytes(0), ..Config::default() },
        ] {
            assert!(config.check().is_err(), "{config:?}");
        }
    }
}
