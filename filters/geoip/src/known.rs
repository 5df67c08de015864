//! What MaxMind's files know of an address, under the names that Logstash gives it.

use sawbox_guest::{Json, Name, Verdict};

/// A field.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// As the option `fields` names it.
    pub name: &'static str,
    /// As Logstash's option names it.
    option: &'static str,
    /// Where it is set.
    pub legacy: &'static [&'static str],
    /// Where it is set with ECS.
    pub ecs: &'static [&'static str],
    /// Where the file has it: `*` is the language, `-1` the last of a list.
    path: &'static [&'static str],
}

const fn known(
    name: &'static str,
    option: &'static str,
    legacy: &'static [&'static str],
    ecs: &'static [&'static str],
    path: &'static [&'static str],
) -> Known {
    Known { name, option, legacy, ecs, path }
}

/// All of them.
pub const FIELDS: [Known; 28] = [
    known("ip", "IP", &["ip"], &["ip"], &[]),
    known("city_name", "CITY_NAME", &["city_name"], &["geo.city_name"], &["city", "names", "*"]),
    known("continent_code", "CONTINENT_CODE", &["continent_code"], &["geo.continent_code"], &["continent", "code"]),
    known("continent_name", "CONTINENT_NAME", &["continent_name"], &["geo.continent_name"], &["continent", "names", "*"]),
    known("country_name", "COUNTRY_NAME", &["country_name"], &["geo.country_name"], &["country", "names", "*"]),
    known("country_code2", "COUNTRY_CODE2", &["country_code2"], &["geo.country_iso_code"], &["country", "iso_code"]),
    known("country_code3", "COUNTRY_CODE3", &["country_code3"], &[], &["country", "iso_code"]),
    known("postal_code", "POSTAL_CODE", &["postal_code"], &["geo.postal_code"], &["postal", "code"]),
    known("region_name", "REGION_NAME", &["region_name"], &["geo.region_name"], &["subdivisions", "-1", "names", "*"]),
    known("region_code", "REGION_CODE", &["region_code"], &["geo.region_code"], &["subdivisions", "-1", "iso_code"]),
    known(REGION, "REGION_ISO_CODE", &["region_iso_code"], &["geo.region_iso_code"], &["subdivisions", "-1", "iso_code"]),
    known("timezone", "TIMEZONE", &["timezone"], &["geo.timezone"], &["location", "time_zone"]),
    known("latitude", "LATITUDE", &["latitude"], &["geo.location.lat"], &["location", "latitude"]),
    known("longitude", "LONGITUDE", &["longitude"], &["geo.location.lon"], &["location", "longitude"]),
    known("location", "LOCATION", &["location.lat", "location.lon"], &["geo.location.lat", "geo.location.lon"], &["location"]),
    known("dma_code", "DMA_CODE", &["dma_code"], &["mmdb.dma_code"], &["location", "metro_code"]),
    known("asn", "AUTONOMOUS_SYSTEM_NUMBER", &["asn"], &["as.number"], &["autonomous_system_number"]),
    known(
        "as_org",
        "AUTONOMOUS_SYSTEM_ORGANIZATION",
        &["as_org"],
        &["as.organization.name"],
        &["autonomous_system_organization"],
    ),
    known("isp", "ISP", &["isp"], &["mmdb.isp"], &["isp"]),
    known("organization", "ORGANIZATION", &["organization"], &["mmdb.organization"], &["organization"]),
    known("connection_type", "CONNECTION_TYPE", &["connection_type"], &["mmdb.connection_type"], &["connection_type"]),
    known("domain", "DOMAIN", &["domain"], &["domain"], &["domain"]),
    known("anonymous", "ANONYMOUS", &["anonymous"], &["mmdb.anonymous"], &["is_anonymous"]),
    known("anonymous_vpn", "ANONYMOUS_VPN", &["anonymous_vpn"], &["mmdb.anonymous_vpn"], &["is_anonymous_vpn"]),
    known("hosting_provider", "HOSTING_PROVIDER", &["hosting_provider"], &["mmdb.hosting_provider"], &["is_hosting_provider"]),
    known("public_proxy", "PUBLIC_PROXY", &["public_proxy"], &["mmdb.public_proxy"], &["is_public_proxy"]),
    known(
        "residential_proxy",
        "RESIDENTIAL_PROXY",
        &["residential_proxy"],
        &["mmdb.residential_proxy"],
        &["is_residential_proxy"],
    ),
    known("tor_exit_node", "TOR_EXIT_NODE", &["tor_exit_node"], &["mmdb.tor_exit_node"], &["is_tor_exit_node"]),
];

/// A region's code with its country's before it.
const REGION: &str = "region_iso_code";

impl Known {
    /// Whether this is what the option means.
    pub fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || self.option.eq_ignore_ascii_case(name)
    }

    /// Whether it is given to those who ask for nothing in particular.
    pub fn is_usual(&self, is_ecs: bool) -> bool {
        match self.name {
            // With ECS a region is known by the code of its country and its own, and a place is `location` alone.
            "region_code" | "latitude" | "longitude" => !is_ecs,
            REGION => is_ecs,
            _ => true,
        }
    }
}

/// A value that was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Text.
    Str(Vec<u8>),
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// Latitude and longitude.
    Place(f64, f64),
}

impl Cell {
    fn of(json: &Json) -> Option<Self> {
        Some(match json {
            Json::Str(text) => Self::Str(text.clone().into_bytes()),
            Json::Bool(yes) => Self::Bool(*yes),
            Json::Number(_) => json.as_i64().map(Self::Int).or_else(|| json.as_f64().map(Self::Float))?,
            Json::Object(_) => {
                let part = |name| json.get(name).and_then(Json::as_f64).filter(|number| number.is_finite());
                Self::Place(part("latitude")?, part("longitude")?)
            }
            Json::Null | Json::Array(_) => return None,
        })
    }

    /// Sets it.
    pub fn set(&self, verdict: &mut Verdict<'_>, names: &[Name]) {
        let [first, rest @ ..] = names else { return };
        match self {
            Self::Str(text) => verdict.set(*first, text),
            Self::Int(number) => verdict.set(*first, *number),
            Self::Float(number) => verdict.set(*first, *number),
            Self::Bool(yes) => verdict.set(*first, *yes),
            Self::Place(latitude, longitude) => {
                verdict.set(*first, *latitude);
                if let [second] = rest {
                    verdict.set(*second, *longitude);
                }
            }
        }
    }
}

/// Which of the wanted fields, and its value.
pub type Finding = (usize, Cell);

/// What a file's answer has of what is wanted.
pub fn find(answer: &[u8], wanted: &[(usize, Vec<Name>)], language: &str) -> Vec<Finding> {
    let Ok(answer) = Json::parse(answer) else { return Vec::new() };
    let mut found = Vec::new();
    for (which, (number, _)) in wanted.iter().enumerate() {
        let Some(known) = FIELDS.get(*number) else { continue };
        let cell = at(&answer, known.path, language).and_then(Cell::of);
        let cell = match cell {
            Some(Cell::Str(own)) if known.name == REGION => {
                let country = at(&answer, &["country", "iso_code"], language).and_then(Json::as_str);
                // Some files have it whole already.
                country.map(|country| match own.starts_with(format!("{country}-").as_bytes()) {
                    true => Cell::Str(own),
                    false => Cell::Str([country.as_bytes(), b"-", &own].concat()),
                })
            }
            Some(Cell::Int(number)) if matches!(known.name, "latitude" | "longitude") => {
                #[allow(clippy::cast_precision_loss)] // degrees
                Some(Cell::Float(number as f64))
            }
            // Only `location` is a place, and nothing else is.
            Some(Cell::Place(..)) if known.name != "location" => None,
            other => other,
        };
        found.extend(cell.map(|cell| (which, cell)));
    }
    found
}

fn at<'j>(mut json: &'j Json, path: &[&str], language: &str) -> Option<&'j Json> {
    for step in path {
        json = match *step {
            "*" => json.get(language).or_else(|| json.get("en"))?,
            "-1" => json.as_array()?.last()?,
            name => json.get(name)?,
        };
    }
    Some(json)
}
