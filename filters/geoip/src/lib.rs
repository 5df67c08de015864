//! `geoip`: where an address is and whose, from a MaxMind file that you bring, as with Logstash's filter of that name.
//!
//! ```toml
//! [[topics.web.chain]]
//! filter = "geoip"
//! config = { source = "clientip", database = "GeoLite2-City.mmdb" }
//! ```
//! Put the file (GeoLite2 or GeoIP2 City, Country, ASN, ISP, Domain, Connection-Type, Anonymous-IP, Enterprise, or any file of that
//! format with their names) into the folder `lookups` of the data directory. Two files are two filters, one after the other.
//!
//! | option | default | what |
//! | --- | --- | --- |
//! | `database` | must be given | the file's name in the folder `lookups` |
//! | `source` | `clientip` | the field with the address; of a list the first value |
//! | `target` | `geoip`; with ECS the source without its `.ip` | put before all names, with a dot |
//! | `fields` | all that there is | only these; names as below, or as Logstash names them (`AUTONOMOUS_SYSTEM_NUMBER`) |
//! | `language` | `en` | of the names: `de`, `es`, `fr`, `ja`, `pt-BR`, `ru`, `zh-CN`; English where there is none |
//! | `cache_size` | 1000 | addresses that are kept, at most 16,384 |
//! | `ecs_compatibility` | `disabled` | `v1` or `v8`: the names of the Elastic Common Schema |
//! | `tag_on_failure` | `_geoip_lookup_failure` | tags where the source is no address, or the file knows nothing of it |
//! | `tag_on_private` | none | tags where the address is private, local or reserved: nobody can know where that is |
//! | `add_field`, `remove_field`, `add_tag`, `remove_tag` | | as everywhere ([`sawbox_guest::common`]), where something was found |
//!
//! | field (in `target`) | with ECS | type |
//! | --- | --- | --- |
//! | `ip` | `ip` | string |
//! | `city_name`, `postal_code`, `timezone` | `geo.city_name`, `geo.postal_code`, `geo.timezone` | string |
//! | `country_name`, `country_code2`, `country_code3` | `geo.country_name`, `geo.country_iso_code`, none | string; both codes have two letters |
//! | `continent_name`, `continent_code` | `geo.continent_name`, `geo.continent_code` | string |
//! | `region_name`, `region_code` | `geo.region_name`, `geo.region_code` | string; of the smallest region |
//! | `region_iso_code` | `geo.region_iso_code` | `DE-BE`; without `fields` this with ECS and `region_code` else |
//! | `latitude`, `longitude` | none | number |
//! | `location.lat`, `location.lon` | `geo.location.lat`, `geo.location.lon` | number |
//! | `dma_code` | `mmdb.dma_code` | integer |
//! | `asn`, `as_org` | `as.number`, `as.organization.name` | integer, string |
//! | `isp`, `organization`, `connection_type`, `domain` | `mmdb.isp`, `mmdb.organization`, `mmdb.connection_type`, `domain` | string |
//! | `anonymous`, `anonymous_vpn`, `hosting_provider`, `public_proxy`, `residential_proxy`, `tor_exit_node` | with `mmdb.` | boolean |
//!
//! A private address gets no field and is no failure. A record without the source is left alone. The file belongs to the chain
//! as it was when the chain was made: apply the chain again to have a newer one take part.
//!
//! `clientip = "81.2.69.142"` → `geoip.ip = "81.2.69.142"`, `geoip.city_name = "London"`, `geoip.country_code2 = "GB"`,
//! `geoip.location.lat = 51.5142`, `geoip.location.lon = -0.0931`, …

pub mod address;
mod known;

use sawbox_guest::common::{is_ecs, tags_on_failure};
use sawbox_guest::{Field, Filter, Known as Answer, Lookup, Name, OnSuccess, Record, Setup, Verdict, field};

use address::Address;
use known::{FIELDS, Finding, find};

/// An address and what is known of it.
type Slot = (Box<[u8]>, Vec<Finding>);

/// Most addresses that are kept.
const KEPT: usize = 16_384;

/// The filter.
#[derive(Debug)]
pub struct GeoIp {
    source: Field,
    lookup: Lookup,
    /// What is wanted, as numbers of [`FIELDS`], and the names that it is set by.
    wanted: Vec<(usize, Vec<Name>)>,
    ip: Option<Name>,
    language: String,
    failure: Vec<String>,
    private: Vec<String>,
    success: OnSuccess,
    slots: Vec<Option<Slot>>,
}

impl Filter for GeoIp {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        let own = [
            "source",
            "target",
            "database",
            "fields",
            "language",
            "cache_size",
            "ecs_compatibility",
            "tag_on_failure",
            "tag_on_private",
        ];
        config.only(&[&own[..], &OnSuccess::KEYS].concat())?;
        let is_ecs = is_ecs(config)?;
        let database = config.str_or("database", "")?;
        if database.is_empty() {
            return Err(
                "`database` must be given: the name of a MaxMind file in the folder `lookups` of the data directory".into()
            );
        }
        if database.contains('/') {
            return Err(format!(
                "`database`: put the file of `{database}` into the folder `lookups` of the data directory, and give its name alone"
            ));
        }
        let source = field::name(config.str_or("source", "clientip")?)?;
        let usual = match source.strip_suffix(".ip").filter(|_| is_ecs) {
            Some(parent) => parent,
            None if is_ecs && config.get("target").is_none() => {
                return Err("with ECS give `target`, or a `source` that ends with `.ip`".into());
            }
            None => "geoip",
        };
        let target = field::target(config.str_or("target", usual)?)?;
        let asked = config.strings("fields")?;
        if let Some(unknown) = asked.iter().find(|name| !FIELDS.iter().any(|field| field.is_called(name))) {
            let names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
            return Err(format!("`fields`: there is no `{unknown}`; there is: {}", names.join(", ")));
        }
        let language = config.str_or("language", "en")?.to_owned();
        let kept = config.i64_or("cache_size", 1000)?;
        if kept < 1 {
            return Err("`cache_size` must be 1 or more".into());
        }
        let failure = tags_on_failure(config, "_geoip_lookup_failure")?;
        let private: Vec<String> = config.strings("tag_on_private")?.into_iter().map(str::to_owned).collect();
        let (mut wanted, mut ip) = (Vec::new(), None);
        for (number, known) in FIELDS.iter().enumerate() {
            let is_wanted =
                if asked.is_empty() { known.is_usual(is_ecs) } else { asked.iter().any(|name| known.is_called(name)) };
            let leaves = if is_ecs { known.ecs } else { known.legacy };
            if !is_wanted || leaves.is_empty() {
                continue;
            }
            let mut names = Vec::new();
            for leaf in leaves {
                names.push(setup.name(&field::target(&format!("{target}.{leaf}"))?));
            }
            if known.name == "ip" {
                ip = names.first().copied();
            } else {
                wanted.push((number, names));
            }
        }
        setup.needs_payload(false);
        let lookup = setup.lookup("geoip", database)?;
        let source = setup.field(&source)?;
        let success = OnSuccess::new(setup)?;
        let size = usize::try_from(kept).unwrap_or(KEPT).min(KEPT).next_power_of_two();
        Ok(Self { source, lookup, wanted, ip, language, failure, private, success, slots: vec![None; size] })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let Some(text) = record.text(self.source).map(<[u8]>::trim_ascii).filter(|text| !text.is_empty()) else { return };
        match Address::of(text) {
            Some(Address::Private) => self.private.iter().for_each(|tag| verdict.tag(tag)),
            Some(Address::Public) if self.write(record, text, verdict) => self.success.apply(record, verdict),
            Some(Address::Public) | None => self.failure.iter().for_each(|tag| verdict.tag(tag)),
        }
    }
}

impl GeoIp {
    /// Sets what is known; whether anything is.
    fn write(&mut self, record: &Record<'_>, text: &[u8], verdict: &mut Verdict<'_>) -> bool {
        let at = hash(text) & (self.slots.len() - 1);
        let (lookup, wanted, language) = (&mut self.lookup, &self.wanted, &self.language);
        let findings = match &mut self.slots[at] {
            Some((known, findings)) if **known == *text => findings,
            slot => {
                let findings = match lookup.get(record, text) {
                    Answer::Value(json) => find(json, wanted, language),
                    Answer::Nothing | Answer::NoAnswer => Vec::new(),
                };
                &mut slot.insert((text.into(), findings)).1
            }
        };
        if findings.is_empty() {
            return false;
        }
        if let Some(ip) = self.ip {
            verdict.set(ip, text);
        }
        for (which, value) in findings {
            if let Some((_, names)) = self.wanted.get(*which) {
                value.set(verdict, names);
            }
        }
        true
    }
}

/// Eight bytes at a time: multiply and fold. Collisions cost a lookup, nothing else.
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

sawbox_guest::filter!(GeoIp);

#[cfg(test)]
mod tests;
