//! A line of `key=value` pairs becomes fields. Start from it: change `process`, then fixtures.toml.

use sawbox_guest::{Filter, Name, Payload, Read, Record, Setup, Verdict};

/// The filter.
pub struct Pairs {
    separator: u8,
    host: Read,
    node: Name,
}

impl Filter for Pairs {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        setup.config().only(&["separator"])?;
        let &[separator] = setup.config().str_or("separator", "=")?.as_bytes() else {
            return Err("`separator` must be one character".into());
        };
        Ok(Self { separator, host: setup.reads("host"), node: setup.name("node") })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let mut any = false;
        for word in record.payload().split(|&byte| byte == b' ') {
            if let Some(at) = word.iter().position(|&byte| byte == self.separator).filter(|&at| at > 0) {
                any = true;
                pair(&word[..at], &word[at + 1..], verdict);
            }
        }
        if !any {
            verdict.fail("no key=value pair in the line");
        }

        // A field that the receiver set: `web-7` is node 7.
        if let Some(host) = record.bytes(self.host)
            && let Some(dash) = host.iter().rposition(|&byte| byte == b'-')
        {
            verdict.set(self.node, &host[dash + 1..]);
        }
    }
}

fn pair(key: &[u8], value: &[u8], verdict: &mut Verdict<'_>) {
    match whole_number(value) {
        Some(number) => verdict.set(key, number),
        None => verdict.set(key, value),
    }
    match (key, value) {
        (b"level", b"debug") => verdict.drop("debug line"),
        (b"level", b"fatal") => verdict.emit("alerts", Payload::Original, true, &[]),
        _ => {}
    }
}

/// `12` is a number, `12a` is not, and what has more than 18 digits stays text.
fn whole_number(text: &[u8]) -> Option<i64> {
    let digits = (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    digits.then(|| text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

sawbox_guest::filter!(Pairs);

#[cfg(test)]
mod tests {
    use sawbox_guest::testing::fixtures;

    /// Natively: with a debugger, quickly, without any Wasm.
    #[test]
    fn fixtures_natively() {
        fixtures::native::<super::Pairs>(include_str!("fixtures.toml"));
    }

    /// The same in the sandbox, where `sawbox` is on the PATH and the module is built.
    #[test]
    fn fixtures_in_the_sandbox() {
        fixtures::sandboxed(env!("CARGO_MANIFEST_DIR"));
    }
}
