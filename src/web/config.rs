//! Where the page and the API listen, and what a query may cost.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::units::{Bytes, Span};

/// `[web]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of the page and the API.
    pub listen: SocketAddr,
    /// Names that the box answers to on loopback, beside `localhost`: there any other could be a foreign page's.
    pub hosts: Vec<String>,
    /// Most connections at a time.
    pub max_connections: u32,
    /// Queries that run at the same time; more wait, at most for `query_timeout`.
    pub queries: usize,
    /// After this long a query ends with what it has, marked partial; in twice the time its answer must be read.
    pub query_timeout: Span,
    /// Rows that a query may ask for.
    pub query_rows: usize,
    /// Largest filter that may be uploaded.
    pub filter_bytes: Bytes,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7800)),
            hosts: Vec::new(),
            max_connections: 500,
            queries: 4,
            query_timeout: Span(Duration::from_secs(60)),
            query_rows: 1_000_000,
            filter_bytes: Bytes(32 << 20),
        }
    }
}

impl Config {
    /// Values that can be read but make no sense.
    ///
    /// # Errors
    /// `key: why`.
    pub fn check(&self) -> Result<(), String> {
        if let Some(host) = self.hosts.iter().find(|host| host.is_empty() || host.contains(['/', ':', '*', ' '])) {
            return Err(format!("hosts: `{host}`: write names alone, without scheme and port, like \"logs.example.org\""));
        }
        if self.max_connections == 0 {
            return Err("max_connections: at least 1".to_owned());
        }
        if self.queries == 0 || self.queries > 256 {
            return Err("queries: between 1 and 256".to_owned());
        }
        if self.query_timeout.0 < Duration::from_millis(100) {
            return Err("query_timeout: at least 100ms".to_owned());
        }
        if self.query_rows == 0 {
            return Err("query_rows: at least 1".to_owned());
        }
        Ok(())
    }
}
