//! Which topic a record goes to, and which key it has.
//!
//! Invariants: the name is a valid topic name that does not begin with `_` (those are the box's own): what a shipper says is
//! taken if it is such a name, and the listener's own topic otherwise. Never a reason to refuse a record.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::base::dated::without_date;
use crate::base::limits;

/// Whether a client may name this topic.
pub fn may_name(name: &str) -> bool {
    limits::is_topic_name(name) && !name.starts_with('_')
}

/// How a listener finds topic and key.
#[derive(Clone, Debug)]
pub struct Route {
    /// The topic when nothing else says one.
    pub topic: String,
    /// Header or document field that names the topic.
    pub topic_field: Option<String>,
    /// Header or document field that is the key.
    pub key_field: Option<String>,
}

/// What a record says about where it belongs.
#[derive(Debug)]
pub struct Place<'a> {
    /// The topic.
    pub topic: Cow<'a, str>,
    /// The key.
    pub key: Option<Cow<'a, [u8]>>,
}

impl Route {
    /// Whether every record goes the same way, so that nobody needs to look into it.
    pub fn is_fixed(&self) -> bool {
        self.topic_field.is_none() && self.key_field.is_none()
    }

    /// For records with headers.
    pub fn by_headers<'a>(&'a self, headers: &[(&'a [u8], &'a [u8])]) -> Place<'a> {
        let find = |field: &Option<String>| {
            let field = field.as_ref()?.as_bytes();
            headers.iter().find(|(name, _)| *name == field).map(|(_, value)| *value)
        };
        let named = find(&self.topic_field).and_then(|name| std::str::from_utf8(name).ok()).filter(|name| may_name(name));
        Place { topic: Cow::Borrowed(named.unwrap_or(&self.topic)), key: find(&self.key_field).map(Cow::Borrowed) }
    }

    /// For records that are JSON documents.
    pub fn by_document<'a>(&'a self, document: &'a [u8]) -> Place<'a> {
        let find = |field: &Option<String>| json_field(document, field.as_ref()?);
        let topic = match find(&self.topic_field) {
            Some(name) if may_name(&name) => name,
            _ => Cow::Borrowed(self.topic.as_str()),
        };
        let key = find(&self.key_field).map(|key| match key {
            Cow::Borrowed(key) => Cow::Borrowed(key.as_bytes()),
            Cow::Owned(key) => Cow::Owned(key.into_bytes()),
        });
        Place { topic, key }
    }
}

/// The topic of an Elasticsearch index: its name without the day or month at its end.
pub fn index_topic(index: &str) -> Option<&str> {
    let topic = without_date(index).unwrap_or(index);
    may_name(topic).then_some(topic)
}

/// A string, number or boolean of a JSON document, by dotted name: `a.b` is the key `a.b`, or `b` in `a`.
pub fn json_field<'a>(document: &'a [u8], path: &str) -> Option<Cow<'a, str>> {
    let mut from = serde_json::Deserializer::from_slice(document);
    Seek(path).deserialize(&mut from).ok().flatten()
}

#[derive(Clone, Copy)]
struct Seek<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

/// Walks objects along the path; at its end takes what is there.
impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let rest = self.0.strip_prefix(name.as_ref()).filter(|_| !self.0.is_empty());
            match rest {
                Some("") => found = map.next_value_seed(Seek(""))?.or(found),
                Some(rest) if rest.starts_with('.') => found = found.or(map.next_value_seed(Seek(&rest[1..]))?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then_some(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| Cow::Owned(value.to_owned())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_lose_their_date() {
        for (index, topic) in [
            ("logs", Some("logs")),
            ("logstash-2026.11.20", Some("logstash")),
            ("filebeat-8.12.0", Some("filebeat-8.12.0")),
            ("logs-nginx.access-default", Some("logs-nginx.access-default")),
            ("-2026.11.20", Some("-2026.11.20")),
            ("é-2026.11.20", None),
            ("_own", None),
            ("_own-2026.11.20", None),
            ("<logs-{now/d}>", Some("logs")),
            ("<_own-{now/d}>", None),
            ("<logs>", None),
            ("a b", None),
            ("..", None),
            ("", None),
        ] {
            assert_eq!(index_topic(index), topic, "{index}");
        }
    }

    #[test]
    fn fields_are_found_by_dotted_name() {
        let document = br#"{"a":{"b":"nested","n":5},"c.d":"flat","l":[1,{"a":2}],"z":null,"t":true,"e":"\u00e9"}"#;
        for (path, value) in [
            ("a.b", Some("nested")),
            ("a.n", Some("5")),
            ("c.d", Some("flat")),
            ("t", Some("true")),
            ("e", Some("é")),
            ("a", None),
            ("l", None),
            ("z", None),
            ("a.b.c", None),
            ("", None),
            ("nope", None),
        ] {
            assert_eq!(json_field(document, path).as_deref(), value, "{path}");
        }
        assert_eq!(json_field(b"not json", "a"), None);
        assert_eq!(json_field(br#""text""#, "a"), None);
    }

    #[test]
    fn what_a_shipper_names_is_taken_if_it_may_be() {
        let route = Route { topic: "own".into(), topic_field: Some("app".into()), key_field: Some("host".into()) };
        let headers: [(&[u8], &[u8]); 2] = [(b"app", b"shop"), (b"host", b"web-1")];
        let place = route.by_headers(&headers);
        assert_eq!((place.topic.as_ref(), place.key.as_deref()), ("shop", Some(&b"web-1"[..])));
        for bad in [&b"_dead.shop"[..], b"a/b", b"", b"\xff"] {
            assert_eq!(route.by_headers(&[(b"app", bad)]).topic, "own");
        }
        assert_eq!(route.by_document(br#"{"app":"shop"}"#).topic, "shop");
        assert_eq!(route.by_document(br#"{"app":"_x"}"#).topic, "own");
        assert_eq!(route.by_document(b"{").topic, "own");
    }
}
