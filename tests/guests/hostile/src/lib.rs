//! A filter for tests that does harm where a record asks for it: `loop …` never ends, `eat …` takes memory until there is none,
//! `trap …` panics. All other records pass.

use sawbox_guest::{Filter, Record, Setup, Verdict};

/// The filter.
#[derive(Debug)]
pub struct Hostile;

impl Filter for Hostile {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        setup.config().only(&[])?;
        Ok(Self)
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let word = record.payload().split(|&byte| byte == b' ').next().unwrap_or_default();
        match word {
            b"loop" => loop {
                std::hint::black_box(word);
            },
            b"eat" => {
                let mut eaten = Vec::new();
                loop {
                    eaten.push(vec![1_u8; 1 << 20]);
                    std::hint::black_box(&eaten);
                }
            }
            b"trap" => panic!("as asked"),
            _ => verdict.set("tame", true),
        }
    }
}

sawbox_guest::filter!(Hostile);
