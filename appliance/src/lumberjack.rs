//! A small Lumberjack client: for the demo, the bench and the tests. Blocking, one connection, v1 or v2.
//!
//! What goes out is what logstash-forwarder (v1) and Filebeat (v2) send:
//! ```text
//! v W count   v C length zlib( 1 D sequence pairs (length name length value)*  |  2 J sequence length document )*
//! ```
//! What comes back is `v A sequence`, after the records are durable; `2 A 0` means "keep waiting". v1's sequence grows over the
//! whole connection, v2's begins at 1 in each window, as with the originals.
//! Invariant: [`Client::send`] returned means the window was acknowledged. [`Client::post`] and [`Client::wait`] let several
//! windows be on their way.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How long to wait for an answer; a server that is busy says so more often than that.
const PATIENCE: Duration = Duration::from_secs(30);

/// A record of either version.
#[derive(Clone, Debug)]
pub enum Record<'a> {
    /// v1: pairs of name and value; `line` is the log line.
    Pairs(&'a [(&'a str, &'a [u8])]),
    /// v2: a JSON document.
    Json(&'a [u8]),
}

trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

/// One connection.
pub struct Client {
    stream: Box<dyn Duplex>,
    compress: bool,
    /// v1's number of the last record.
    sequence: u32,
    /// Answers that are waited for.
    due: VecDeque<(u8, u32)>,
    keepalives: u64,
}

impl Client {
    /// Connects in plain.
    ///
    /// # Errors
    /// As the network says.
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self::over(Box::new(socket(address)?)))
    }

    /// Connects with TLS; `name` is the name that the server's certificate must have.
    ///
    /// # Errors
    /// As the network or the handshake says.
    pub fn connect_tls(address: impl ToSocketAddrs, name: &str, config: Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut socket = socket(address)?;
        let mut session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self::over(Box::new(StreamOwned::new(session, socket))))
    }

    fn over(stream: Box<dyn Duplex>) -> Self {
        Self { stream, compress: true, sequence: 0, due: VecDeque::new(), keepalives: 0 }
    }

    /// Whether records travel in compressed frames; they do unless told otherwise.
    #[must_use]
    pub fn compressed(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// Sends one window and waits until it is acknowledged.
    ///
    /// # Errors
    /// As the network says, or if the answer is not the one that is due.
    pub fn send(&mut self, records: &[Record<'_>]) -> io::Result<()> {
        self.post(records)?;
        while !self.due.is_empty() {
            self.wait()?;
        }
        Ok(())
    }

    /// Sends one window of v2 and waits until it is acknowledged.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn send_json<D: AsRef<[u8]>>(&mut self, documents: &[D]) -> io::Result<()> {
        let records: Vec<Record<'_>> = documents.iter().map(|document| Record::Json(document.as_ref())).collect();
        self.send(&records)
    }

    /// Sends one window of v1, lines that share their other fields, and waits until it is acknowledged.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn send_lines<L: AsRef<[u8]>>(&mut self, fields: &[(&str, &[u8])], lines: &[L]) -> io::Result<()> {
        let pairs = lines.iter().map(|line| [&[("line", line.as_ref())], fields].concat());
        let all: Vec<Vec<(&str, &[u8])>> = pairs.collect();
        let records: Vec<Record<'_>> = all.iter().map(|pairs| Record::Pairs(pairs)).collect();
        self.send(&records)
    }

    /// Sends one window and does not wait. All records must be of one kind.
    ///
    /// # Errors
    /// As the network says.
    pub fn post(&mut self, records: &[Record<'_>]) -> io::Result<()> {
        let version = if matches!(records.first(), Some(Record::Pairs(_))) { b'1' } else { b'2' };
        let mut frames = Vec::new();
        let mut last = if version == b'1' { self.sequence } else { 0 };
        for record in records {
            last = last.wrapping_add(1);
            match record {
                Record::Json(document) => {
                    frames.extend_from_slice(b"2J");
                    frames.extend_from_slice(&last.to_be_bytes());
                    put(&mut frames, document)?;
                }
                Record::Pairs(pairs) => {
                    frames.extend_from_slice(b"1D");
                    frames.extend_from_slice(&last.to_be_bytes());
                    frames.extend_from_slice(&number(pairs.len())?.to_be_bytes());
                    for (name, value) in *pairs {
                        put(&mut frames, name.as_bytes())?;
                        put(&mut frames, value)?;
                    }
                }
            }
        }
        let mut out = vec![version, b'W'];
        out.extend_from_slice(&number(records.len())?.to_be_bytes());
        if self.compress && !frames.is_empty() {
            let mut encoder = ZlibEncoder::new(Vec::with_capacity(frames.len() / 4), Compression::fast());
            encoder.write_all(&frames)?;
            out.extend_from_slice(&[version, b'C']);
            put(&mut out, &encoder.finish()?)?;
        } else {
            out.extend_from_slice(&frames);
        }
        self.stream.write_all(&out)?;
        self.stream.flush()?;
        if version == b'1' {
            self.sequence = last;
        }
        self.due.push_back((version, if records.is_empty() { 0 } else { last }));
        Ok(())
    }

    /// Waits for the answer to the oldest window that has none.
    ///
    /// # Errors
    /// As the network says, or if the answer is not the one that is due.
    pub fn wait(&mut self) -> io::Result<()> {
        let Some((version, sequence)) = self.due.front().copied() else { return Ok(()) };
        loop {
            let mut answer = [0; 6];
            self.stream.read_exact(&mut answer)?;
            let [own, kind, a, b, c, d] = answer;
            let got = u32::from_be_bytes([a, b, c, d]);
            if (own, kind, got) == (b'2', b'A', 0) && sequence != 0 {
                self.keepalives += 1;
                continue;
            }
            if (own, kind, got) != (version, b'A', sequence) {
                return Err(io::Error::other(format!("answer {answer:?} where {sequence} of version {version} is due")));
            }
            self.due.pop_front();
            return Ok(());
        }
    }

    /// Sends bytes as they are: for tests of what must be refused.
    ///
    /// # Errors
    /// As the network says.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads what the server says until it closes.
    ///
    /// # Errors
    /// As the network says.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            // A server that closes with bytes unread resets; one that drops TLS does not say goodbye.
            Err(error) if !matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => Err(error),
            _ => Ok(bytes),
        }
    }

    /// How often the server said "keep waiting".
    pub fn keepalives(&self) -> u64 {
        self.keepalives
    }
}

fn socket(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn number(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(io::Error::other)
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    out.extend_from_slice(&number(bytes.len())?.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// What a TLS client needs: the authority that the server's certificate comes from, and perhaps a certificate of its own
/// with its key. All are PEM files.
///
/// # Errors
/// If a file is not there or not what it should be.
pub fn tls(authority: &Path, own: Option<(&Path, &Path)>) -> io::Result<Arc<ClientConfig>> {
    let certificates = |path: &Path| -> io::Result<Vec<CertificateDer<'static>>> {
        CertificateDer::pem_file_iter(path).map_err(io::Error::other)?.collect::<Result<_, _>>().map_err(io::Error::other)
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority)? {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
            builder.with_client_auth_cert(certificates(certificate)?, key).map_err(io::Error::other)?
        }
    };
    Ok(Arc::new(config))
}
