//! The server's half of a SCRAM conversation (RFC 5802, RFC 7677): two messages in, two out.
//!
//! Comes in: what the client sent, as bytes; goes out: what to answer, and at the end who it is.
//! Invariants: every step for somebody who does not exist is done as for one who does, with credentials made of a secret; the
//! outcome is decided at the last message alone. Keys are compared in constant time. An exchange is used once.
//! Limits: a message is at most [`MESSAGE_BYTES`], a nonce [`NONCE_BYTES`].
//! Left out, and refused: channel binding (`p=`, and the mechanisms' `-PLUS` forms are not offered), mandatory extensions (`m=`),
//! delegation tokens (Kafka's `tokenauth=true`), acting for somebody else (an `a=` that is not the user).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};

use super::Access;
use super::binding::Principal;
use super::error::SignInError;
use super::user::{Credential, Mechanism, random, same};

/// Longest message of a client.
pub const MESSAGE_BYTES: usize = 2048;
/// Longest nonce of a client.
pub const NONCE_BYTES: usize = 256;

/// A conversation.
#[derive(Debug)]
pub struct Exchange {
    access: Arc<Access>,
    mechanism: Mechanism,
    nonce: String,
    state: State,
}

#[derive(Debug)]
enum State {
    First,
    Final(Box<Waiting>),
    Over,
}

#[derive(Debug)]
struct Waiting {
    name: String,
    credential: Credential,
    /// The user's number; `None` if there is no such user.
    id: Option<u64>,
    gs2: String,
    nonce: String,
    /// Both first messages, as the proof covers them.
    so_far: String,
}

/// What to answer.
#[derive(Debug)]
pub enum Step {
    /// Send this and wait for more.
    Continue(Vec<u8>),
    /// Send this: it is them.
    Done(Vec<u8>, Principal),
}

impl Exchange {
    pub(super) fn new(access: Arc<Access>, mechanism: Mechanism) -> Self {
        Self::with_nonce(access, mechanism, STANDARD.encode(random::<24>()))
    }

    pub(super) fn with_nonce(access: Arc<Access>, mechanism: Mechanism, nonce: String) -> Self {
        Self { access, mechanism, nonce, state: State::First }
    }

    /// Takes the client's next message.
    ///
    /// # Errors
    /// [`SignInError`]; the conversation is then over.
    pub fn step(&mut self, message: &[u8]) -> Result<Step, SignInError> {
        let text = std::str::from_utf8(message).ok().filter(|text| text.len() <= MESSAGE_BYTES);
        let text = text.ok_or(SignInError::Malformed)?;
        match std::mem::replace(&mut self.state, State::Over) {
            State::First => {
                let (waiting, answer) = self.first(text).ok_or(SignInError::Malformed)?;
                self.state = State::Final(Box::new(waiting));
                Ok(Step::Continue(answer))
            }
            State::Final(waiting) => self.last(&waiting, text),
            State::Over => Err(SignInError::Malformed),
        }
    }

    /// `n,,n=user,r=nonce`
    fn first(&self, text: &str) -> Option<(Waiting, Vec<u8>)> {
        let mut parts = text.splitn(3, ',');
        let (flag, authorized, bare) = (parts.next()?, parts.next()?, parts.next()?);
        if flag != "n" && flag != "y" {
            return None;
        }
        let mut attributes = bare.split(',');
        let name = unescape(attributes.next()?.strip_prefix("n=")?)?;
        let theirs = attributes.next()?.strip_prefix("r=")?;
        let printable = theirs.bytes().all(|byte| byte.is_ascii_graphic());
        if theirs.is_empty() || theirs.len() > NONCE_BYTES || !printable {
            return None;
        }
        if attributes.any(|extension| extension.eq_ignore_ascii_case("tokenauth=true") || extension.starts_with("m=")) {
            return None;
        }
        if !authorized.is_empty() && unescape(authorized.strip_prefix("a=")?)? != name {
            return None;
        }
        let (credential, id) = self.access.credential(&name, self.mechanism);
        let nonce = format!("{theirs}{}", self.nonce);
        let answer = format!("r={nonce},s={},i={}", STANDARD.encode(&credential.salt.0), credential.iterations);
        let so_far = format!("{bare},{answer}");
        let gs2 = format!("{flag},{authorized},");
        Some((Waiting { name, credential, id, gs2, nonce, so_far }, answer.into_bytes()))
    }

    /// `c=biws,r=nonce,p=proof`
    fn last(&self, waiting: &Waiting, text: &str) -> Result<Step, SignInError> {
        let Waiting { name, credential, id, gs2, nonce, so_far } = waiting;
        let (unproved, proof) = text.rsplit_once(",p=").ok_or(SignInError::Malformed)?;
        let mut attributes = unproved.split(',');
        let mut attribute =
            |name: &str| attributes.next().and_then(|text| text.strip_prefix(name)).ok_or(SignInError::Malformed);
        let binding = STANDARD.decode(attribute("c=")?).map_err(|_| SignInError::Malformed)?;
        let their_nonce = attribute("r=")?;
        let proof = STANDARD.decode(proof).map_err(|_| SignInError::Malformed)?;
        let signed = format!("{so_far},{unproved}");
        let sign = |key: &[u8]| hmac::sign(&hmac::Key::new(self.mechanism.hmac(), key), signed.as_bytes());
        let signature = sign(&credential.stored_key.0);
        let client_key: Vec<u8> = proof.iter().zip(signature.as_ref()).map(|(one, other)| one ^ other).collect();
        let proved = proof.len() == signature.as_ref().len()
            && same(digest::digest(self.mechanism.hash(), &client_key).as_ref(), &credential.stored_key.0);
        // librdkafka before 2.6.1 (Debian's kcat and rsyslog) puts its own nonce in front once more. That holds ours all the same,
        // whole and at its place, which is what keeps an overheard conversation from being played again.
        let doubled = format!("{}{nonce}", nonce.strip_suffix(self.nonce.as_str()).unwrap_or_default());
        let ours = [nonce, &doubled].iter().any(|right| same(their_nonce.as_bytes(), right.as_bytes()));
        if !proved || binding != gs2.as_bytes() || !ours {
            return Err(SignInError::Denied);
        }
        // Whoever was deleted, or got another password, while this went on is not signed in.
        let (now, now_id) = self.access.credential(name, self.mechanism);
        let (Some(id), true) = (*id, now == *credential && now_id == *id) else { return Err(SignInError::Denied) };
        let verifier = format!("v={}", STANDARD.encode(sign(&credential.server_key.0)));
        Ok(Step::Done(verifier.into_bytes(), Principal { name: Some(name.as_str().into()), id }))
    }
}

/// Undoes `=2C` and `=3D`.
fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('=');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = part.split_at_checked(2)?;
        name.push(match escaped {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        name.push_str(rest);
    }
    (!name.is_empty()).then_some(name)
}
