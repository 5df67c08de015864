//! One binary for all tests that need more than one house. What needs real clients, a browser or root is in the second tier:
//! see `tests/README.md`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::cast_possible_truncation, clippy::type_complexity)] // tests may fail by panic, and own their files and time

mod access_cli;
mod crowds;
mod dead_letters;
mod elastic;
mod elastic_aggs;
mod elastic_fuzz;
mod elastic_paging;
mod end_to_end;
mod full;
mod ingest;
mod ingest_http;
mod ingest_large;
mod ingest_rig;
mod kafka_groups;
mod kafka_permits;
mod kafka_sign_in;
mod kafka_topics;
mod kafka_wire;
mod life;
mod lineage_model;
mod origin;
mod relay_box;
mod relay_codecs;
mod relay_crash;
mod relay_folder;
mod relay_guest;
mod relay_outputs;
mod relay_speeds;
mod relay_swap;
mod replay_model;
mod replay_past;
mod replay_reach;
mod replay_threads;
mod replay_world;
mod same_name;
mod search;
mod state_model;
mod store_tools;
mod support;
mod terminal;
mod tidy;
mod traffic;
