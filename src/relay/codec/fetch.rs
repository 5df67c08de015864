//! Asking a schema registry over HTTP, as Confluent's speak it.
//!
//! ```text
//! GET {url}/schemas/ids/7                        {"schema":"…","schemaType":"AVRO","references":[{"name","subject","version"}]}
//! GET {url}/subjects/{subject}/versions/{n}      the same, for what a schema refers to
//! ```
//! Three outcomes, by what the asker should do: an answer ([`Answer::Schema`]); none ([`Answer::Refused`]: 404, another kind of
//! schema, an answer that is none) which makes dead letters; and trouble (`Err`: no connection, time over, 401, 403, 5xx …), for
//! which records wait and the registry is asked again.
//! Limits: [`BODY_BYTES`] a body, [`REFERENCES`] schemas referred to, directly or not; `timeout` for each question.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::answers::Answer;
use crate::base::limits::is_topic_name;
use crate::relay::config::RegistryConfig;

/// Largest answer.
const BODY_BYTES: u64 = 2 * 1024 * 1024;
/// Most schemas that one refers to.
const REFERENCES: usize = 64;
const ACCEPT: &str = "application/vnd.schemaregistry.v1+json, application/json";

/// What a path gave.
pub(super) enum Reply {
    /// A body.
    Found(Vec<u8>),
    /// 404, and what was said with it.
    Missing(String),
    /// An answer, but not one that can be taken.
    Refused(String),
}

/// Who can be asked; a registry over HTTP, or a test.
pub(super) trait Fetch: Send + Sync {
    /// Asks for a path. `Err` is trouble that may pass.
    fn get(&self, path: &str) -> Result<Reply, String>;
}

/// A registry over HTTP.
pub(super) struct Http {
    agent: ureq::Agent,
    url: String,
    authorization: Option<String>,
}

impl Http {
    pub(super) fn new(config: &RegistryConfig) -> Self {
        let timeout = config.timeout.0.max(Duration::from_millis(1));
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // A registry that moved is for a person to look at, and its password with it.
            .max_redirects(0)
            .build()
            .new_agent();
        let authorization = config.user.as_ref().map(|user| {
            let word = config.password.as_deref().unwrap_or_default();
            format!("Basic {}", STANDARD.encode(format!("{user}:{word}")))
        });
        Self { agent, url: config.url.trim_end_matches('/').to_owned(), authorization }
    }
}

impl Fetch for Http {
    fn get(&self, path: &str) -> Result<Reply, String> {
        let mut request = self.agent.get(format!("{}{path}", self.url)).header("accept", ACCEPT);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let mut response = request.call().map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(BODY_BYTES).read_to_vec();
        let body = match body {
            Ok(body) => body,
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                return Ok(Reply::Refused(format!("its answer is larger than {BODY_BYTES} bytes")));
            }
            Err(error) => return Err(error.to_string()),
        };
        match status {
            200 => Ok(Reply::Found(body)),
            404 => Ok(Reply::Missing(said(&body))),
            401 | 403 => Err(format!("HTTP {status}: it wants another user or password, see [[schema_registries]]")),
            _ => Err(format!("HTTP {status} {}", said(&body))),
        }
    }
}

/// A registry's own words, as far as they fit a line.
fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let text = serde_json::from_slice::<Said>(body).map(|said| said.message).unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[derive(Deserialize)]
struct Schema {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Deserialize, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Reference {
    subject: String,
    version: u32,
}

/// Asks for a schema and all that it refers to. A refusal counts for records that arrived until `until_ns`.
pub(super) fn ask(fetch: &dyn Fetch, id: u32, until_ns: i64) -> Result<Answer, String> {
    let refused = |why: String| Ok(Answer::Refused { refused: why, until_ns });
    let Schema { schema, references, .. } = match one(fetch, &format!("/schemas/ids/{id}"))? {
        Ok(schema) => schema,
        Err(why) => return refused(format!("schema {id}: {why}")),
    };
    let mut seen: BTreeSet<Reference> = BTreeSet::new();
    let mut texts = Vec::new();
    let mut left = references;
    while let Some(reference) = left.pop() {
        if !seen.insert(reference.clone()) {
            continue;
        }
        if seen.len() > REFERENCES {
            return refused(format!("schema {id} refers to more than {REFERENCES} others"));
        }
        let Reference { subject, version } = &reference;
        if !is_subject(subject) {
            return refused(format!("schema {id} refers to a subject whose name this box does not ask for: {subject:?}"));
        }
        match one(fetch, &format!("/subjects/{subject}/versions/{version}"))? {
            Ok(schema) => {
                left.extend(schema.references);
                if !texts.contains(&schema.schema) {
                    texts.push(schema.schema);
                }
            }
            Err(why) => return refused(format!("schema {id} refers to version {version} of `{subject}`: {why}")),
        }
    }
    Ok(Answer::Schema { schema, references: texts })
}

/// Subjects are mostly a topic's name, or a type's.
fn is_subject(name: &str) -> bool {
    is_topic_name(name)
}

fn one(fetch: &dyn Fetch, path: &str) -> Result<Result<Schema, String>, String> {
    let body = match fetch.get(path)? {
        Reply::Found(body) => body,
        Reply::Missing(said) if said.is_empty() => return Ok(Err("the registry does not have it".to_owned())),
        Reply::Missing(said) => return Ok(Err(format!("the registry does not have it: {said}"))),
        Reply::Refused(why) => return Ok(Err(why)),
    };
    Ok(match serde_json::from_slice::<Schema>(&body) {
        Ok(Schema { kind: Some(kind), .. }) if kind != "AVRO" => Err(format!("it is {kind}, not AVRO")),
        Ok(schema) => Ok(schema),
        Err(error) => Err(format!("the registry's answer is none: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    struct Paths(HashMap<&'static str, &'static str>);

    impl Fetch for Paths {
        fn get(&self, path: &str) -> Result<Reply, String> {
            match self.0.get(path) {
                Some(&"down") => Err("connection refused".to_owned()),
                Some(body) => Ok(Reply::Found(body.as_bytes().to_vec())),
                None => Ok(Reply::Missing("Schema not found".to_owned())),
            }
        }
    }

    #[test]
    fn answers_are_told_apart_by_what_to_do() {
        let paths = Paths(HashMap::from([
            ("/schemas/ids/1", r#"{"schema":"\"int\""}"#),
            ("/schemas/ids/2", r#"{"schema":"{}","schemaType":"PROTOBUF"}"#),
            ("/schemas/ids/3", "<html>"),
            ("/schemas/ids/4", "down"),
            (
                "/schemas/ids/5",
                r#"{"schema":"A","references":[{"name":"b","subject":"b","version":1},{"name":"c","subject":"c","version":2}]}"#,
            ),
            ("/subjects/b/versions/1", r#"{"schema":"B","references":[{"name":"c","subject":"c","version":2}]}"#),
            ("/subjects/c/versions/2", r#"{"schema":"C","references":[{"name":"b","subject":"b","version":1}]}"#),
            ("/schemas/ids/6", r#"{"schema":"A","references":[{"name":"d","subject":"d","version":1}]}"#),
            ("/schemas/ids/7", r#"{"schema":"A","references":[{"name":"d","subject":"../d","version":1}]}"#),
            ("/schemas/ids/8", r#"{"schema":"A","references":[{"name":"d","subject":"e","version":1}]}"#),
            ("/subjects/e/versions/1", "down"),
        ]));
        for (id, expected) in [
            (1, r#"{"schema":"\"int\""}"#),
            (2, "PROTOBUF"),
            (3, "answer is none"),
            (5, r#"{"schema":"A","references":["C","B"]}"#),
            (6, "version 1 of `d`: the registry does not have it: Schema not found"),
            (7, "subject"),
            (9, "schema 9: the registry does not have it: Schema not found"),
        ] {
            let answer = serde_json::to_string(&ask(&paths, id, 5).unwrap()).unwrap();
            assert!(answer.contains(expected), "{id}: {answer}");
        }
        assert_eq!(ask(&paths, 4, 5), Err("connection refused".to_owned()));
        assert_eq!(ask(&paths, 8, 5), Err("connection refused".to_owned()));
    }
}
