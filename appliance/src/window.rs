//! Requests on their way to a box: collected, then sent as one Lumberjack window of a web server's shipper.

use std::io;

use crate::lumberjack::{Client, Record};
use crate::workload::Request;

/// What every server of the shop calls its log.
const FILE: &[u8] = b"/var/log/apache2/access.log";

/// Requests that wait to be sent.
#[derive(Debug, Default)]
pub struct Window {
    text: String,
    requests: Vec<(usize, usize, &'static str)>,
}

impl Window {
    /// Adds a request.
    pub fn push(&mut self, request: &Request<'_>) {
        self.text.push_str(request.line);
        let line_end = self.text.len();
        self.text.push_str(request.server);
        self.requests.push((line_end, self.text.len(), request.app));
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Sends them and waits until they are acknowledged. Returns how many bytes of lines that were.
    ///
    /// # Errors
    /// What the connection says; then they still wait.
    pub fn send(&mut self, client: &mut Client) -> io::Result<u64> {
        let (mut begin, mut bytes) = (0, 0);
        let mut pairs = Vec::with_capacity(self.requests.len());
        for &(line_end, end, app) in &self.requests {
            let (line, server) = (&self.text[begin..line_end], &self.text[line_end..end]);
            pairs.push([("line", line.as_bytes()), ("host", server.as_bytes()), ("app", app.as_bytes()), ("file", FILE)]);
            bytes += line.len() as u64;
            begin = end;
        }
        let records: Vec<Record<'_>> = pairs.iter().map(|pairs| Record::Pairs(pairs)).collect();
        client.send(&records)?;
        self.text.clear();
        self.requests.clear();
        Ok(bytes)
    }
}
