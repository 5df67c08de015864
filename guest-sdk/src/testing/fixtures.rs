//! A filter's fixtures in `cargo test`: natively with [`native`], and in the sandbox with [`sandboxed`].
//!
//! The file is that of `sawbox filter test`: `[[case]]` tables with `payload`, `headers`, `fields`, `arrival`, `config`, `refused`, several
//! `[[case.record]]`, and `expect` with `verdict`, `reason`, `fields`, `absent`, `time`, `emissions`. Natively a record of a case runs in
//! one call with the others; what the sandbox alone can tell (fuel, memory, calls of another size, what waits and is given back) is left
//! to it.

use std::path::Path;
use std::process::Command;

use super::toml::{self, Toml};
use super::{Decision, Harness, Input, Outcome, Owned};
use crate::guest::Filter;

/// Runs a filter natively over its fixtures.
///
/// # Panics
/// Where something is not as expected, with everything that is not.
#[allow(clippy::panic)]
pub fn native<F: Filter>(fixtures: &str) {
    match differences::<F>(fixtures) {
        Ok(all) if all.is_empty() => {}
        Ok(all) => panic!("{} differences:\n{}", all.len(), all.join("\n")),
        Err(why) => panic!("the fixtures: {why}"),
    }
}

/// Runs `sawbox filter build` and `sawbox filter test` in a project's folder; says so and does nothing where there is no `sawbox` on the
/// PATH (or in the variable SAWBOX).
///
/// # Panics
/// Where they fail, with what they said.
#[allow(clippy::panic)]
pub fn sandboxed(directory: impl AsRef<Path>) {
    let program = std::env::var_os("SAWBOX").unwrap_or_else(|| "sawbox".into());
    for command in ["build", "test"] {
        match Command::new(&program).args(["filter", command]).current_dir(&directory).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let text = [output.stdout, output.stderr].concat();
                panic!("`sawbox filter {command}` failed:\n{}", String::from_utf8_lossy(&text));
            }
            Err(error) => {
                eprintln!("skipped: there is no `sawbox` to run the fixtures in the sandbox with ({error})");
                return;
            }
        }
    }
}

/// Everything that is not as expected.
fn differences<F: Filter>(fixtures: &str) -> Result<Vec<String>, String> {
    let file = toml::parse(fixtures)?;
    let nothing = Toml::Table(Vec::new());
    let cases = file.get("case").map_or(&[][..], Toml::items);
    if cases.is_empty() {
        return Err("no [[case]]".into());
    }
    let mut all = Vec::new();
    for (number, case) in (1..).zip(cases) {
        let name = case.get("name").and_then(Toml::str).map_or_else(|| format!("case {number}"), str::to_owned);
        let config = case.get("config").or_else(|| file.get("config")).unwrap_or(&nothing).json();
        super::clear_state();
        let refused = case.get("refused").map(|wanted| wanted.str().unwrap_or(""));
        match (Harness::<F>::new(&config), refused) {
            (Ok(_), Some(_)) => all.push(format!("{name}: takes the configuration, but should refuse it")),
            (Err(why), Some(wanted)) if why.contains(wanted) => {}
            (Err(why), _) => all.push(format!("{name}: refuses the configuration: {why}")),
            (Ok(mut harness), None) => {
                let records = case.get("record").map_or(core::slice::from_ref(case), Toml::items);
                let inputs = records.iter().map(|record| input(case, record)).collect::<Result<Vec<_>, _>>()?;
                for ((record, input), outcome) in records.iter().zip(&inputs).zip(harness.run(&inputs)) {
                    let expect = record.get("expect").unwrap_or(&nothing);
                    let mut found = Vec::new();
                    compare(expect, input, &outcome, &mut found);
                    all.extend(found.into_iter().map(|difference| format!("{name}: {difference}")));
                }
            }
        }
    }
    Ok(all)
}

fn input(case: &Toml, record: &Toml) -> Result<Input, String> {
    if record.get("payload_base64").is_some() {
        return Err("`payload_base64` is read by `sawbox filter test` only".into());
    }
    let mut input = Input::new(record.get("payload").and_then(Toml::str).unwrap_or(""));
    for (name, value) in record.get("headers").map_or(&[][..], Toml::members) {
        input = input.field(name, value.str().ok_or("headers are strings")?);
    }
    for (name, value) in case.get("fields").map_or(&[][..], Toml::members) {
        for value in owned(value) {
            input = input.field(name, value);
        }
    }
    Ok(match record.get("arrival") {
        Some(Toml::Int(ns)) => input.arrived(*ns),
        Some(Toml::Str(text)) => input.arrived(instant(text).ok_or_else(|| format!("`{text}` is no instant"))?),
        _ => input.arrived(1_767_225_600_000_000_000),
    })
}

/// A value as the harness has them: a list is several.
fn owned(value: &Toml) -> Vec<Owned> {
    match value {
        Toml::Str(text) => vec![Owned::Str(text.clone().into_bytes())],
        Toml::Int(value) => vec![Owned::Int(*value)],
        Toml::Float(value) => vec![Owned::Float(*value)],
        Toml::Bool(value) => vec![Owned::Bool(*value)],
        Toml::Array(items) => items.iter().flat_map(owned).collect(),
        Toml::Table(_) => Vec::new(),
    }
}

/// `2026-01-01T00:00:00Z`, with a fraction or without: nanoseconds since 1970.
fn instant(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let (date, clock) = text.split_once(['T', ' '])?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.split(':');
    let (hour, minute) = (clock.next()?.parse::<i64>().ok()?, clock.next()?.parse::<i64>().ok()?);
    let (second, fraction) = clock.next()?.split_once('.').map_or_else(|| (None, ""), |(second, rest)| (Some(second), rest));
    let second = match second {
        Some(second) => second.parse::<i64>().ok()?,
        None => text.rsplit(':').next()?.parse::<i64>().ok()?,
    };
    let fraction: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    // Days since 1970, of a year that begins in March.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (m * 153 + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction)
}

fn compare(expect: &Toml, input: &Input, outcome: &Outcome, found: &mut Vec<String>) {
    let decision = match outcome.decision {
        Decision::Store => "store",
        Decision::Drop => "drop",
        Decision::Fail => "fail",
        Decision::Hold => "hold",
    };
    let wanted = expect.get("verdict").and_then(Toml::str).unwrap_or("store");
    if decision != wanted {
        found.push(format!("verdict: expected {wanted}, is {decision} ({})", outcome.reason));
        return;
    }
    if let Some(wanted) = expect.get("reason").and_then(Toml::str).filter(|wanted| !outcome.reason.contains(wanted)) {
        found.push(format!("reason: expected {wanted:?} in it, is {:?}", outcome.reason));
    }
    if let (Some(wanted), Decision::Store) = (expect.get("fields"), outcome.decision) {
        let message = Owned::Str(input.payload.clone());
        for (name, value) in wanted.members() {
            let value = owned(value);
            let mut is: Vec<&Owned> = outcome.all(name);
            // The message that is made of the payload is not the harness's business, but the box's.
            if is.is_empty() && name == "message" && !outcome.consumed {
                is.push(&message);
            }
            if is != value.iter().collect::<Vec<_>>() {
                found.push(format!("field {name}: expected {value:?}, is {is:?}"));
            }
        }
        for (name, value) in &outcome.fields {
            let before = input.fields.iter().any(|(known, old)| known == name && old == value);
            let said = wanted.get(name).is_some() || before || (name == "message" && *value == message);
            if !said {
                found.push(format!("field {name}: not expected, is {value:?}"));
            }
        }
    }
    for name in expect.get("absent").map_or(&[][..], Toml::items).iter().filter_map(Toml::str) {
        if outcome.get(name).is_some() || (name == "message" && !outcome.consumed) {
            found.push(format!("field {name}: expected not to be there"));
        }
    }
    if let Some(wanted) = expect.get("time") {
        let wanted = match wanted {
            Toml::Int(ns) => Some(*ns),
            other => other.str().and_then(instant),
        };
        if wanted.is_none() || outcome.time_ns != wanted {
            found.push(format!("time: expected {wanted:?}, is {:?}", outcome.time_ns));
        }
    }
    emissions(expect.get("emissions").map_or(&[][..], Toml::items), outcome, found);
}

fn emissions(wanted: &[Toml], outcome: &Outcome, found: &mut Vec<String>) {
    if wanted.len() != outcome.emissions.len() {
        found.push(format!("emissions: expected {}, are {}", wanted.len(), outcome.emissions.len()));
    }
    for (wanted, is) in wanted.iter().zip(&outcome.emissions) {
        let differs = |name: &str, is: &[u8]| wanted.get(name).and_then(Toml::str).is_some_and(|text| text.as_bytes() != is);
        if differs("topic", is.topic.as_bytes()) || differs("payload", &is.payload) {
            found.push(format!(
                "emission: expected {}, is to {:?}: {}",
                wanted.json(),
                is.topic,
                String::from_utf8_lossy(&is.payload)
            ));
        }
        for (name, value) in wanted.get("headers").map_or(&[][..], Toml::members) {
            let there =
                is.headers.iter().any(|(known, is)| known == name && Some(is.as_slice()) == value.str().map(str::as_bytes));
            if !there {
                found.push(format!("emission to {:?}: header {name} is not {}", is.topic, value.json()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{differences, instant};
    use crate::{Filter, Payload, Record, Setup, Verdict};

    struct Small;

    impl Filter for Small {
        fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
            setup.config().only(&[])?;
            Ok(Self)
        }

        fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
            match record.payload() {
                b"drop" => verdict.drop("as it said"),
                b"copy" => verdict.emit("copies", Payload::Original, false, &[("why", b"asked")]),
                other => verdict.set("first", &other[..1]),
            }
        }
    }

    #[test]
    fn what_passes_and_what_does_not() {
        let run = |text: &str| differences::<Small>(text).expect("fixtures");
        let good = r#"
            [[case]]
            payload = "abc"
            headers = { host = "h" }
            expect.fields = { first = "a", message = "abc" }
            [[case]]
            [[case.record]]
            payload = "drop"
            expect = { verdict = "drop", reason = "said" }
            [[case.record]]
            payload = "copy"
            expect.emissions = [{ topic = "copies", payload = "copy", headers = { why = "asked" } }]
            [[case]]
            config = { a = 1 }
            refused = "a"
            "#;
        assert_eq!(run(good), Vec::<String>::new());
        for (text, difference) in [
            ("payload = 'abc'\nexpect.verdict = 'drop'", "case 1: verdict: expected drop, is store ()"),
            ("payload = 'abc'\nexpect.fields = {}", "case 1: field first: not expected, is Str([97])"),
            (
                "payload = 'drop'\nexpect = { verdict = 'drop', reason = 'no' }",
                "case 1: reason: expected \"no\" in it, is \"as it said\"",
            ),
            ("payload = 'abc'\nexpect.absent = ['message']", "case 1: field message: expected not to be there"),
            ("payload = 'copy'", "case 1: emissions: expected 0, are 1"),
            ("payload = 'a'\nrefused = ''", "case 1: takes the configuration, but should refuse it"),
        ] {
            assert_eq!(run(&format!("[[case]]\n{text}")), [difference]);
        }
        assert!(differences::<Small>("").is_err());
    }

    #[test]
    fn instants() {
        for (text, ns) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-01-01T00:00:00Z", Some(1_767_225_600_000_000_000)),
            ("2024-02-29 23:59:59.5Z", Some(1_709_251_199_500_000_000)),
            ("2024-02-29", None),
        ] {
            assert_eq!(instant(text), ns, "{text}");
        }
    }
}
