//! A topic's codec as people write it ([`CodecSpec`]) and as a generation keeps it ([`CodecRecord`]).
//!
//! On disk: a member `codec` of the generation's JSON ([`crate::relay::generations`]), left out where there is no codec, as in
//! generations from before there were any:
//! ```text
//! {"codec":"json"}   {"codec":"avro","schema":"…the whole text…"}   {"codec":"avro","schema_registry":"http://…"}
//! ```
//! A schema from a file is in it with its content: what the file says later makes another generation at the next start.
//! Passwords are not: they stand in the configuration, beside the registry's address.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::avro::{Plan, SCHEMA_BYTES};

/// Longest address of a registry.
const URL_BYTES: usize = 2048;

/// What records of a topic are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CodecName {
    /// Bytes; nobody looks for JSON in them.
    Plain,
    /// One JSON value a record; what is none is a dead letter.
    Json,
    /// One MessagePack value a record.
    Msgpack,
    /// One Avro datum a record.
    Avro,
}

impl CodecName {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Json => "json",
            Self::Msgpack => "msgpack",
            Self::Avro => "avro",
        }
    }
}

/// Where Avro's schema is; exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AvroSpec {
    /// The schema's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// A file with it, read at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_file: Option<PathBuf>,
    /// A registry; records then begin with 0x00 and the schema's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_registry: Option<String>,
}

/// A codec as people write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodecSpec {
    /// Which.
    pub codec: CodecName,
    /// Only with `avro`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avro: Option<AvroSpec>,
}

impl From<CodecName> for CodecSpec {
    fn from(codec: CodecName) -> Self {
        Self { codec, avro: None }
    }
}

/// A codec with everything that decides what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "codec", rename_all = "lowercase")]
pub enum CodecRecord {
    /// See [`CodecName::Plain`].
    Plain,
    /// See [`CodecName::Json`].
    Json,
    /// See [`CodecName::Msgpack`].
    Msgpack,
    /// See [`CodecName::Avro`].
    Avro(AvroRecord),
}

/// Avro's schema, or who knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AvroRecord {
    /// The schema's text.
    Schema(String),
    /// The registry's address, without a slash at its end.
    SchemaRegistry(Arc<str>),
}

impl CodecRecord {
    /// Its name.
    pub fn name(&self) -> CodecName {
        match self {
            Self::Plain => CodecName::Plain,
            Self::Json => CodecName::Json,
            Self::Msgpack => CodecName::Msgpack,
            Self::Avro(_) => CodecName::Avro,
        }
    }

    /// As it would be written.
    pub fn spec(&self) -> CodecSpec {
        let avro = match self {
            Self::Avro(AvroRecord::Schema(text)) => Some(AvroSpec { schema: Some(text.clone()), ..AvroSpec::default() }),
            Self::Avro(AvroRecord::SchemaRegistry(url)) => {
                Some(AvroSpec { schema_registry: Some(url.to_string()), ..AvroSpec::default() })
            }
            Self::Plain | Self::Json | Self::Msgpack => None,
        };
        CodecSpec { codec: self.name(), avro }
    }
}

impl CodecSpec {
    /// Refuses what parses but makes no sense; looks at no file.
    ///
    /// # Errors
    /// A sentence that begins with the key.
    pub fn check(&self) -> Result<(), String> {
        let avro = match (self.codec, &self.avro) {
            (CodecName::Avro, Some(avro)) => avro,
            (CodecName::Avro, None) => {
                return Err("codec: avro needs `avro` with one of `schema`, `schema_file` and `schema_registry`".into());
            }
            (_, Some(_)) => return Err(format!("avro: is for `codec = \"avro\"`, not for `{}`", self.codec.name())),
            (_, None) => return Ok(()),
        };
        match avro {
            AvroSpec { schema: Some(text), schema_file: None, schema_registry: None } => {
                Plan::new(text, &[]).map(drop).map_err(|why| format!("avro.schema: {why}"))
            }
            AvroSpec { schema: None, schema_file: Some(_), schema_registry: None } => Ok(()),
            AvroSpec { schema: None, schema_file: None, schema_registry: Some(url) } => {
                check_url(url).map_err(|why| format!("avro.schema_registry: {why}"))
            }
            _ => Err("avro: exactly one of `schema`, `schema_file` and `schema_registry`".into()),
        }
    }

    /// With the content of its file.
    ///
    /// # Errors
    /// As [`CodecSpec::check`], or why the file will not do.
    pub fn resolve(&self) -> Result<CodecRecord, String> {
        self.check()?;
        Ok(match (self.codec, &self.avro) {
            (CodecName::Plain, _) => CodecRecord::Plain,
            (CodecName::Json, _) => CodecRecord::Json,
            (CodecName::Msgpack, _) => CodecRecord::Msgpack,
            (CodecName::Avro, Some(AvroSpec { schema_registry: Some(url), .. })) => {
                CodecRecord::Avro(AvroRecord::SchemaRegistry(url.trim_end_matches('/').into()))
            }
            (CodecName::Avro, Some(AvroSpec { schema_file: Some(path), .. })) => {
                let wrong = |why: String| format!("avro.schema_file: {}: {why}", path.display());
                let text = read(path).map_err(wrong)?;
                Plan::new(&text, &[]).map_err(wrong)?;
                CodecRecord::Avro(AvroRecord::Schema(text))
            }
            (CodecName::Avro, avro) => {
                let text = avro.as_ref().and_then(|avro| avro.schema.clone()).unwrap_or_default();
                CodecRecord::Avro(AvroRecord::Schema(text))
            }
        })
    }
}

/// Whether this can be a registry's address.
pub(crate) fn check_url(url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    match rest {
        Some(rest) if rest.contains('@') => {
            Err("no password here; write `user` and `password` in [[schema_registries]]".into())
        }
        Some(rest) if !rest.is_empty() && url.len() <= URL_BYTES && !url.contains(['?', '#', ' ']) => Ok(()),
        _ => Err(format!("`{url}` is no address; write it like http://registry:8081")),
    }
}

/// A file of the administrator's, read once at the start: not the box's own, which go through the disk.
#[allow(clippy::disallowed_methods)]
fn read(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(SCHEMA_BYTES as u64 + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() > SCHEMA_BYTES {
        return Err(format!("larger than {SCHEMA_BYTES} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_reads_back() {
        for (record, text) in [
            (CodecRecord::Plain, r#"{"codec":"plain"}"#),
            (CodecRecord::Msgpack, r#"{"codec":"msgpack"}"#),
            (CodecRecord::Avro(AvroRecord::Schema("\"int\"".into())), r#"{"codec":"avro","schema":"\"int\""}"#),
            (
                CodecRecord::Avro(AvroRecord::SchemaRegistry("http://r".into())),
                r#"{"codec":"avro","schema_registry":"http://r"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&record).unwrap(), text);
            assert_eq!(serde_json::from_str::<CodecRecord>(text).unwrap(), record);
            assert_eq!(record.spec().resolve(), Ok(record));
        }
    }

    #[test]
    fn nonsense_is_refused_by_key() {
        for (text, word) in [
            (r#"{"codec":"avro"}"#, "codec:"),
            (r#"{"codec":"json","avro":{"schema":"\"int\""}}"#, "avro:"),
            (r#"{"codec":"avro","avro":{}}"#, "avro:"),
            (r#"{"codec":"avro","avro":{"schema":"\"int\"","schema_registry":"http://r"}}"#, "avro:"),
            (r#"{"codec":"avro","avro":{"schema":"{"}}"#, "avro.schema:"),
            (
                r#"{"codec":"avro","avro":{"schema":"{\"type\":\"record\",\"name\":\"a\",\"fields\":[{\"name\":\"b\",\"type\":\"c\"}]}"}}"#,
                "avro.schema:",
            ),
            (r#"{"codec":"avro","avro":{"schema_registry":"registry:8081"}}"#, "avro.schema_registry:"),
            (r#"{"codec":"avro","avro":{"schema_registry":"http://me:word@r"}}"#, "password"),
            (r#"{"codec":"avro","avro":{"schema_file":"/nowhere/at/all"}}"#, "avro.schema_file:"),
        ] {
            let spec: CodecSpec = serde_json::from_str(text).unwrap();
            let error = spec.resolve().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(serde_json::from_str::<CodecSpec>(r#"{"codec":"xml"}"#).is_err());
        assert!(serde_json::from_str::<CodecSpec>(r#"{"codec":"json","colour":1}"#).is_err());
    }
}
