//! What makes Sawbox a box: default configuration, demo workload, shippers' client for demo, bench and tests.

pub mod lumberjack;
