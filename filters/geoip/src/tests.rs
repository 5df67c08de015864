//! Answers as MaxMind's files give them (made up here), and anything else.

use proptest::prelude::*;
use sawbox_guest::testing::{Harness, Input, LookupAnswer, Outcome, Owned, set_lookup};

use super::GeoIp;

const CITY: &str = r#"{"city":{"geoname_id":1,"names":{"de":"Musterstadt","en":"Sample Town"}},
  "continent":{"code":"EU","names":{"en":"Europe"}},
  "country":{"iso_code":"DE","names":{"de":"Deutschland","en":"Germany"}},
  "location":{"accuracy_radius":10,"latitude":51.5,"longitude":-3,"metro_code":807,"time_zone":"Europe/Berlin"},
  "postal":{"code":"12345"},
  "subdivisions":[{"iso_code":"X","names":{"en":"Outer"}},{"iso_code":"BE","names":{"en":"Inner"}}]}"#;
const ASN: &str = r#"{"autonomous_system_number":64500,"autonomous_system_organization":"Sample Net"}"#;

fn run(config: &str, input: Input) -> Outcome {
    set_lookup("geoip", "x.mmdb", |key| match key {
        b"81.2.69.142" | b"2001:218::1" => LookupAnswer::Value(CITY.into()),
        b"81.2.69.143" => LookupAnswer::Value(ASN.into()),
        b"81.2.69.144" => LookupAnswer::Value(b"{}".to_vec()),
        b"81.2.69.145" => LookupAnswer::Value(
            br#"{"city":"x","location":[1],"country":{"names":7,"iso_code":{}},"subdivisions":[]}"#.to_vec(),
        ),
        b"81.2.69.146" => {
            LookupAnswer::Value(br#"{"is_anonymous":true,"is_tor_exit_node":false,"isp":"I","domain":"d.e"}"#.to_vec())
        }
        b"81.2.69.147" => LookupAnswer::Value(b"not json".to_vec()),
        _ => LookupAnswer::Nothing,
    });
    Harness::<GeoIp>::new(config).unwrap().run(&[input]).remove(0)
}

fn show(outcome: &Outcome) -> String {
    let fields: Vec<String> = outcome
        .fields
        .iter()
        .filter(|(name, _)| name != "clientip")
        .map(|(name, value)| match value {
            Owned::Str(bytes) => format!("{name}={}", String::from_utf8_lossy(bytes)),
            other => format!("{name}={other:?}"),
        })
        .collect();
    fields.join(" ")
}

fn of(options: &str, address: &str) -> String {
    show(&run(&format!(r#"{{"database":"x.mmdb"{options}}}"#), Input::new("").field("clientip", address)))
}

#[test]
fn what_a_file_knows() {
    assert_eq!(
        of("", "81.2.69.142"),
        "geoip.ip=81.2.69.142 geoip.city_name=Sample Town geoip.continent_code=EU geoip.continent_name=Europe geoip.country_name=Germany geoip.country_code2=DE geoip.country_code3=DE geoip.postal_code=12345 geoip.region_name=Inner geoip.region_code=BE geoip.timezone=Europe/Berlin geoip.latitude=Float(51.5) geoip.longitude=Float(-3.0) geoip.location.lat=Float(51.5) geoip.location.lon=Float(-3.0) geoip.dma_code=Int(807)"
    );
    assert_eq!(of("", "81.2.69.143"), "geoip.ip=81.2.69.143 geoip.asn=Int(64500) geoip.as_org=Sample Net");
    assert_eq!(
        of("", "81.2.69.146"),
        "geoip.ip=81.2.69.146 geoip.isp=I geoip.domain=d.e geoip.anonymous=Bool(true) geoip.tor_exit_node=Bool(false)"
    );
    assert_eq!(
        of(r#","ecs_compatibility":"v8","target":"client""#, " 81.2.69.142 "),
        "client.ip=81.2.69.142 client.geo.city_name=Sample Town client.geo.continent_code=EU client.geo.continent_name=Europe client.geo.country_name=Germany client.geo.country_iso_code=DE client.geo.postal_code=12345 client.geo.region_name=Inner client.geo.region_iso_code=DE-BE client.geo.timezone=Europe/Berlin client.geo.location.lat=Float(51.5) client.geo.location.lon=Float(-3.0) client.mmdb.dma_code=Int(807)"
    );
    let ecs = r#"{"database":"x.mmdb","ecs_compatibility":"v1","source":"[source][ip]","fields":["AUTONOMOUS_SYSTEM_NUMBER"]}"#;
    assert_eq!(
        show(&run(ecs, Input::new("").field("source.ip", "81.2.69.143"))),
        "source.ip=81.2.69.143 source.as.number=Int(64500)"
    );
    assert_eq!(
        of(r#","fields":["city_name","region_iso_code"],"language":"de""#, "2001:218::1"),
        "geoip.city_name=Musterstadt geoip.region_iso_code=DE-BE"
    );
    assert_eq!(
        of(r#","fields":["COUNTRY_NAME"],"language":"xx","add_tag":"%{[geoip][country_name]}""#, "81.2.69.142"),
        "geoip.country_name=Germany tags=Germany"
    );
}

#[test]
fn what_nobody_knows() {
    for address in ["8.8.8.8", "81.2.69.144", "81.2.69.145", "81.2.69.147", "example.com", "1.2.3.4:80"] {
        assert_eq!(of("", address), "tags=_geoip_lookup_failure", "{address}");
        assert_eq!(of(r#","tag_on_failure":"odd","add_tag":"x""#, address), "tags=odd", "{address}");
    }
    for address in ["10.0.0.1", "127.0.0.1", "fe80::1"] {
        assert_eq!(of("", address), "");
        assert_eq!(of(r#","tag_on_private":["inside"]"#, address), "tags=inside");
    }
    assert_eq!(of("", ""), "");
    assert_eq!(show(&run(r#"{"database":"x.mmdb"}"#, Input::new("81.2.69.142"))), "");
}

#[test]
fn configurations_that_make_no_sense() {
    for (config, says) in [
        ("{}", "database"),
        (r#"{"database":"/etc/x.mmdb"}"#, "lookups"),
        (r#"{"database":"none.mmdb"}"#, "none.mmdb"),
        (r#"{"database":"x.mmdb","fields":["colour"]}"#, "colour"),
        (r#"{"database":"x.mmdb","ecs_compatibility":"v1"}"#, "target"),
        (r#"{"database":"x.mmdb","ecs_compatibility":"v0"}"#, "v8"),
        (r#"{"database":"x.mmdb","cache_size":0}"#, "cache_size"),
        (r#"{"database":"x.mmdb","shape":0}"#, "shape"),
    ] {
        let error = Harness::<GeoIp>::new(config).unwrap_err();
        assert!(error.contains(says), "{config}: {error}");
    }
}

#[test]
fn one_answer_in_whatever_company() {
    let inputs: Vec<Input> =
        (0..1024).map(|number| Input::new("").field("clientip", format!("81.2.69.{}", 140 + number % 9).as_str())).collect();
    run(r#"{"database":"x.mmdb"}"#, Input::new(""));
    let whole: Vec<_> = Harness::<GeoIp>::new(r#"{"database":"x.mmdb"}"#).unwrap().run(&inputs).iter().map(show).collect();
    for size in [1, 7] {
        let mut filter = Harness::<GeoIp>::new(r#"{"database":"x.mmdb","cache_size":1}"#).unwrap();
        let parts: Vec<_> = inputs.chunks(size).flat_map(|chunk| filter.run(chunk)).map(|outcome| show(&outcome)).collect();
        assert_eq!(parts, whole, "in batches of {size}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(key in proptest::collection::vec(any::<u8>(), 0..40), answer in proptest::collection::vec(any::<u8>(), 0..80), cut in any::<prop::sample::Index>()) {
        run(r#"{"database":"x.mmdb"}"#, Input::new("").field("clientip", Owned::Str(key)));
        for answer in [answer, CITY.as_bytes()[..cut.index(CITY.len())].to_vec()] {
            set_lookup("geoip", "y.mmdb", move |_| LookupAnswer::Value(answer.clone()));
            Harness::<GeoIp>::new(r#"{"database":"y.mmdb"}"#).unwrap().run(&[Input::new("").field("clientip", "8.8.8.8")]);
        }
    }
}
