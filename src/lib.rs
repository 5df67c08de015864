//! Sawbox: receivers, a durable queue, sandboxed filters, a log store, search and a page, in one binary.
//!
//! This file is the wiring: the only place that knows every house. See `ARCHITECTURE.md`.

pub mod base;
pub mod sandbox;
pub mod store;
