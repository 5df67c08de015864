//! Rows as JSON to anything that takes HTTP.
//!
//! A batch is one POST: a JSON array, or a row a line. Each row carries `id`, its origin, by which a receiver can tell what it
//! has seen: delivery is at least once. 408, 425, 429, 5xx and a failing connection are tried again (as `Retry-After` says, or
//! with growing pauses); another 4xx is about what was sent: a batch is then cut into halves until the single rows that the
//! receiver does not take are known, and those are dead letters.
//! Of an answer that is not about single rows (401, 404 …) the whole batch is.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::relay::config::{Format, WebhookConfig};
use crate::relay::output::{Item, Refused, SendError, Sender};

/// Most bytes of one request, so that a batch of large rows stays within what receivers take.
const BODY_BYTES: usize = 4 * 1024 * 1024;
/// Longest pause a receiver may ask for.
const RETRY_AFTER_SECONDS: u64 = 600;

/// The sender.
pub(crate) struct Webhook {
    agent: ureq::Agent,
    url: String,
    headers: BTreeMap<String, String>,
    format: Format,
    batch: usize,
}

enum Answer {
    Taken,
    /// `true` where other rows of the batch may be taken.
    Refused(String, bool),
}

impl Webhook {
    /// A sender with this configuration.
    pub(crate) fn new(config: &WebhookConfig) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(config.timeout.0))
            .http_status_as_error(false)
            // A receiver that moved is for a person to look at: a redirected POST may become a GET, and rows be lost.
            .max_redirects(0)
            .build()
            .new_agent();
        Self { agent, url: config.url.clone(), headers: config.headers.clone(), format: config.format, batch: config.batch }
    }

    fn body(&self, items: &[&Item<'_>]) -> Vec<u8> {
        let mut body = Vec::with_capacity(items.iter().map(|item| item.json.len() + 2).sum::<usize>() + 2);
        let (open, between, close): (&[u8], &[u8], &[u8]) = match self.format {
            Format::Json => (b"[", b",", b"]"),
            Format::Ndjson => (b"", b"\n", b"\n"),
        };
        body.extend_from_slice(open);
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                body.extend_from_slice(between);
            }
            body.extend_from_slice(item.json);
        }
        body.extend_from_slice(close);
        body
    }

    fn post(&self, body: &[u8]) -> Result<Answer, SendError> {
        let mut request = self.agent.post(&self.url);
        let named = |name: &str| self.headers.keys().any(|header| header.eq_ignore_ascii_case(name));
        if !named("content-type") {
            request = request.header(
                "content-type",
                match self.format {
                    Format::Json => "application/json",
                    Format::Ndjson => "application/x-ndjson",
                },
            );
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = request.send(body).map_err(|e| SendError::later(format!("{}: {e}", self.url)))?;
        let status = response.status().as_u16();
        let said = format!("{}: HTTP {status}", self.url);
        match status {
            200..300 => Ok(Answer::Taken),
            408 | 425 | 429 | 300..400 | 500.. => {
                let after = response
                    .headers()
                    .get("retry-after")
                    .and_then(|value| value.to_str().ok())
                    .and_then(|text| text.trim().parse().ok());
                Err(SendError::Later {
                    reason: said,
                    after: after.map(|s: u64| Duration::from_secs(s.min(RETRY_AFTER_SECONDS))),
                })
            }
            _ => Ok(Answer::Refused(said, matches!(status, 400 | 413 | 422))),
        }
    }
}

impl Sender for Webhook {
    fn batch(&self) -> usize {
        self.batch
    }

    fn send(&mut self, items: &[Item<'_>], _now_ns: i64) -> Result<Vec<Refused>, SendError> {
        let all: Vec<(usize, &Item<'_>)> = items.iter().enumerate().collect();
        let mut left: Vec<&[(usize, &Item<'_>)]> = vec![&all];
        let mut refused = Vec::new();
        while let Some(part) = left.pop() {
            let (first, second) = part.split_at(part.len() / 2);
            let items: Vec<&Item<'_>> = part.iter().map(|(_, item)| *item).collect();
            if part.len() > 1 && items.iter().map(|item| item.json.len()).sum::<usize>() > BODY_BYTES {
                left.push(second);
                left.push(first);
                continue;
            }
            match self.post(&self.body(&items))? {
                Answer::Taken => {}
                Answer::Refused(_, true) if part.len() > 1 => {
                    left.push(second);
                    left.push(first);
                }
                Answer::Refused(reason, _) => {
                    refused.extend(part.iter().map(|(index, _)| Refused { index: *index, reason: reason.clone() }));
                }
            }
        }
        Ok(refused)
    }
}
