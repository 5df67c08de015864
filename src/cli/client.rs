//! A client of the box's HTTP API, for the commands.

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

/// The box said no, to something it could point at.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    message: String,
    /// Byte of the query.
    position: usize,
}

impl Refused {
    /// The sentence, the query, and a mark below the character that is meant.
    pub fn pointed(&self, query: &str) -> String {
        let before = query.get(..self.position).unwrap_or(query);
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        let text = query.lines().nth(line).unwrap_or_default();
        format!("{}\n  {text}\n  {:column$}^", self.message, "")
    }
}

/// A name as one segment of a path, whatever is in it.
pub fn segment(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Speaks to one box.
#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
}

impl Client {
    /// A client of the box at this URL.
    pub fn new(url: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .user_agent(concat!("sawbox/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { agent, base: url.trim_end_matches('/').to_owned() }
    }

    /// GET, as JSON.
    ///
    /// # Errors
    /// Where the box can't be reached or says no.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        let mut text = String::new();
        self.stream(path, query)?.read_to_string(&mut text)?;
        serde_json::from_str(&text).with_context(|| format!("{}{path} gave no JSON", self.base))
    }

    /// GET, as it comes.
    ///
    /// # Errors
    /// Where the box can't be reached or says no.
    pub fn stream(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<impl BufRead + use<>> {
        let request = self.agent.get(format!("{}{path}", self.base)).query_pairs(query.iter().copied());
        self.answer(request.call())
    }

    /// POST, PUT or PATCH of bytes, answered by JSON.
    ///
    /// # Errors
    /// Where the box can't be reached or says no.
    pub fn send(&self, method: &str, path: &str, query: &[(&str, &str)], kind: &str, body: impl Read) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        let request = match method {
            "PUT" => self.agent.put(url),
            "PATCH" => self.agent.patch(url),
            _ => self.agent.post(url),
        };
        let mut body = body;
        let request = request.content_type(kind).query_pairs(query.iter().copied());
        let mut text = String::new();
        self.answer(request.send(ureq::SendBody::from_reader(&mut body)))?.read_to_string(&mut text)?;
        serde_json::from_str(&text).with_context(|| format!("{}{path} gave no JSON", self.base))
    }

    /// DELETE, answered by JSON.
    ///
    /// # Errors
    /// Where the box can't be reached or says no.
    pub fn delete(&self, path: &str) -> anyhow::Result<Value> {
        let mut text = String::new();
        self.answer(self.agent.delete(format!("{}{path}", self.base)).call())?.read_to_string(&mut text)?;
        serde_json::from_str(&text).with_context(|| format!("{}{path} gave no JSON", self.base))
    }

    fn answer(&self, result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> anyhow::Result<impl BufRead + use<>> {
        let response = match result {
            Ok(response) => response,
            Err(ureq::Error::BadUri(_) | ureq::Error::Http(_)) => {
                bail!("`{}` is no URL; write it like http://127.0.0.1:7800", self.base)
            }
            Err(error) => {
                let hint = "is it running (`sawbox run`), or does it listen elsewhere (`--url`, SAWBOX_URL)?";
                return Err(error).with_context(|| format!("no box answers at {}; {hint}", self.base));
            }
        };
        let status = response.status();
        let mut reader = BufReader::new(response.into_body().into_reader());
        if status.is_success() {
            return Ok(reader);
        }
        let mut text = String::new();
        reader.by_ref().take(64 * 1024).read_to_string(&mut text).ok();
        let said: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        match said["error"]["message"].as_str() {
            Some(message) => match said["error"]["position"].as_u64() {
                Some(at) => {
                    let position = usize::try_from(at).unwrap_or(usize::MAX);
                    Err(Refused { message: message.to_owned(), position }.into())
                }
                None => bail!("{message}"),
            },
            None => bail!("{} said {status}: {}", self.base, text.trim()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Refused, segment};

    #[test]
    fn the_mark_stands_below_the_character_that_is_meant() {
        let refused = |position| Refused { message: "no".into(), position };
        assert_eq!(refused(8).pointed("größe:("), "no\n  größe:(\n        ^");
        assert_eq!(refused(0).pointed(""), "no\n  \n  ^");
        assert_eq!(refused(99).pointed("ab"), "no\n  ab\n    ^");
    }

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(segment("a/b c?ü"), "a%2Fb%20c%3F%C3%BC");
    }
}
