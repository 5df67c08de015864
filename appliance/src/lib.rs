//! What makes Sawbox a box and shows it at work: the demo's workload and a shipper's client.
//!
//! Nothing here knows the box: it speaks to it over the same sockets as any shipper. `demo`, `bench` and the tests use it.

pub mod workload;
