//! `route`: passes what its `when` selects on to another topic.
//!
//! ```toml
//! [[topics.web.chain]]
//! filter = "route"
//! when = 'response>=500'
//! config = { to = "web-errors" }              # the record as it arrived, with its headers; its row stays here, too
//!
//! [[topics.web.chain]]
//! filter = "route"
//! when = 'request:"/f5.txt"'
//! config = { to = "probes", keep = false, value = "request", headers = ["verb", "response"] }
//! ```
//! * `to`: the topic; made if it is not there. Its own chain handles the record next, and Kafka's clients consume it from there.
//! * `keep`: whether the record also becomes a row here; true unless said otherwise.
//! * `value`: the field that is passed on in place of the payload; a record without it is passed on as it arrived.
//! * `headers`: fields that become headers of the record passed on, beside those which it has.
//!
//! Each record is in the target once, also after a crash. What goes round in a circle ends as a dead letter.

use sawbox_guest::{Filter, Payload, Read, Record, Setup, Value, Verdict, field};

/// The filter.
#[derive(Debug)]
pub struct Route {
    to: String,
    keep: bool,
    value: Option<Read>,
    headers: Vec<(String, Read)>,
}

impl Filter for Route {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        config.only(&["to", "keep", "value", "headers"])?;
        let to = config.str("to")?.to_owned();
        if to.is_empty() || to.starts_with('_') {
            return Err(format!("`to` is \"{to}\": topics that begin with `_` are the box's own"));
        }
        let keep = config.bool_or("keep", true)?;
        let value = config.get("value").is_some().then(|| field::name(config.str("value")?)).transpose()?;
        let names: Vec<String> = config.strings("headers")?.into_iter().map(field::name).collect::<Result<_, _>>()?;
        let value = value.map(|name| setup.reads(&name));
        let headers = names.into_iter().map(|name| (name.clone(), setup.reads(&name))).collect();
        Ok(Self { to, keep, value, headers })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let texts: Vec<(&str, Vec<u8>)> =
            self.headers.iter().filter_map(|(name, field)| Some((name.as_str(), text(record.get(*field)?)))).collect();
        let headers: Vec<(&str, &[u8])> = texts.iter().map(|(name, text)| (*name, text.as_slice())).collect();
        match self.value.and_then(|field| record.get(field)) {
            Some(Value::Str(bytes)) => verdict.emit(&self.to, Payload::Bytes(bytes), true, &headers),
            Some(value) => verdict.emit(&self.to, Payload::Bytes(&text(value)), true, &headers),
            None => verdict.emit(&self.to, Payload::Original, true, &headers),
        }
        if !self.keep {
            verdict.drop("routed");
        }
    }
}

/// A value as a person would write it.
fn text(value: Value<'_>) -> Vec<u8> {
    match value {
        Value::Str(bytes) => bytes.to_vec(),
        Value::Int(number) => number.to_string().into_bytes(),
        Value::Float(number) => number.to_string().into_bytes(),
        Value::Bool(yes) => yes.to_string().into_bytes(),
    }
}

sawbox_guest::filter!(Route);

#[cfg(test)]
mod tests {
    use super::Route;
    use sawbox_guest::testing::{Decision, Harness, Input};

    #[test]
    fn the_record_goes_to_the_topic_as_it_arrived_and_stays() {
        let outcome = Harness::<Route>::new(r#"{"to": "errors"}"#).unwrap().one("a line");
        assert_eq!(outcome.decision, Decision::Store);
        assert_eq!(outcome.emissions.len(), 1);
        let emission = &outcome.emissions[0];
        assert_eq!((emission.topic.as_str(), emission.payload.as_slice()), ("errors", &b"a line"[..]));
        assert!(emission.headers.is_empty() && emission.with_headers);
    }

    #[test]
    fn fields_become_value_and_headers() {
        let config = r#"{"to": "errors", "keep": false, "value": "[request]", "headers": ["[response]", "app"]}"#;
        let mut route = Harness::<Route>::new(config).unwrap();
        let outcomes =
            route.run(&[Input::new("x").field("request", "/a").field("response", 503), Input::new("y").field("request", 7)]);
        let emission = &outcomes[0].emissions[0];
        assert_eq!(outcomes[0].decision, Decision::Drop);
        assert_eq!(emission.payload, b"/a");
        assert_eq!(emission.headers, [("response".to_owned(), b"503".to_vec())]);
        assert_eq!(outcomes[1].emissions[0].payload, b"7");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (config, says) in [
            ("{}", "to"),
            (r#"{"to": ""}"#, "to"),
            (r#"{"to": "_dead.web"}"#, "box's own"),
            (r#"{"to": "a", "keep": 1}"#, "keep"),
            (r#"{"to": "a", "value": 1}"#, "value"),
            (r#"{"to": "a", "headers": 1}"#, "headers"),
            (r#"{"to": "a", "topic": "b"}"#, "topic"),
        ] {
            let error = Harness::<Route>::new(config).unwrap_err();
            assert!(error.contains(says), "{config}: {error}");
        }
    }
}
