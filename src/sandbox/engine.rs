//! The Wasm engine, pinned: what a module may use, and what makes its runs repeatable.
//!
//! Invariants: the same module, configuration and input give the same answer and use the same fuel, whatever the machine's load.
//! So: no threads, no relaxed SIMD, NaNs canonicalised, fuel (counted instructions, bulk operations by the byte) and not time as
//! the limit. What is not switched on here by name is off, so a new release of the engine cannot widen what modules may do.
//! There is no epoch interruption: fuel alone bounds a call, and host functions charge for what they do.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use wasmtime::{OperatorCost, WasmFeatures};

use super::FilterError;

/// Stands in a generation for how its filters were run.
pub(super) const ENGINE: &str = "wasmtime 48";
/// Stack of a guest. Lanes run on threads with 2 MiB.
const STACK_BYTES: usize = 512 * 1024;

/// Makes the engine.
pub(super) fn engine() -> Result<wasmtime::Engine, FilterError> {
    let allowed = WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::SIMD
        | WasmFeatures::FLOATS
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL
        // What is put between two modules of a component copies from one memory to another. A core module may have one only.
        | WasmFeatures::MULTI_MEMORY;
    let mut cost = OperatorCost::new();
    // Growing touches no memory by itself, but the kernel works for it.
    cost.variable.memory_grow_per_page = u8::MAX;
    let mut config = wasmtime::Config::new();
    config
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(allowed, true)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .operator_cost(cost)
        .max_wasm_stack(STACK_BYTES)
        // A compilation must leave a core to the lanes.
        .parallel_compilation(false);
    wasmtime::Engine::new(&config).map_err(|error| FilterError::Engine(format!("{error:#}")))
}

/// Which compiled code this engine can load: version, configuration and processor.
pub(super) fn fingerprint(engine: &wasmtime::Engine) -> String {
    let mut hasher = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hex(&hasher.0.finalize())
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes all bytes of a `Hash`, for a digest that is the same in every process.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
