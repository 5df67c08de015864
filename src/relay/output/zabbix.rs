//! The trapper protocol: values to a Zabbix server or proxy.
//!
//! One connection a request, as Zabbix wants it. Numbers are little-endian:
//! ```text
//! "ZBXD" | flags u8 | length u32 | reserved u32 | JSON          flags: 1 always, 2 zlib (reserved = inflated length),
//!                                                               4 large (length and reserved are u64)
//! ```
//! Requests are sent plain; replies are read in every form. `response` is `success` even when every item failed, so `info`
//! is what counts. It says how many failed, not which: a batch of which some failed is sent again by halves, down to the single
//! items that Zabbix does not take. What it took comes again with the same clock and ns; that is "at least once".
//!
//! Limits: a reply over [`REPLY_BYTES`], compressed or inflated, is refused before memory is taken for it.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::base::time;
use crate::relay::config::ZabbixConfig;
use crate::relay::output::template::Template;
use crate::relay::output::{Item, Refused, SendError, Sender};

/// Longest reply worth reading; a real one has a hundred bytes.
const REPLY_BYTES: u64 = 1024 * 1024;
/// Longest value that Zabbix keeps of a text or log item, bytes.
const VALUE_BYTES: usize = 65_535;

/// One value for one item.
#[derive(Serialize, Debug)]
struct Datum<'a> {
    host: &'a str,
    key: &'a str,
    value: &'a str,
    clock: i64,
    ns: i64,
}

#[derive(Serialize)]
struct Request<'a> {
    request: &'static str,
    data: &'a [Datum<'a>],
    clock: i64,
    ns: i64,
}

/// What a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Info {
    processed: usize,
    failed: usize,
}

/// The sender.
pub(crate) struct Zabbix {
    address: String,
    host: Template,
    key: Template,
    value: Template,
    batch: usize,
    timeout: Duration,
}

struct Filled {
    host: String,
    key: String,
    value: String,
    time_ns: i64,
}

impl Zabbix {
    /// A sender with this configuration.
    ///
    /// # Errors
    /// A template that does not parse.
    pub(crate) fn new(config: &ZabbixConfig) -> Result<Self, String> {
        Ok(Self {
            address: config.address.clone(),
            host: Template::parse(&config.host)?,
            key: Template::parse(&config.key)?,
            value: Template::parse(&config.value)?,
            batch: config.batch,
            timeout: config.timeout.0,
        })
    }

    fn fill(&self, item: &Item<'_>) -> Result<Filled, String> {
        let row: serde_json::Map<String, Value> =
            serde_json::from_slice(item.json).map_err(|e| format!("the row is no JSON: {e}"))?;
        let time_ns = row.get("_time").and_then(Value::as_str).and_then(time::parse).unwrap_or(item.arrival_ns);
        let missing = |field: &str| format!("the row has no field `{field}`");
        let mut value = self.value.fill(&row).map_err(missing)?;
        if value.len() > VALUE_BYTES {
            let end = (0..=VALUE_BYTES).rev().find(|&at| value.is_char_boundary(at)).unwrap_or(0);
            value.truncate(end);
        }
        Ok(Filled { host: self.host.fill(&row).map_err(missing)?, key: self.key.fill(&row).map_err(missing)?, value, time_ns })
    }

    fn exchange(&self, data: &[Datum<'_>], now_ns: i64) -> Result<Info, SendError> {
        let body = Request {
            request: "sender data",
            data,
            clock: now_ns.div_euclid(1_000_000_000),
            ns: now_ns.rem_euclid(1_000_000_000),
        };
        let body = serde_json::to_vec(&body).map_err(|e| SendError::later(e.to_string()))?;
        let later = |what: &str, e: io::Error| SendError::later(format!("{}: {what}: {e}", self.address));
        let mut stream = connect(&self.address, self.timeout).map_err(|e| later("cannot connect", e))?;
        stream.write_all(&frame(&body)?).map_err(|e| later("cannot send", e))?;
        let reply = read_reply(&mut stream).map_err(|e| later("no answer", e))?;
        let reply: Value = serde_json::from_slice(&reply)
            .map_err(|e| SendError::later(format!("{}: the answer is no JSON: {e}", self.address)))?;
        let info = reply.get("info").and_then(Value::as_str).unwrap_or_default();
        if reply.get("response").and_then(Value::as_str) != Some("success") {
            return Err(SendError::later(format!("{} refused: {info}", self.address)));
        }
        parse_info(info).ok_or_else(|| SendError::later(format!("{}: cannot read its info `{info}`", self.address)))
    }

    /// Sends some; those that are refused for good are added to `refused` by index.
    fn deliver(&self, some: &[(usize, Datum<'_>)], now_ns: i64, refused: &mut Vec<Refused>) -> Result<(), SendError> {
        // A stack of halves, not recursion: depth and order are plain to see.
        let mut left: Vec<&[(usize, Datum<'_>)]> = some.chunks(self.batch).rev().collect();
        while let Some(part) = left.pop() {
            let data: Vec<Datum<'_>> = part.iter().map(|(_, d)| Datum { ..*d }).collect();
            let info = self.exchange(&data, now_ns)?;
            if info.failed == 0 {
                continue;
            }
            if info.failed >= part.len() {
                refused.extend(part.iter().map(|(index, d)| Refused {
                    index: *index,
                    reason: format!("Zabbix does not take host `{}` key `{}`", d.host, d.key),
                }));
                continue;
            }
            let (first, second) = part.split_at(part.len() / 2);
            left.push(second);
            left.push(first);
        }
        Ok(())
    }
}

impl Sender for Zabbix {
    fn batch(&self) -> usize {
        self.batch
    }

    fn send(&mut self, items: &[Item<'_>], now_ns: i64) -> Result<Vec<Refused>, SendError> {
        let mut refused = Vec::new();
        let mut filled = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match self.fill(item) {
                Ok(texts) => filled.push((index, texts)),
                Err(reason) => refused.push(Refused { index, reason }),
            }
        }
        let data: Vec<(usize, Datum<'_>)> = filled
            .iter()
            .map(|(index, texts)| {
                let (clock, ns) = (texts.time_ns.div_euclid(1_000_000_000), texts.time_ns.rem_euclid(1_000_000_000));
                (*index, Datum { host: &texts.host, key: &texts.key, value: &texts.value, clock, ns })
            })
            .collect();
        self.deliver(&data, now_ns, &mut refused)?;
        Ok(refused)
    }
}

fn connect(address: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such host");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn frame(body: &[u8]) -> Result<Vec<u8>, SendError> {
    let length = u32::try_from(body.len()).map_err(|_| SendError::later("a request over 4 GiB".into()))?;
    let mut frame = Vec::with_capacity(13 + body.len());
    frame.extend_from_slice(b"ZBXD\x01");
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(body);
    Ok(frame)
}

fn read_reply(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let flags = head[4];
    if &head[..4] != b"ZBXD" || flags & 1 == 0 || flags & !7 != 0 {
        return Err(wrong("this is not the Zabbix protocol"));
    }
    let (length, reserved) = if flags & 4 != 0 {
        let (mut length, mut reserved) = ([0; 8], [0; 8]);
        stream.read_exact(&mut length)?;
        stream.read_exact(&mut reserved)?;
        (u64::from_le_bytes(length), u64::from_le_bytes(reserved))
    } else {
        let (mut length, mut reserved) = ([0; 4], [0; 4]);
        stream.read_exact(&mut length)?;
        stream.read_exact(&mut reserved)?;
        (u64::from(u32::from_le_bytes(length)), u64::from(u32::from_le_bytes(reserved)))
    };
    if length > REPLY_BYTES || (flags & 2 != 0 && reserved > REPLY_BYTES) {
        return Err(wrong("an absurdly long answer"));
    }
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body)?;
    if body.len() as u64 != length {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ends early"));
    }
    if flags & 2 != 0 {
        let mut inflated = Vec::new();
        flate2::read::ZlibDecoder::new(&body[..]).take(REPLY_BYTES).read_to_end(&mut inflated)?;
        if inflated.len() as u64 != reserved {
            return Err(wrong("the inflated answer has another length than announced"));
        }
        return Ok(inflated);
    }
    Ok(body)
}

/// Reads `processed: 1; failed: 0; total: 1; seconds spent: 0.000055`, in the old spelling with capitals and without colons too.
fn parse_info(info: &str) -> Option<Info> {
    let number = |name: &str| {
        info.split(';').find_map(|part| {
            let part = part.trim().to_ascii_lowercase();
            let rest = part.strip_prefix(name)?.trim_start_matches([':', ' ']);
            rest.parse::<usize>().ok()
        })
    };
    Some(Info { processed: number("processed")?, failed: number("failed")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_in_its_spellings() {
        for (text, info) in [
            ("processed: 1; failed: 0; total: 1; seconds spent: 0.000055", Some((1, 0))),
            ("Processed 2 Failed 1", None),
            ("Processed 2; Failed 1; Total 3", Some((2, 1))),
            ("processed: x; failed: 0", None),
            ("", None),
        ] {
            assert_eq!(parse_info(text), info.map(|(processed, failed)| Info { processed, failed }), "{text}");
        }
    }

    #[test]
    fn replies_are_read_plain_large_and_compressed_and_bounded() {
        let body = br#"{"response":"success","info":"processed: 1; failed: 0"}"#;
        let plain = frame(body).expect("short");
        assert_eq!(read_reply(&mut &plain[..]).expect("plain"), body);

        let mut large = b"ZBXD\x05".to_vec();
        large.extend_from_slice(&(body.len() as u64).to_le_bytes());
        large.extend_from_slice(&[0; 8]);
        large.extend_from_slice(body);
        assert_eq!(read_reply(&mut &large[..]).expect("large"), body);

        let mut deflater = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        deflater.write_all(body).expect("memory");
        let deflated = deflater.finish().expect("memory");
        let mut packed = b"ZBXD\x03".to_vec();
        packed.extend_from_slice(&u32::try_from(deflated.len()).expect("short").to_le_bytes());
        packed.extend_from_slice(&u32::try_from(body.len()).expect("short").to_le_bytes());
        packed.extend_from_slice(&deflated);
        assert_eq!(read_reply(&mut &packed[..]).expect("packed"), body);

        for cut in 0..packed.len() {
            assert!(read_reply(&mut &packed[..cut]).is_err(), "cut at {cut}");
        }
        assert!(read_reply(&mut &b"HTTP/1.1 200 OK\r\n"[..]).is_err());
        assert!(read_reply(&mut &b"ZBXD\x01\xff\xff\xff\xff\0\0\0\0"[..]).is_err());
        assert!(read_reply(&mut &b"ZBXD\x03\x01\0\0\0\xff\xff\xff\xff"[..]).is_err());
    }
}
