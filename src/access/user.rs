//! Users and what proves that one is one: SCRAM credentials (RFC 5802), for SHA-256 and SHA-512.
//!
//! Invariants: no password is ever kept, only what SCRAM keeps: salt, iterations, `H(ClientKey)` and `ServerKey`. PLAIN is verified
//! against the same. What does not exist is answered by credentials made of a secret, so that nobody learns who exists.
//! Limits: passwords have 8 to [`PASSWORD_BYTES`], salts at most [`SALT_BYTES`], iterations lie within [`ITERATIONS`].
//!
//! Why `ring` and not `rsasl`: its SCRAM server does not undo the escapes of user names, tells unknown users apart (another error,
//! and a salt that is new each time), draws its nonce by itself, so that the RFC's own example cannot be run, and compares keys in
//! time that depends on them. `ring` is in the box for TLS anyway.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2, rand};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;

/// Longest password.
pub const PASSWORD_BYTES: usize = 1024;
/// Shortest password.
pub const PASSWORD_LEAST: usize = 8;
/// Longest salt.
pub const SALT_BYTES: usize = 64;
/// How often a password is hashed. Kafka's clients take from 4,096 on; its brokers allow up to 16,384.
pub const ITERATIONS: RangeInclusive<u32> = 8192..=16_384;
const OWN_SALT: usize = 16;

/// A way to prove who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// SCRAM-SHA-256.
    ScramSha256,
    /// SCRAM-SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// As SASL calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    pub(super) fn hash(self) -> &'static digest::Algorithm {
        match self {
            Self::ScramSha256 => &digest::SHA256,
            Self::ScramSha512 => &digest::SHA512,
        }
    }

    pub(super) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::ScramSha256 => hmac::HMAC_SHA256,
            Self::ScramSha512 => hmac::HMAC_SHA512,
        }
    }

    fn derivation(self) -> pbkdf2::Algorithm {
        match self {
            Self::ScramSha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::ScramSha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

impl FromStr for Mechanism {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::ScramSha256, Self::ScramSha512].into_iter().find(|known| known.name() == text).ok_or(())
    }
}

/// Bytes in JSON, as base64.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Octets(pub Vec<u8>);

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// What SCRAM keeps of a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    pub(super) salt: Octets,
    pub(super) iterations: u32,
    pub(super) stored_key: Octets,
    pub(super) server_key: Octets,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl Credential {
    /// Of a password, with a fresh salt. Takes milliseconds on purpose: not for a thread that serves others.
    pub(super) fn of_password(mechanism: Mechanism, password: &[u8]) -> Self {
        let salt = random::<OWN_SALT>();
        let iterations = *ITERATIONS.start();
        Self::of_salted(mechanism, &salt, iterations, &salted(mechanism, password, &salt, iterations))
    }

    /// Of a password that somebody else has salted and hashed.
    pub(super) fn of_salted(mechanism: Mechanism, salt: &[u8], iterations: u32, salted: &[u8]) -> Self {
        let key = hmac::Key::new(mechanism.hmac(), salted);
        let client_key = hmac::sign(&key, b"Client Key");
        let stored_key = digest::digest(mechanism.hash(), client_key.as_ref());
        let server_key = hmac::sign(&key, b"Server Key");
        Self {
            salt: Octets(salt.to_vec()),
            iterations,
            stored_key: Octets(stored_key.as_ref().to_vec()),
            server_key: Octets(server_key.as_ref().to_vec()),
        }
    }

    /// Of somebody who does not exist: the same each time, and no password is right.
    pub(super) fn of_nobody(mechanism: Mechanism, secret: &[u8], name: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA512, secret);
        let part = |word: &str, length: usize| {
            let mut text = hmac::Context::with_key(&key);
            for part in [word, mechanism.name(), name] {
                text.update(&(part.len() as u64).to_le_bytes());
                text.update(part.as_bytes());
            }
            Octets(text.sign().as_ref()[..length].to_vec())
        };
        let length = mechanism.hash().output_len();
        Self {
            salt: part("salt", OWN_SALT),
            iterations: *ITERATIONS.start(),
            stored_key: part("stored", length),
            server_key: part("server", length),
        }
    }

    /// Whether this is the password. Takes as long for a wrong one.
    pub(super) fn is_of(&self, mechanism: Mechanism, password: &[u8]) -> bool {
        let salted = salted(mechanism, password, &self.salt.0, self.iterations);
        same(&Self::of_salted(mechanism, &self.salt.0, self.iterations, &salted).stored_key.0, &self.stored_key.0)
    }
}

fn salted(mechanism: Mechanism, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let mut salted = vec![0; mechanism.hash().output_len()];
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(mechanism.derivation(), iterations, salt, password, &mut salted);
    salted
}

/// Hashes for nothing.
pub(super) fn toil(mechanism: Mechanism, password: &[u8], iterations: u32) {
    if iterations > 0 {
        std::hint::black_box(salted(mechanism, password, &[0; OWN_SALT], iterations));
    }
}

/// Whether two keys are the same, in time that does not depend on where they differ.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// Bytes that nobody can guess.
#[allow(clippy::expect_used)] // a machine without randomness must not go on and give out keys
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::SecureRandom::fill(&rand::SystemRandom::new(), &mut bytes).expect("the machine gives no random bytes");
    bytes
}

/// A user, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    pub name: String,
    /// Never given twice: tells a user from an earlier one of the same name.
    pub id: u64,
    #[serde(default)]
    pub admin: bool,
    #[serde(default)]
    pub changed_ns: i64,
    #[serde(default, rename = "SCRAM-SHA-256", skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Credential>,
    #[serde(default, rename = "SCRAM-SHA-512", skip_serializing_if = "Option::is_none")]
    pub sha512: Option<Credential>,
}

impl User {
    /// What a password is verified against.
    pub(super) const fn of_passwords(&self) -> Mechanism {
        if self.sha256.is_none() { Mechanism::ScramSha512 } else { Mechanism::ScramSha256 }
    }

    pub(super) const fn credential(&self, mechanism: Mechanism) -> Option<&Credential> {
        match mechanism {
            Mechanism::ScramSha256 => self.sha256.as_ref(),
            Mechanism::ScramSha512 => self.sha512.as_ref(),
        }
    }
}

/// Whether this may be a password.
pub(super) fn check_password(password: &str) -> Result<(), String> {
    if password.chars().count() < PASSWORD_LEAST || password.len() > PASSWORD_BYTES {
        return Err(format!("a password has at least {PASSWORD_LEAST} characters, and at most {PASSWORD_BYTES} bytes"));
    }
    if password.contains('\0') {
        return Err("a password has no NUL in it".to_owned());
    }
    Ok(())
}

impl User {
    pub(super) fn empty(name: &str, id: u64) -> Self {
        Self { name: name.to_owned(), id, admin: false, changed_ns: 0, sha256: None, sha512: None }
    }
}

impl super::Hashed {
    /// Whether this can be kept.
    ///
    /// # Errors
    /// A sentence that says what to change.
    pub fn check(&self) -> Result<(), String> {
        if !ITERATIONS.contains(&self.iterations) {
            let (least, most) = (ITERATIONS.start(), ITERATIONS.end());
            return Err(format!("{} iterations: write between {least} and {most}", self.iterations));
        }
        if self.salt.is_empty() || self.salt.len() > SALT_BYTES {
            return Err(format!("a salt has 1 to {SALT_BYTES} bytes"));
        }
        if self.salted.len() != self.mechanism.hash().output_len() {
            return Err(format!(
                "a salted password of {} has {} bytes",
                self.mechanism.name(),
                self.mechanism.hash().output_len()
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for super::Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hashed").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}
