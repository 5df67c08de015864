//! The standard names, in our own definitions.
//!
//! Everybody's configuration says `%{COMBINEDAPACHELOG}`; what such a name finds, and how its fields are called, is common
//! knowledge. The expressions here are written from that meaning, for linear-time engines: no look-around, no back reference,
//! no atomic group. A test holds all of them to that.
//!
//! Two flavours: **legacy** field names (`clientip`, `response`) and **ECS** (`source.address`,
//! `http.response.status_code`), which [`ecs`] makes of the legacy tables; what captures nothing is shared.
//!
//! Words used throughout: a name that ends in `DATE`, `TIME` or `STAMP` finds an instant and captures nothing; a name that
//! ends in `LOG` or `LINE` finds a whole record. Not here: configuration's own names, which come before these.

mod backup;
mod base;
mod cisco;
mod cloud;
mod ecs;
mod java;
mod mail;
mod monitoring;
mod network;
mod servers;
mod syslog;
mod web;

use std::borrow::Cow;

/// How captured fields are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// As Logstash did before ECS, and as the `access-log` filter does.
    #[default]
    Legacy,
    /// The Elastic Common Schema.
    Ecs,
}

/// A name and what it stands for.
type Entry = (&'static str, &'static str);

/// Every table of legacy names.
const TABLES: [&[Entry]; 11] = [
    base::PATTERNS,
    syslog::PATTERNS,
    web::PATTERNS,
    java::PATTERNS,
    network::PATTERNS,
    cisco::PATTERNS,
    cloud::PATTERNS,
    servers::PATTERNS,
    mail::PATTERNS,
    monitoring::PATTERNS,
    backup::PATTERNS,
];

/// What a standard name stands for.
pub fn standard(name: &str, flavour: Flavour) -> Option<Cow<'static, str>> {
    let find = |table: &[Entry]| table.iter().find(|entry| entry.0 == name).map(|entry| entry.1);
    // Compiling is rare, so the tables are searched as they stand.
    let legacy = TABLES.into_iter().find_map(find);
    match flavour {
        Flavour::Legacy => legacy.map(Cow::Borrowed),
        Flavour::Ecs => ecs::form(name, legacy),
    }
}

/// All standard names of a flavour.
pub fn names(flavour: Flavour) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = TABLES.into_iter().flatten().map(|entry| entry.0).collect();
    if flavour == Flavour::Ecs {
        names.extend(ecs::names());
    }
    names.sort_unstable();
    names.dedup();
    names
}
