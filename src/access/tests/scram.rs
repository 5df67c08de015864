//! SASL's own examples, and everything that is not one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use ring::{digest, hmac};

use super::*;
use crate::access::ledger::Change;
use crate::access::scram::{Exchange, Step};
use crate::access::user::{Credential, User};

/// A box with the user of RFC 7677's example.
fn example() -> Arc<Access> {
    let access = open(SimDisk::new(1));
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let credential = |mechanism: Mechanism, salted: &[u8]| Some(Credential::of_salted(mechanism, &salt, 4096, salted));
    // PBKDF2 of "pencil", as another implementation computes it (Python's hashlib).
    let sha256 = STANDARD.decode("xKSVEDI6tPlSysH6mUQZOeeOp01r6B3fcJbodRPcYV0=").unwrap();
    let sha512 = hashed_512();
    let mut user = User::empty("user", 1);
    user.sha256 = credential(Mechanism::ScramSha256, &sha256);
    user.sha512 = credential(Mechanism::ScramSha512, &sha512);
    access.change(|_| Ok((vec![Change::User(Box::new(user))], ()))).unwrap();
    access
}

fn hashed_512() -> Vec<u8> {
    STANDARD.decode("8W7+G+Z/HQlQLr1e2SYv3f+6Wjd6tPC2h+XtW6D1Boa4pK4WZHbairO5UdL6kji2OZj0VGG8M6RkgUlJzsljHQ==").unwrap()
}

const CLIENT_FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const FINAL_256: &str =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const FINAL_512: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";

fn started(access: &Arc<Access>, mechanism: Mechanism) -> Exchange {
    let mut exchange = Exchange::with_nonce(access.clone(), mechanism, NONCE.into());
    let Step::Continue(answer) = exchange.step(CLIENT_FIRST).unwrap() else { panic!("done too early") };
    assert_eq!(String::from_utf8(answer).unwrap(), SERVER_FIRST);
    exchange
}

#[test]
fn the_example_of_rfc_7677_and_its_like_for_sha_512() {
    let access = example();
    for (mechanism, last, verifier) in [
        (Mechanism::ScramSha256, FINAL_256, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
        (
            Mechanism::ScramSha512,
            FINAL_512,
            "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
        ),
    ] {
        let mut exchange = started(&access, mechanism);
        let Step::Done(answer, who) = exchange.step(last.as_bytes()).unwrap() else { panic!("not done") };
        assert_eq!(String::from_utf8(answer).unwrap(), verifier);
        assert_eq!(who.name(), "user");
        assert!(access.is_current(&who));
        assert_eq!(exchange.step(last.as_bytes()).unwrap_err(), SignInError::Malformed, "an exchange is used once");
    }
    assert!(access.sign_in("user", b"pencil").is_ok(), "PLAIN is verified against the same");
}

/// What librdkafka 2.0.2 sends, of which Debian's kcat is made.
#[test]
fn a_clients_nonce_may_come_twice_and_the_boxs_only_whole() {
    let access = example();
    let last = |nonce: &str| {
        let key = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
        let salted = STANDARD.decode("xKSVEDI6tPlSysH6mUQZOeeOp01r6B3fcJbodRPcYV0=").unwrap();
        let client_key = key(&salted, "Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let unproved = format!("c=biws,r={nonce}");
        let signed = format!("n=user,r=rOprNGfwEbeRWgbNEkqO,{SERVER_FIRST},{unproved}");
        let signature = key(stored_key.as_ref(), &signed);
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(one, other)| one ^ other).collect();
        format!("{unproved},p={}", STANDARD.encode(proof))
    };
    let client = "rOprNGfwEbeRWgbNEkqO";
    for fine in [format!("{client}{NONCE}"), format!("{client}{client}{NONCE}")] {
        let mut exchange = started(&access, Mechanism::ScramSha256);
        assert!(matches!(exchange.step(last(&fine).as_bytes()), Ok(Step::Done(..))), "{fine}");
    }
    for wrong in [
        "",
        client,
        NONCE,
        &format!("{client}{client}"),
        &format!("{client}{NONCE}{NONCE}"),
        &format!("{NONCE}{client}{NONCE}"),
    ] {
        let mut exchange = started(&access, Mechanism::ScramSha256);
        assert_eq!(
            exchange.step(last(wrong).as_bytes()).unwrap_err(),
            SignInError::Denied,
            "{wrong}: what is proved is not ours"
        );
    }
}

#[test]
fn a_wrong_last_message_is_denied() {
    let access = example();
    let other_proof = FINAL_256.replace("p=dH", "p=eH");
    let other_nonce = FINAL_256.replace("k0,p", "k1,p");
    let other_binding = FINAL_256.replace("c=biws", "c=eSws");
    let short_proof = FINAL_256.replace("p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "p=dHzb");
    for wrong in [&other_proof, &other_nonce, &other_binding, &short_proof] {
        let denied = started(&access, Mechanism::ScramSha256).step(wrong.as_bytes()).unwrap_err();
        assert_eq!(denied, SignInError::Denied, "{wrong}");
    }
    // What the user is deleted during is no sign-in.
    let mut exchange = started(&access, Mechanism::ScramSha256);
    access.delete_user("user").unwrap();
    assert_eq!(exchange.step(FINAL_256.as_bytes()).unwrap_err(), SignInError::Denied);
}

#[test]
fn nobody_learns_who_exists() {
    let disk = SimDisk::new(1);
    let access = open(disk.clone());
    access.add_user("ann", "correct horse", false).unwrap();
    let first = |access: &Arc<Access>, mechanism, name: &str| {
        let mut exchange = Exchange::with_nonce(access.clone(), mechanism, "N".into());
        let Step::Continue(answer) = exchange.step(format!("n,,n={name},r=abc").as_bytes()).unwrap() else { panic!() };
        (String::from_utf8(answer).unwrap(), exchange)
    };
    for mechanism in [Mechanism::ScramSha256, Mechanism::ScramSha512] {
        let (known, mut known_exchange) = first(&access, mechanism, "ann");
        let (unknown, mut unknown_exchange) = first(&access, mechanism, "bob");
        assert_eq!(known.len(), unknown.len());
        assert!(known.ends_with(",i=8192") && unknown.ends_with(",i=8192"));
        assert_eq!(unknown, first(&access, mechanism, "bob").0, "the same salt each time");
        assert_ne!(unknown, first(&access, mechanism, "eve").0);
        let proof = STANDARD.encode(vec![7; if mechanism == Mechanism::ScramSha256 { 32 } else { 64 }]);
        let last = format!("c=biws,r=abcN,p={proof}");
        assert_eq!(known_exchange.step(last.as_bytes()).unwrap_err(), unknown_exchange.step(last.as_bytes()).unwrap_err());
    }
    // The same after a restart, too.
    let before = first(&access, Mechanism::ScramSha256, "bob").0;
    assert_eq!(first(&open(disk.crash()), Mechanism::ScramSha256, "bob").0, before);
}

#[test]
fn names_are_unescaped_and_odd_beginnings_refused() {
    let access = open(SimDisk::new(1));
    quick(&access, "a,b=c");
    let step = |message: &str| Exchange::new(access.clone(), Mechanism::ScramSha256).step(message.as_bytes());
    let Ok(Step::Continue(answer)) = step("n,,n=a=2Cb=3Dc,r=x") else { panic!() };
    let salt = String::from_utf8(answer).unwrap();
    assert!(salt.contains(&format!("s={}", STANDARD.encode([1; 16]))), "{salt}: not the user's own");
    for fine in ["y,,n=a,r=x", "n,a=a,n=a,r=x", "n,,n=a,r=x,ext=1", "n,a==2C,n==2C,r=x"] {
        assert!(matches!(step(fine), Ok(Step::Continue(_))), "{fine}");
    }
    let (long, longer) = (format!("n,,n=a,r={}", "x".repeat(257)), format!("n,,n={},r=x", "a".repeat(2048)));
    for wrong in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=",
        "n,,n=a",
        "n,,n=a,r=",
        "n,,n=a,s=x",
        "n,,r=x,n=a",
        "p=tls-unique,,n=a,r=x",
        "x,,n=a,r=x",
        "n,a=b,n=a,r=x",
        "n,b,n=a,r=x",
        "n,,m=1,n=a,r=x",
        "n,,n=a,r=x,m=1",
        "n,,n=a=,r=x",
        "n,,n=a=2,r=x",
        "n,,n=a=2c,r=x",
        "n,,n=a=41,r=x",
        "n,,n=a,r=x y",
        "n,,n=a,r=é",
        "n,,n=a,r=x,tokenauth=true",
        "n,,n=,r=x",
        "n,,n=a=€,r=x",
        &long,
        &longer,
    ] {
        assert_eq!(step(wrong).unwrap_err(), SignInError::Malformed, "{wrong:?}");
    }
    assert_eq!(
        Exchange::new(access.clone(), Mechanism::ScramSha256).step(b"n,,n=\xff,r=x").unwrap_err(),
        SignInError::Malformed
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// No bytes but the right ones sign anybody in, and none break anything.
    #[test]
    fn strangers_bytes_do_nothing(first in prop::collection::vec(any::<u8>(), 0..200), last in "[a-z=,+/0-9]{0,80}", cut in 0..160_usize, flip in 0..160_usize) {
        let access = example();
        let mut exchange = Exchange::new(access.clone(), Mechanism::ScramSha512);
        prop_assert!(!matches!(exchange.step(&first), Ok(Step::Done(..))));
        prop_assert!(!matches!(exchange.step(last.as_bytes()), Ok(Step::Done(..))));
        prop_assert!(started(&access, Mechanism::ScramSha256).step(last.as_bytes()).is_err());
        prop_assert!(started(&access, Mechanism::ScramSha512).step(&FINAL_512.as_bytes()[..cut.min(FINAL_512.len() - 1)]).is_err());
        let mut flipped = FINAL_512.as_bytes().to_vec();
        let at = flip % flipped.len();
        flipped[at] ^= 1;
        prop_assert!(started(&access, Mechanism::ScramSha512).step(&flipped).is_err(), "byte {}", at);
    }
}
