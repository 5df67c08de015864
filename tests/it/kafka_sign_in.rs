//! Signing in on the Kafka port over real sockets: SCRAM and PLAIN, TLS and client certificates, re-authentication, deletion, and
//! bytes of strangers.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, MetadataRequest, RequestHeader, ResponseHeader, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use ring::{digest, hmac, pbkdf2};
use sawbox::ingest::config::{ClientAuth, Config, Tls};

use crate::ingest_rig::{Rig, config};
use crate::kafka_permits::signed_in;
use crate::kafka_wire::{Client, fetch_request, make};

/// A client over any stream.
struct Talk<S>(S);

impl<S: Read + Write> Talk<S> {
    fn frame(&mut self, message: &[u8]) -> std::io::Result<()> {
        self.0.write_all(&u32::try_from(message.len()).unwrap().to_be_bytes())?;
        self.0.write_all(message)?;
        self.0.flush()
    }

    fn answer(&mut self) -> std::io::Result<Bytes> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut frame)?;
        Ok(frame.into())
    }

    fn ask<R: Request>(&mut self, version: i16, request: &R) -> std::io::Result<R::Response> {
        let header =
            RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version).with_correlation_id(7);
        let mut frame = BytesMut::new();
        header.encode(&mut frame, R::header_version(version)).unwrap();
        request.encode(&mut frame, version).unwrap();
        self.frame(&frame)?;
        let mut answer = self.answer()?;
        ResponseHeader::decode(&mut answer, R::Response::header_version(version)).unwrap();
        Ok(R::Response::decode(&mut answer, version).unwrap())
    }

    fn choose(&mut self, version: i16, mechanism: &'static str) -> (i16, Vec<String>) {
        let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let answer = self.ask(version, &request).unwrap();
        (answer.error_code, answer.mechanisms.iter().map(ToString::to_string).collect())
    }

    /// A message in SaslAuthenticate: error and answer.
    fn say(&mut self, message: &[u8]) -> std::io::Result<(i16, Bytes)> {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::copy_from_slice(message));
        let answer = self.ask(2, &request)?;
        assert_eq!(answer.session_lifetime_ms, 0);
        Ok((answer.error_code, answer.auth_bytes))
    }

    fn is_served(&mut self) -> bool {
        self.ask(9, &MetadataRequest::default()).is_ok()
    }
}

fn plain(address: SocketAddr) -> Talk<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    Talk(stream)
}

/// A client's half of SCRAM, made of the RFC: (what to say, given what was said; whether the server proved itself).
struct Scram {
    sha512: bool,
    password: &'static str,
    bare: String,
    expected: String,
}

impl Scram {
    fn first(sha512: bool, user: &str, password: &'static str) -> (Self, String) {
        let bare = format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL");
        (Self { sha512, password, bare: bare.clone(), expected: String::new() }, format!("n,,{bare}"))
    }

    fn last(&mut self, server_first: &str) -> String {
        let field = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap().to_owned();
        let (nonce, salt, iterations) = (field("r="), STANDARD.decode(field("s=")).unwrap(), field("i=").parse().unwrap());
        assert!(nonce.starts_with("fyko+d2lbbFgONRv9qkxdawL") && nonce.len() > 40);
        let (kind, hash, derive) = if self.sha512 {
            (hmac::HMAC_SHA512, &digest::SHA512, pbkdf2::PBKDF2_HMAC_SHA512)
        } else {
            (hmac::HMAC_SHA256, &digest::SHA256, pbkdf2::PBKDF2_HMAC_SHA256)
        };
        let mut salted = vec![0; hash.output_len()];
        pbkdf2::derive(derive, std::num::NonZeroU32::new(iterations).unwrap(), &salt, self.password.as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(kind, key), text).as_ref().to_vec();
        let client_key = sign(&salted, b"Client Key");
        let unproved = format!("c=biws,r={nonce}");
        let signed = format!("{},{server_first},{unproved}", self.bare);
        let signature = sign(digest::digest(hash, &client_key).as_ref(), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(one, other)| one ^ other).collect();
        self.expected = format!("v={}", STANDARD.encode(sign(&sign(&salted, b"Server Key"), signed.as_bytes())));
        format!("{unproved},p={}", STANDARD.encode(proof))
    }
}

fn guarded() -> Config {
    let mut config = config();
    config.kafka[0].sign_in = Some(true);
    config
}

fn rig(config: &Config) -> (Rig, SocketAddr) {
    let rig = Rig::new(config);
    rig.access.add_user("ann", "correct horse", true).unwrap();
    let address = rig.address("kafka");
    (rig, address)
}

#[test]
fn scram_signs_in_both_ways_and_again() {
    let (rig, address) = rig(&guarded());
    for (mechanism, sha512) in [("SCRAM-SHA-256", false), ("SCRAM-SHA-512", true)] {
        let mut talk = plain(address);
        for _ in 0..3 {
            assert_eq!(talk.choose(1, mechanism).0, 0);
            let (mut scram, first) = Scram::first(sha512, "ann", "correct horse");
            let (error, answer) = talk.say(first.as_bytes()).unwrap();
            assert_eq!(error, 0);
            let last = scram.last(std::str::from_utf8(&answer).unwrap());
            assert_eq!(talk.say(last.as_bytes()).unwrap(), (0, scram.expected.clone().into()));
            assert!(talk.is_served(), "and may sign in again");
        }
        // In frames of its own, as clients of Kafka 0.10 do.
        let mut talk = plain(address);
        assert_eq!(talk.choose(0, mechanism).0, 0);
        let (mut scram, first) = Scram::first(sha512, "ann", "correct horse");
        talk.frame(first.as_bytes()).unwrap();
        let answer = talk.answer().unwrap();
        let last = scram.last(std::str::from_utf8(&answer).unwrap());
        talk.frame(last.as_bytes()).unwrap();
        assert_eq!(talk.answer().unwrap(), scram.expected);
        assert!(talk.is_served());
    }
    assert_eq!(rig.access.counters().signed_in, 8);
}

#[test]
fn a_failure_says_nothing_and_ends_the_connection() {
    let (rig, address) = rig(&guarded());
    let mut answers = Vec::new();
    for (user, password) in [("ann", "wrong horse"), ("eve", "correct horse")] {
        let mut talk = plain(address);
        talk.choose(1, "SCRAM-SHA-256");
        let (mut scram, first) = Scram::first(false, user, password);
        let (_, answer) = talk.say(first.as_bytes()).unwrap();
        let last = scram.last(std::str::from_utf8(&answer).unwrap());
        answers.push(talk.say(last.as_bytes()).unwrap());
        assert!(!talk.is_served());
        let mut talk = plain(address);
        talk.choose(1, "PLAIN");
        answers.push(talk.say(format!("\0{user}\0{password}").as_bytes()).unwrap());
        assert!(!talk.is_served());
    }
    assert_eq!(answers, vec![(58, Bytes::new()); 4]);
    // Raw: the connection's end is the answer.
    let mut talk = plain(address);
    talk.choose(0, "PLAIN");
    talk.frame(b"\0ann\0wrong horse").unwrap();
    assert!(talk.answer().is_err());
    let mut talk = plain(address);
    talk.choose(0, "PLAIN");
    talk.frame(b"\0ann\0correct horse").unwrap();
    assert_eq!(talk.answer().unwrap().len(), 0);
    assert!(talk.is_served());
    let counted = rig.access.counters();
    assert_eq!((counted.failed, counted.signed_in), (5, 1));
}

#[test]
fn a_deleted_users_connections_end_soon() {
    let (rig, address) = rig(&guarded());
    rig.access.add_user("bob", "battery staple", false).unwrap();
    let mut ann = signed_in(address, "ann", "correct horse");
    let mut bob = plain(address);
    bob.choose(1, "PLAIN");
    bob.say(b"\0bob\0battery staple").unwrap();
    assert!(bob.is_served());
    rig.access.delete_user("bob").unwrap();
    let mut rest = Vec::new();
    assert!(matches!(bob.0.read_to_end(&mut rest), Ok(0) | Err(_)), "the box hangs up by itself");
    ann.ask(9, &MetadataRequest::default());
    rig.access.set_password("ann", "another horse", true).unwrap();
    assert!(ann.read_frame().is_err(), "a password that is changed for that ends connections, too");

    // However many answers it waits for.
    make(&rig, "t", 1);
    let mut ann = signed_in(address, "ann", "another horse");
    for _ in 0..64 {
        ann.write(12, &fetch_request(&rig, 12, "t", 0, 120_000));
    }
    std::thread::sleep(Duration::from_millis(200));
    rig.access.delete_user("ann").unwrap();
    let end = ann.read_frame().unwrap_err().kind();
    assert!(!matches!(end, ErrorKind::WouldBlock | ErrorKind::TimedOut), "the box did not hang up");
}

#[test]
fn without_sign_in_everybody_may_and_who_wants_signs_in() {
    let (_rig, address) = rig(&config());
    let mut talk = plain(address);
    assert!(talk.is_served());
    talk.choose(1, "PLAIN");
    assert!(talk.is_served(), "in the middle of it");
    assert_eq!(talk.say(b"\0ann\0correct horse").unwrap().0, 0);
    assert!(talk.is_served());
}

#[test]
fn bytes_of_strangers_cost_them_their_connection_alone() {
    let (rig, address) = rig(&guarded());
    let mut ann = signed_in(address, "ann", "correct horse");
    let mut random = 7_u64;
    let mut bytes = |count: usize| -> Vec<u8> {
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as u8
        };
        (0..count).map(|_| next()).collect()
    };
    for nth in 0..48_usize {
        let noise = bytes(nth * 3);
        let mut client = Client::connect(address);
        let head = |key: ApiKey, version: i16| {
            [&(key as i16).to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 1, 0xff, 0xff]].concat()
        };
        // Failures are answered the later the more there were: few of them.
        let message = match nth % 16 {
            0..5 => noise,
            5..10 => [head(ApiKey::SaslHandshake, 1), noise].concat(),
            10..15 => [head(ApiKey::SaslAuthenticate, 1), noise].concat(),
            _ => {
                let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("SCRAM-SHA-512"));
                client.ask(0, &request);
                noise
            }
        };
        let frame = [&u32::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat();
        client.is_cut_by(&frame);
    }
    ann.ask(9, &MetadataRequest::default());
    assert_eq!(rig.access.counters().signed_in, 1);
}

/// An authority, and a certificate with its key that it signed.
fn certificates(dir: &Path) -> (Tls, String, String, String) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["authority".into()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(params, ca_key);
    let signed = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    };
    let ((cert, key), (own_cert, own_key)) = (signed("localhost"), signed("client"));
    for (name, text) in [("cert.pem", &cert), ("key.pem", &key), ("ca.pem", &ca)] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let tls = Tls { cert: dir.join("cert.pem"), key: dir.join("key.pem"), client_ca: None, client_auth: ClientAuth::None };
    (tls, ca, own_cert, own_key)
}

fn tls_client(
    address: SocketAddr,
    ca: &str,
    own: Option<(&str, &str)>,
) -> Talk<rustls::StreamOwned<rustls::ClientConnection, TcpStream>> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![cert], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    };
    let connection = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    Talk(rustls::StreamOwned::new(connection, plain(address).0))
}

#[test]
fn over_tls_and_with_certificates_the_user_is_who_signed_in() {
    let dir = tempfile::tempdir().unwrap();
    let (tls, ca, own_cert, own_key) = certificates(dir.path());
    let mut config = guarded();
    config.kafka[0].tls = Some(tls.clone());
    let (_rig, address) = rig(&config);
    let mut talk = tls_client(address, &ca, None);
    assert!(talk.ask(0, &ApiVersionsRequest::default()).is_ok());
    assert_eq!(talk.choose(1, "PLAIN"), (0, ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"].map(String::from).to_vec()));
    assert_eq!(talk.say(b"\0ann\0correct horse").unwrap().0, 0);
    assert!(talk.is_served());
    // In plain text there is nothing to talk to.
    let mut talk = plain(address);
    assert!(talk.ask(0, &ApiVersionsRequest::default()).is_err());

    let mut config = guarded();
    config.kafka[0].tls = Some(Tls { client_ca: Some(dir.path().join("ca.pem")), client_auth: ClientAuth::Required, ..tls });
    let (_rig, address) = rig(&config);
    let mut talk = tls_client(address, &ca, None);
    assert!(talk.ask(0, &ApiVersionsRequest::default()).is_err(), "no certificate, no connection");
    let mut talk = tls_client(address, &ca, Some((&own_cert, &own_key)));
    assert!(talk.ask(0, &ApiVersionsRequest::default()).is_ok());
    talk.choose(1, "SCRAM-SHA-512");
    let (mut scram, first) = Scram::first(true, "ann", "correct horse");
    let (_, answer) = talk.say(first.as_bytes()).unwrap();
    let last = scram.last(std::str::from_utf8(&answer).unwrap());
    assert_eq!(talk.say(last.as_bytes()).unwrap().0, 0);
    assert!(talk.is_served());
}
