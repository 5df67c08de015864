//! The rules that were put at run time, durable, beside those of the configuration file.
//!
//! On disk: `queue/TRAFFIC`, a journal of JSON objects, each of them one change; the last one of a name counts:
//! ```text
//! {"quota":{"name":…,"bytes_per_second":…,…}} | {"route":{"name":…,"topic":…,"when":…,"to":…}} | {"no_quota":NAME} | {"no_route":NAME}
//! ```
//! Invariants: a change is durable before it holds. The file's rules stand before those that were put, and a name of the file's
//! cannot be put or removed: who reads the file knows what holds.
//! Crash story: the journal's. A rule that was lost with a damaged entry is put again by whoever misses it; what no longer makes
//! sense beside a changed file (a name it took, a circle) is kept, does not hold, and is listed as shadowed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rules::{Quota, RULES, Route, check_circles};
use crate::base::disk::Disk;
use crate::base::journal::Journal;
use crate::queue::error::QueueError;

/// The journal is written anew from this size on, if it is four times its content.
const REWRITE_BYTES: u64 = 64 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    Quota(Quota),
    Route(Route),
    NoQuota(String),
    NoRoute(String),
}

/// A rule, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruled<R> {
    /// The rule.
    pub rule: R,
    /// It stands in the configuration file.
    pub fixed: bool,
    /// It does not hold: the file says otherwise.
    pub shadowed: bool,
}

/// Something with a name.
pub trait Named {
    /// The name.
    fn name(&self) -> &str;
}

impl Named for Quota {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Route {
    fn name(&self) -> &str {
        &self.name
    }
}

/// All rules.
#[derive(Debug)]
pub struct Book {
    journal: Journal,
    /// The file's.
    fixed: (Vec<Quota>, Vec<Route>),
    /// Those that were put, oldest first.
    put: (Vec<Quota>, Vec<Route>),
}

impl Book {
    /// Opens the journal; tells how many of its entries are broken.
    pub fn open(disk: Arc<dyn Disk>) -> io::Result<(Self, u64)> {
        let (journal, entries, found) = Journal::open(disk, Path::new("queue/TRAFFIC"))?;
        let mut damaged = found.damaged;
        let mut put = (Vec::new(), Vec::new());
        for entry in &entries {
            match serde_json::from_slice(entry) {
                Ok(entry) => apply(&mut put, entry),
                Err(_) => damaged += 1,
            }
        }
        Ok((Self { journal, fixed: Default::default(), put }, damaged))
    }

    /// Takes the file's rules.
    pub fn configure(&mut self, quotas: Vec<Quota>, routes: Vec<Route>) {
        self.fixed = (quotas, routes);
    }

    /// All rules, in the order in which they are tried.
    pub fn rules(&self) -> (Vec<Ruled<Quota>>, Vec<Ruled<Route>>) {
        let mut quotas: Vec<_> = self.fixed.0.iter().map(fixed).collect();
        let mut routes: Vec<_> = self.fixed.1.iter().map(fixed).collect();
        for quota in &self.put.0 {
            let shadowed = has(&self.fixed.0, &quota.name) || {
                let held = quotas.iter().filter(|ruled: &&Ruled<Quota>| !ruled.shadowed).map(|ruled| &ruled.rule);
                check_circles(held.chain([quota]), routes.iter().map(|ruled| &ruled.rule)).is_err()
            };
            quotas.push(Ruled { rule: quota.clone(), fixed: false, shadowed });
        }
        for route in &self.put.1 {
            let shadowed = has(&self.fixed.1, &route.name) || {
                let held = routes.iter().filter(|ruled: &&Ruled<Route>| !ruled.shadowed).map(|ruled| &ruled.rule);
                let quotas = quotas.iter().filter(|ruled| !ruled.shadowed).map(|ruled| &ruled.rule);
                check_circles(quotas, held.chain([route])).is_err()
            };
            routes.push(Ruled { rule: route.clone(), fixed: false, shadowed });
        }
        (quotas, routes)
    }

    /// Puts a quota, in the place of the one of that name.
    pub fn put_quota(&mut self, quota: Quota) -> Result<(), QueueError> {
        quota.check().map_err(QueueError::Refused)?;
        ours(&self.fixed.0, "quota", &quota.name)?;
        let others = self.fixed.0.iter().chain(&self.put.0).filter(|other| other.name != quota.name);
        if others.clone().count() >= RULES {
            return Err(QueueError::Refused(format!("there are {RULES} quotas already")));
        }
        check_circles(others.chain([&quota]), self.fixed.1.iter().chain(&self.put.1)).map_err(QueueError::Refused)?;
        self.change(Entry::Quota(quota))
    }

    /// Puts a route, in the place of the one of that name; without a name it gets one. Gives the name.
    pub fn put_route(&mut self, mut route: Route) -> Result<String, QueueError> {
        if route.name.is_empty() {
            let all = || self.fixed.1.iter().chain(&self.put.1);
            let free = (1..=RULES + 1).map(|n| format!("route-{n}")).find(|name| all().all(|other| other.name != *name));
            route.name = free.unwrap_or_default();
        }
        route.check().map_err(QueueError::Refused)?;
        ours(&self.fixed.1, "route", &route.name)?;
        let others = self.fixed.1.iter().chain(&self.put.1).filter(|other| other.name != route.name);
        if others.clone().count() >= RULES {
            return Err(QueueError::Refused(format!("there are {RULES} routes already")));
        }
        check_circles(self.fixed.0.iter().chain(&self.put.0), others.chain([&route])).map_err(QueueError::Refused)?;
        let name = route.name.clone();
        self.change(Entry::Route(route))?;
        Ok(name)
    }

    /// Removes a quota; false if there is none of that name.
    pub fn remove_quota(&mut self, name: &str) -> Result<bool, QueueError> {
        ours(&self.fixed.0, "quota", name)?;
        if !has(&self.put.0, name) {
            return Ok(false);
        }
        self.change(Entry::NoQuota(name.to_owned())).map(|()| true)
    }

    /// Removes a route; false if there is none of that name.
    pub fn remove_route(&mut self, name: &str) -> Result<bool, QueueError> {
        ours(&self.fixed.1, "route", name)?;
        if !has(&self.put.1, name) {
            return Ok(false);
        }
        self.change(Entry::NoRoute(name.to_owned())).map(|()| true)
    }

    fn change(&mut self, entry: Entry) -> Result<(), QueueError> {
        let bytes = serde_json::to_vec(&entry).map_err(|error| QueueError::Refused(error.to_string()))?;
        let mut after = self.put.clone();
        apply(&mut after, entry);
        let appended = self.journal.append(&bytes);
        if appended.is_err() || self.journal.len() > REWRITE_BYTES {
            let quotas = after.0.iter().cloned().map(Entry::Quota);
            let all: Vec<Vec<u8>> = quotas
                .chain(after.1.iter().cloned().map(Entry::Route))
                .filter_map(|entry| serde_json::to_vec(&entry).ok())
                .collect();
            let small = all.iter().map(Vec::len).sum::<usize>() as u64 * 4 < self.journal.len();
            let slices: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
            match &appended {
                // A failed sync poisons the journal; a new file with all rules heals it.
                Err(error) => {
                    tracing::warn!(%error, "queue/TRAFFIC is written anew after a failed write");
                    self.journal.checkpoint(&slices).map_err(QueueError::not_durable)?;
                }
                Ok(()) if small => {
                    if let Err(error) = self.journal.checkpoint(&slices) {
                        tracing::warn!(%error, "queue/TRAFFIC was not written anew");
                    }
                }
                Ok(()) => {}
            }
        }
        self.put = after;
        Ok(())
    }
}

fn apply((quotas, routes): &mut (Vec<Quota>, Vec<Route>), entry: Entry) {
    match entry {
        Entry::Quota(quota) => replace(quotas, quota),
        Entry::Route(route) => replace(routes, route),
        Entry::NoQuota(name) => quotas.retain(|quota| quota.name != name),
        Entry::NoRoute(name) => routes.retain(|route| route.name != name),
    }
}

fn replace<R: Named>(rules: &mut Vec<R>, rule: R) {
    match rules.iter_mut().find(|own| own.name() == rule.name()) {
        Some(own) => *own = rule,
        None => rules.push(rule),
    }
}

fn has<R: Named>(rules: &[R], name: &str) -> bool {
    rules.iter().any(|rule| rule.name() == name)
}

fn ours<R: Named>(fixed: &[R], kind: &str, name: &str) -> Result<(), QueueError> {
    if has(fixed, name) {
        return Err(QueueError::Refused(format!("the {kind} `{name}` stands in the configuration file; change it there")));
    }
    Ok(())
}

fn fixed<R: Clone>(rule: &R) -> Ruled<R> {
    Ruled { rule: rule.clone(), fixed: true, shadowed: false }
}

/// Whether the rules of a configuration file make sense; names are made up for those that have none.
///
/// # Errors
/// A sentence that begins with the key.
pub fn check_file(quotas: &[Quota], routes: &[Route]) -> Result<(Vec<Quota>, Vec<Route>), String> {
    let number = |name: &str, kind: &str, at: usize| match name {
        "" => format!("{kind}-file-{}", at + 1),
        name => name.to_owned(),
    };
    let quotas: Vec<Quota> = quotas
        .iter()
        .enumerate()
        .map(|(at, quota)| Quota { name: number(&quota.name, "quota", at), ..quota.clone() })
        .collect();
    let routes: Vec<Route> = routes
        .iter()
        .enumerate()
        .map(|(at, route)| Route { name: number(&route.name, "route", at), ..route.clone() })
        .collect();
    for (at, quota) in quotas.iter().enumerate() {
        quota.check().map_err(|why| format!("quotas.{at}.{why}"))?;
        if has(&quotas[..at], &quota.name) {
            return Err(format!("quotas.{at}.name: there are two quotas `{}`", quota.name));
        }
    }
    for (at, route) in routes.iter().enumerate() {
        route.check().map_err(|why| format!("routes.{at}.{why}"))?;
        if has(&routes[..at], &route.name) {
            return Err(format!("routes.{at}.name: there are two routes `{}`", route.name));
        }
    }
    if quotas.len() > RULES || routes.len() > RULES {
        return Err(format!("quotas, routes: at most {RULES} of each"));
    }
    check_circles(quotas.iter(), routes.iter()).map_err(|why| format!("routes: {why}"))?;
    Ok((quotas, routes))
}
