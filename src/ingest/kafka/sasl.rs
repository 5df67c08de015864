//! Signing in on a Kafka connection: SaslHandshake, then SCRAM or PLAIN in SaslAuthenticate, or (after a handshake of version 0)
//! in frames that are nothing but the mechanism's own bytes.
//!
//! ```text
//!            handshake                 last message is right
//! stranger ────────────► talking ───────────────────────────► signed in ──┐ handshake: once more, for the same user,
//!    ▲                     │  ▲  │ it is not                     ▲        │ who stays signed in meanwhile
//!    └── unknown mechanism ┘  └──┘ another message               └────────┘
//!                             ▼ the answer waits, then the connection ends
//! ```
//! Invariants: where signing in is required, a stranger gets answers to ApiVersions and to this, and to nothing else, sends frames
//! of at most [`STRANGERS_FRAME`], and is gone after [`STRANGERS_TIME`]. A failed sign-in costs the connection, is counted, and is
//! answered after a wait that grows with the failures of the address. Nobody is told why it failed. PLAIN is taken over TLS or on
//! loopback alone, since it shows the password to the network. What is sent here is never written to a log, not even the name: people
//! type passwords there.
//! Limits: [`HASHES`] passwords are hashed at a time; SCRAM leaves the hashing to the client.
//! Kafka's session lifetime is 0, none: rights end with the user, not with time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Semaphore;

use super::frame::Reply;
use crate::access::scram::{Exchange, Step};
use crate::access::{Access, Mechanism, Principal, SignInError};

/// Longest frame of somebody who has not signed in yet.
pub(super) const STRANGERS_FRAME: usize = 16 * 1024;
/// How long signing in may take.
pub(super) const STRANGERS_TIME: Duration = Duration::from_secs(30);
/// Passwords that are hashed at a time, in all.
pub(super) const HASHES: usize = 2;
/// What Kafka calls the mechanism.
const PLAIN: &str = "PLAIN";
/// Longest PLAIN message: two names and a password.
const PLAIN_BYTES: usize = 2048;

/// The state of a connection.
pub(super) struct SignIn {
    access: Arc<Access>,
    hashes: Arc<Semaphore>,
    peer: IpAddr,
    required: bool,
    /// Whether nobody between us and the client can read what is sent.
    private: bool,
    principal: Principal,
    talk: Option<Talk>,
    over: bool,
}

/// A conversation under way.
struct Talk {
    mechanism: Way,
    /// Whether messages come without Kafka's framing.
    raw: bool,
}

enum Way {
    Plain,
    Scram(Box<Exchange>),
}

/// What a step came to.
enum Outcome {
    More(Vec<u8>),
    In(Vec<u8>),
    Failed,
}

impl SignIn {
    pub(super) fn new(access: Arc<Access>, hashes: Arc<Semaphore>, peer: IpAddr, required: bool, tls: bool) -> Self {
        let private = tls || peer.to_canonical().is_loopback();
        Self { access, hashes, peer, required, private, principal: Principal::anonymous(), talk: None, over: false }
    }

    /// Who this is.
    pub(super) const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whether requests are served.
    pub(super) fn is_open(&self) -> bool {
        !self.required || !self.principal.is_anonymous()
    }

    /// Whether the next frame is nothing but a mechanism's message.
    pub(super) fn is_raw(&self) -> bool {
        self.talk.as_ref().is_some_and(|talk| talk.raw)
    }

    /// Whether the connection ends when what was answered is written.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// Whether who signed in is no user any more.
    pub(super) fn is_revoked(&self) -> bool {
        !self.access.is_current(&self.principal)
    }

    /// SaslHandshake.
    pub(super) fn handshake(&mut self, version: i16, request: &SaslHandshakeRequest) -> SaslHandshakeResponse {
        let known = [Mechanism::ScramSha512, Mechanism::ScramSha256].map(Mechanism::name);
        let offered = known.into_iter().chain(self.private.then_some(PLAIN)).map(StrBytes::from_static_str).collect();
        let response = SaslHandshakeResponse::default().with_mechanisms(offered);
        let mechanism = match request.mechanism.parse::<Mechanism>() {
            Ok(mechanism) => Way::Scram(Box::new(self.access.scram(mechanism))),
            Err(()) if self.private && request.mechanism.as_str() == PLAIN => Way::Plain,
            Err(()) => {
                self.talk = None;
                return response.with_error_code(ResponseError::UnsupportedSaslMechanism.code());
            }
        };
        self.talk = Some(Talk { mechanism, raw: version == 0 });
        response
    }

    /// SaslAuthenticate.
    pub(super) async fn authenticate(&mut self, request: SaslAuthenticateRequest) -> SaslAuthenticateResponse {
        let response = SaslAuthenticateResponse::default();
        let refuse = |error: ResponseError, why: &'static str| {
            let response = SaslAuthenticateResponse::default().with_error_code(error.code());
            response.with_error_message(Some(StrBytes::from_static_str(why)))
        };
        match self.step(&request.auth_bytes).await {
            None => {
                self.over = true;
                refuse(ResponseError::IllegalSaslState, "say with SaslHandshake how you want to sign in, first")
            }
            Some(Outcome::More(answer) | Outcome::In(answer)) => response.with_auth_bytes(answer.into()),
            Some(Outcome::Failed) => refuse(ResponseError::SaslAuthenticationFailed, "Authentication failed"),
        }
    }

    /// A frame without Kafka's framing; its answer is one, too. A failure is answered by the connection's end.
    pub(super) async fn raw(&mut self, message: &[u8]) -> Reply {
        let answer = match self.step(message).await {
            Some(Outcome::More(answer) | Outcome::In(answer)) => vec![Bytes::from(answer)],
            Some(Outcome::Failed) | None => Vec::new(),
        };
        Reply { parts: answer, raw: true, ..Reply::default() }
    }

    async fn step(&mut self, message: &[u8]) -> Option<Outcome> {
        let mut talk = self.talk.take()?;
        let stepped = match &mut talk.mechanism {
            Way::Plain => self.plain(message).await.map(|who| (Vec::new(), Some(who))),
            Way::Scram(exchange) => exchange.step(message).map(|step| match step {
                Step::Continue(answer) => (answer, None),
                Step::Done(answer, who) => (answer, Some(who)),
            }),
        };
        let signed_in = match stepped {
            Ok((answer, None)) => {
                self.talk = Some(talk);
                return Some(Outcome::More(answer));
            }
            // Who signs in again must be who they were: their rights are remembered where their requests wait.
            Ok((answer, Some(who))) if self.principal.is_anonymous() || self.principal.name() == who.name() => {
                Some((answer, who))
            }
            Ok(_) | Err(_) => None,
        };
        let Some((answer, who)) = signed_in else {
            self.over = true;
            tokio::time::sleep(self.access.note_failed(self.peer)).await;
            return Some(Outcome::Failed);
        };
        self.access.note_signed_in();
        self.principal = who;
        Some(Outcome::In(answer))
    }

    /// `authorized NUL user NUL password`
    async fn plain(&self, message: &[u8]) -> Result<Principal, SignInError> {
        if message.len() > PLAIN_BYTES {
            return Err(SignInError::Malformed);
        }
        let text = std::str::from_utf8(message).map_err(|_| SignInError::Malformed)?;
        let parts: Vec<&str> = text.split('\0').collect();
        let [authorized, name, password] = parts[..] else { return Err(SignInError::Malformed) };
        if name.is_empty() || password.is_empty() || !(authorized.is_empty() || authorized == name) {
            return Err(SignInError::Malformed);
        }
        let turn = self.hashes.clone().acquire_owned().await.map_err(|_| SignInError::Denied)?;
        let (access, name, password) = (self.access.clone(), name.to_owned(), password.to_owned());
        let verified = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            access.sign_in(&name, password.as_bytes())
        });
        verified.await.unwrap_or(Err(SignInError::Denied))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::base::clock::SimClock;
    use crate::base::disk::sim::SimDisk;

    const FAR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const NEAR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn access() -> Arc<Access> {
        let access = Access::open(SimDisk::new(1), Arc::new(SimClock::at(1))).unwrap();
        access.add_user("ann", "correct horse", false).unwrap();
        access.add_user("bob", "battery staple", false).unwrap();
        access
    }

    fn sign_in(access: &Arc<Access>, peer: IpAddr, tls: bool) -> SignIn {
        SignIn::new(access.clone(), Arc::new(Semaphore::new(1)), peer, true, tls)
    }

    fn handshake(state: &mut SignIn, mechanism: &'static str) -> (i16, Vec<String>) {
        let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let response = state.handshake(1, &request);
        (response.error_code, response.mechanisms.iter().map(|name| name.to_string()).collect())
    }

    async fn say(state: &mut SignIn, message: &'static [u8]) -> (i16, Bytes, i64) {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(message));
        let response = state.authenticate(request).await;
        (response.error_code, response.auth_bytes, response.session_lifetime_ms)
    }

    #[tokio::test]
    async fn plain_is_offered_where_nobody_listens() {
        let access = access();
        let scram = ["SCRAM-SHA-512", "SCRAM-SHA-256"];
        for (peer, tls, plain) in [(NEAR, false, true), (FAR, true, true), (FAR, false, false)] {
            let mut state = sign_in(&access, peer, tls);
            let (error, offered) = handshake(&mut state, "PLAIN");
            assert_eq!(error, if plain { 0 } else { 33 });
            assert_eq!(offered.len(), 2 + usize::from(plain));
            assert_eq!(offered[..2], scram);
            let (error, ..) = say(&mut state, b"\0ann\0correct horse").await;
            assert_eq!((error, state.is_open()), if plain { (0, true) } else { (34, false) });
        }
        let mut state = sign_in(&access, NEAR, false);
        assert_eq!(handshake(&mut state, "GSSAPI").0, 33);
        assert!(!state.is_over(), "they may choose again");
        assert_eq!(handshake(&mut state, "plain").0, 33, "names are as they are");
    }

    #[tokio::test]
    async fn whatever_is_wrong_is_answered_alike_and_late() {
        let access = access();
        for (nth, wrong) in [
            &b"\0ann\0wrong horse"[..],
            b"\0eve\0correct horse",
            b"\0ann\0",
            b"\0\0x",
            b"ann\0correct horse",
            b"bob\0ann\0correct horse",
            b"",
            b"\xff\0ann\0x",
            b"\0ann\0correct horse\0",
            &[0; 5000],
        ]
        .into_iter()
        .enumerate()
        {
            // Each from an address of its own: their waits are the brake's business.
            let peer = IpAddr::from([198, 51, 100, u8::try_from(nth).unwrap()]);
            let mut state = sign_in(&access, peer, true);
            handshake(&mut state, "PLAIN");
            let before = tokio::time::Instant::now();
            let (error, bytes, _) = say(&mut state, wrong).await;
            assert_eq!((error, bytes.len(), state.is_open(), state.is_over()), (58, 0, false, true), "{wrong:?}");
            assert!(before.elapsed() >= Duration::from_millis(100), "{wrong:?}");
        }
        assert_eq!(access.counters().failed, 10);
        let mut state = sign_in(&access, FAR, true);
        handshake(&mut state, "PLAIN");
        assert_eq!(say(&mut state, b"ann\0ann\0correct horse").await.0, 0);
        assert_eq!((state.principal().name(), access.counters().signed_in), ("ann", 1));
    }

    #[tokio::test]
    async fn signing_in_again_keeps_the_user() {
        let access = access();
        let mut state = sign_in(&access, FAR, true);
        assert_eq!(say(&mut state, b"\0ann\0correct horse").await.0, 34, "no handshake, no sign-in");
        let mut state = sign_in(&access, FAR, true);
        for _ in 0..2 {
            handshake(&mut state, "PLAIN");
            assert_eq!(say(&mut state, b"\0ann\0correct horse").await, (0, Bytes::new(), 0));
            assert!(state.is_open() && !state.is_over());
        }
        handshake(&mut state, "PLAIN");
        assert!(state.is_open(), "ann stays signed in meanwhile");
        assert_eq!(say(&mut state, b"\0bob\0battery staple").await.0, 58);
        assert!(state.is_over() && state.principal().name() == "ann");
        let mut state = sign_in(&access, FAR, true);
        handshake(&mut state, "PLAIN");
        say(&mut state, b"\0bob\0battery staple").await;
        assert!(!state.is_revoked());
        access.delete_user("bob").unwrap();
        assert!(state.is_revoked());
    }

    #[tokio::test]
    async fn without_framing_the_messages_are_the_mechanisms_own() {
        let access = access();
        let mut state = sign_in(&access, NEAR, false);
        let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("SCRAM-SHA-256"));
        assert_eq!(state.handshake(0, &request).error_code, 0);
        assert!(state.is_raw());
        let reply = state.raw(b"n,,n=ann,r=abc").await;
        assert!(reply.raw && reply.parts[0].starts_with(b"r=abc"));
        let failed = state.raw(b"c=biws,r=abc,p=AAAA").await;
        assert!(failed.parts.is_empty() && state.is_over() && !state.is_raw());
    }
}
