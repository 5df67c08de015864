//! `useragent`: browser, operating system and device of an agent string, as Logstash's filter of that name.
//!
//! ```toml
//! [[topics.web.chain]]
//! filter = "useragent"
//! config = { source = "agent", target = "ua" }   # all optional
//! ```
//! | option | default | what |
//! | --- | --- | --- |
//! | `source` | `agent`; with ECS `user_agent.original` | the field to read; of a list its first value |
//! | `target` | none; with ECS `user_agent` | put before all names, with a dot; where it is the source, that is removed |
//! | `prefix` | `""` | put before each name; not with ECS |
//! | `ecs_compatibility` | `disabled` | `v1` or `v8`: the names of the Elastic Common Schema |
//! | `lru_cache_size` | 1024 | agents that are kept, at most 16,384: most come again and again |
//! | `tag_on_failure` | none | tags of a record whose agent names nothing that is known |
//! | `add_field`, `remove_field`, `add_tag`, `remove_tag` | | as everywhere ([`sawbox_guest::common`]) |
//!
//! | field | with ECS (in `user_agent`) | what |
//! | --- | --- | --- |
//! | `name` | `name` | browser, app, robot or library: `Chrome Mobile`, `Googlebot`, `curl` |
//! | `version` | `version` | all of its numbers: `120.0.6099.71` |
//! | `major`, `minor`, `patch`, `build` | | the four parts of it |
//! | `os`, `os_name` | `os.name` | `Windows`, `Mac OS X`, `iOS`, `Android`, `Linux`, `Ubuntu`, `Chrome OS` … |
//! | `os_version` | `os.version` | `10`, `10.15.7`, `XP` |
//! | `os_full` | `os.full` | both, where there are both: `Windows 10` |
//! | `os_major`, `os_minor`, `os_patch` | | the parts of it |
//! | `device` | `device.name` | `iPhone`, `iPad`, `Mac`, `PC`, a model (`Pixel 7`), `Spider` for robots |
//! | | `original` | the agent, where it was read from elsewhere |
//!
//! What nothing is known of is `Other`; a part that the agent does not say is no field. An agent that is empty, `-` or missing is
//! left alone. Families have the names that uap-core gives them, and so Logstash; the rules are our own and need no file, so
//! there is no option `regexes`. Unlike there, a desk is a `PC`, a model stands alone (`SM-G973F`, not `Samsung SM-G973F`), and a
//! program that no rule knows has its own name (`Tiny Tiny RSS`) instead of `Other`.
//!
//! `agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1
//! Mobile/15E148 Safari/604.1"` → `name = "Mobile Safari"`, `version = "17.1"`, `major = "17"`, `minor = "1"`, `os = "iOS"`,
//! `os_name = "iOS"`, `os_version = "17.1"`, `os_full = "iOS 17.1"`, `os_major = "17"`, `os_minor = "1"`, `device = "iPhone"`.

pub mod agent;
pub mod system;
pub mod tables;
pub mod tokens;

use sawbox_guest::common::{is_ecs, tags_on_failure};
use sawbox_guest::{Field, Filter, Name, OnSuccess, Record, Setup, Verdict, field};

use agent::{Agent, OTHER, Part};

/// Most agents that are kept.
const KEPT: usize = 16_384;
/// Longer agents are not kept.
const KEPT_BYTES: usize = 512;

/// The filter.
#[derive(Debug)]
pub struct UserAgent {
    source: Field,
    /// Where the source is the target: it makes room.
    removes_source: bool,
    names: Names,
    tags: Vec<String>,
    success: OnSuccess,
    known: Known,
}

/// What is set, as far as it is wanted.
#[derive(Debug)]
struct Names {
    name: Name,
    version: Name,
    parts: Option<[Name; 4]>,
    os: Option<Name>,
    os_name: Name,
    os_version: Name,
    os_full: Name,
    os_parts: Option<[Name; 3]>,
    device: Name,
    original: Option<Name>,
}

impl Filter for UserAgent {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        if config.get("regexes").is_some() {
            return Err("`regexes` is not needed here: the rules are built in, so leave it out".into());
        }
        let own = ["source", "target", "prefix", "ecs_compatibility", "lru_cache_size", "tag_on_failure"];
        config.only(&[&own[..], &OnSuccess::KEYS].concat())?;
        let is_ecs = is_ecs(config)?;
        let source = field::name(config.str_or("source", if is_ecs { "user_agent.original" } else { "agent" })?)?;
        let target = match config.str_or("target", if is_ecs { "user_agent" } else { "" })? {
            "" => String::new(),
            target => field::target(target)?,
        };
        let prefix = config.str_or("prefix", "")?;
        if is_ecs && !prefix.is_empty() {
            return Err("`prefix` is not for ECS, whose names are given".into());
        }
        let kept = config.i64_or("lru_cache_size", 1024)?;
        if kept < 1 {
            return Err("`lru_cache_size` must be 1 or more".into());
        }
        let tags = match config.get("tag_on_failure") {
            Some(_) => tags_on_failure(config, "")?,
            None => Vec::new(),
        };
        let stem = if target.is_empty() { prefix.to_owned() } else { format!("{target}.{prefix}") };
        let mut named = |leaf: &str| field::target(&format!("{stem}{leaf}")).map(|name| setup.name(&name));
        let names = if is_ecs {
            Names {
                name: named("name")?,
                version: named("version")?,
                parts: None,
                os: None,
                os_name: named("os.name")?,
                os_version: named("os.version")?,
                os_full: named("os.full")?,
                os_parts: None,
                device: named("device.name")?,
                original: if source == format!("{stem}original") { None } else { Some(named("original")?) },
            }
        } else {
            Names {
                name: named("name")?,
                version: named("version")?,
                parts: Some([named("major")?, named("minor")?, named("patch")?, named("build")?]),
                os: Some(named("os")?),
                os_name: named("os_name")?,
                os_version: named("os_version")?,
                os_full: named("os_full")?,
                os_parts: Some([named("os_major")?, named("os_minor")?, named("os_patch")?]),
                device: named("device")?,
                original: None,
            }
        };
        setup.needs_payload(false);
        let removes_source = source == target;
        let source = setup.field(&source)?;
        let known = Known::new(usize::try_from(kept).unwrap_or(KEPT).min(KEPT));
        Ok(Self { source, removes_source, names, tags, success: OnSuccess::new(setup)?, known })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let Some(text) = record.text(self.source).filter(|text| !text.is_empty() && *text != b"-") else { return };
        let agent = self.known.parse(text);
        if self.removes_source {
            verdict.remove(self.source.name());
        }
        self.write(text, &agent, verdict);
        if agent.name == OTHER && agent.os == OTHER {
            self.tags.iter().for_each(|tag| verdict.tag(tag));
        } else {
            self.success.apply(record, verdict);
        }
    }
}

impl UserAgent {
    fn write(&self, text: &[u8], agent: &Agent, verdict: &mut Verdict<'_>) {
        let names = &self.names;
        if let Some(original) = names.original {
            verdict.set(original, text);
        }
        verdict.set(names.name, agent.name.of(text));
        set_version(verdict, names.version, names.parts.as_ref(), agent.version, text);
        let os = agent.os.of(text);
        if let Some(name) = names.os {
            verdict.set(name, os);
        }
        verdict.set(names.os_name, os);
        set_version(verdict, names.os_version, names.os_parts.as_ref(), agent.os_version, text);
        let version = agent.os_version.of(text);
        if version.is_empty() {
            verdict.set(names.os_full, os);
        } else {
            verdict.set_built(names.os_full, |full| {
                full.extend_from_slice(os);
                full.push(b' ');
                full.extend(version.iter().map(dotted));
            });
        }
        verdict.set(names.device, agent.device.of(text));
    }
}

fn dotted(byte: &u8) -> u8 {
    if *byte == b'_' { b'.' } else { *byte }
}

/// The whole version, and its parts; nothing where there is none.
fn set_version<const N: usize>(verdict: &mut Verdict<'_>, whole: Name, parts: Option<&[Name; N]>, version: Part, text: &[u8]) {
    let said = version.of(text);
    if said.is_empty() {
        return;
    }
    if said.contains(&b'_') {
        verdict.set_built(whole, |built| built.extend(said.iter().map(dotted)));
    } else {
        verdict.set(whole, said);
    }
    if let Some(parts) = parts {
        for (name, part) in parts.iter().zip(said.split(|byte| matches!(byte, b'.' | b'_'))) {
            if !part.is_empty() {
                verdict.set(*name, part);
            }
        }
    }
}

/// Agents that came before: a cache, one place for each hash.
#[derive(Debug)]
struct Known {
    slots: Vec<Option<(Box<[u8]>, Agent)>>,
}

impl Known {
    fn new(size: usize) -> Self {
        Self { slots: vec![None; size.next_power_of_two()] }
    }

    fn parse(&mut self, text: &[u8]) -> Agent {
        if text.len() > KEPT_BYTES {
            return agent::parse(text);
        }
        let at = hash(text) & (self.slots.len() - 1);
        match &mut self.slots[at] {
            Some((known, agent)) if **known == *text => *agent,
            slot => slot.insert((text.into(), agent::parse(text))).1,
        }
    }
}

/// Eight bytes at a time: multiply and fold. Collisions cost a parse, nothing else.
fn hash(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    let mix = |hash: u64, word: [u8; 8]| {
        let mixed = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ mixed >> 29
    };
    let hash = mix(words.iter().fold(text.len() as u64, |hash, word| mix(hash, *word)), last);
    usize::try_from(hash >> 40).unwrap_or(0)
}

sawbox_guest::filter!(UserAgent);

#[cfg(test)]
mod tests;
