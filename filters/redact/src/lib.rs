//! `redact`: takes out of texts what must not be stored: card numbers, e-mail addresses, passwords, tokens, keys, and your own.
//!
//! ```toml
//! [[topics.shop.chain]]
//! filter = "redact"        # the last of the chain, so that it sees what the others cut out
//! [topics.shop.chain.config]
//! detect = ["card", "email", "secrets", "ip"]
//! patterns = { customer = "C-(\\d{8})" }
//! ```
//! makes of `paid 4111 1111 1111 1111 by ann@example.org token=abc123 C-12345678` the message
//! `paid [card] by [email] token=[password] C-[customer]`.
//!
//! | option | default | what |
//! | --- | --- | --- |
//! | `detect` | `card`, `email`, `secrets` | kinds, or groups of them: `secrets` = `bearer`, `basic`, `password`, `aws`, `private_key`, `jwt`; `ip` = `ipv4`, `ipv6` |
//! | `patterns` | | names and regular expressions of your own; where one has a group, only the first group is taken out |
//! | `fields` | all | which fields; without it every text that the record has, the message among them |
//! | `replace` | `[{kind}]` | what stands in its place; `{kind}` is the kind or the pattern's name |
//! | `hash_key` | | a secret of at least 16 characters: what stands there is `[card:9f86d081884c7d65]`, from HMAC-SHA-256, so equal things can still be told to be equal |
//! | `tag_on_failure` | `_redacterror` | a pattern was given up on this text (too much backtracking); then the whole text is replaced, by `[pattern's name]` |
//! | `add_field`, `remove_field`, `add_tag`, `remove_tag` | | where something was taken out ([`sawbox_guest::common`]) |
//!
//! | kind | is |
//! | --- | --- |
//! | `card` | 13 to 19 digits, also in groups with spaces or dashes, of an issuer and with a right check digit |
//! | `email` | `name@host.top` |
//! | `ipv4`, `ipv6` | addresses that stand alone |
//! | `bearer`, `basic` | what follows `Bearer`, and `Basic` where it holds a user and password |
//! | `password` | values of names that end in `password`, `passwd`, `pwd`, `passphrase`, `secret`, `secret_key`, `api_key`, `apikey`, `token` … behind `=` or `:`, quoted or not; passwords in URLs |
//! | `aws` | access key ids (`AKIA…`); secret access keys are a `password` |
//! | `private_key` | from `-----BEGIN … PRIVATE KEY-----` to its end |
//! | `jwt` | `eyJ….eyJ….…` |
//!
//! **What still holds the original.** The row does not: its message is the redacted one even where it was merely the payload. But
//! the record as it arrived stays in the queue for the topic's retention there, in its dead letter if a filter fails, and in what
//! a `route` before this one sent on; replay, trial and explain read it from the queue. Keep the topic's queue short where that
//! matters, and put `redact` before `route`. Names that only the box writes (`_peer`) and numbers are not looked at. With
//! `hash_key`, who has the key can try all card numbers: it is no encryption, and the key stands in the chain's configuration.

pub mod find;
pub mod sha256;

use sawbox_guest::common::tags_on_failure;
use sawbox_guest::field::is_reserved;
use sawbox_guest::{Filter, Needle, OnSuccess, Read, Record, Setup, Value, Verdict};

use find::{Finder, Kind};

/// The filter.
#[derive(Debug)]
pub struct Redact {
    /// Without them every field.
    fields: Option<Vec<(Read, String)>>,
    kinds: u16,
    patterns: Vec<(String, Needle)>,
    replacement: Replacement,
    tag_on_failure: Vec<String>,
    on_success: OnSuccess,
    work: [Vec<u8>; 2],
}

/// What stands in the place of a find.
#[derive(Debug)]
struct Replacement {
    /// Around the kind; without a second part there is no kind in it.
    text: (String, Option<String>),
    key: Option<Vec<u8>>,
}

impl Replacement {
    fn write(&self, kind: &str, found: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(self.text.0.as_bytes());
        if let Some(rest) = &self.text.1 {
            out.extend_from_slice(kind.as_bytes());
            if let Some(key) = &self.key {
                out.push(b':');
                for byte in &sha256::hmac(key, found)[..8] {
                    for digit in [byte >> 4, byte & 15] {
                        out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
                    }
                }
            }
            out.extend_from_slice(rest.as_bytes());
        }
    }
}

impl Filter for Redact {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        let own = ["detect", "patterns", "fields", "replace", "hash_key", "tag_on_failure"];
        config.only(&[&own[..], &OnSuccess::KEYS].concat())?;
        let mut kinds = 0;
        let default = ["card", "email", "secrets"].to_vec();
        for name in if config.get("detect").is_some() { config.strings("detect")? } else { default } {
            kinds |= match name {
                "secrets" => Kind::SECRETS,
                "ip" => Kind::Ipv4 as u16 | Kind::Ipv6 as u16,
                name => Kind::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind as u16).ok_or_else(|| {
                    let all: Vec<_> = Kind::ALL.iter().map(|(name, _)| *name).collect();
                    format!("`detect`: \"{name}\" is unknown; there is: {}, secrets, ip", all.join(", "))
                })?,
            };
        }
        let mut patterns = Vec::new();
        for (name, pattern) in config.table("patterns")? {
            let pattern = pattern.as_str().ok_or_else(|| format!("`patterns.{name}` must be a string"))?;
            let needle = Needle::new(setup, pattern).map_err(|error| format!("`patterns.{name}`: {error}"))?;
            patterns.push((name.clone(), needle));
        }
        if kinds == 0 && patterns.is_empty() {
            return Err("give `detect` or `patterns`: without them it does nothing".into());
        }
        let key = config.str_or("hash_key", "")?;
        if config.get("hash_key").is_some() && key.len() < 16 {
            return Err("`hash_key` must have at least 16 characters: it keeps the hashes from being guessed".into());
        }
        let text = config.str_or("replace", "[{kind}]")?;
        let text = match text.split_once("{kind}") {
            Some((before, after)) => (before.to_owned(), Some(after.to_owned())),
            None if !key.is_empty() => return Err("`replace` must hold `{kind}` where there is a `hash_key`".into()),
            None => (text.to_owned(), None),
        };
        let fields = match config.strings("fields")? {
            fields if config.get("fields").is_none() || fields == ["*"] => {
                setup.reads_all();
                drop(fields);
                None
            }
            fields => {
                let mut reads = Vec::new();
                for written in fields {
                    let name = sawbox_guest::field::target(written)?;
                    reads.push((setup.reads(&name), name));
                }
                Some(reads)
            }
        };
        let on_success = OnSuccess::new(setup)?;
        setup.needs_payload(false);
        Ok(Self {
            fields,
            kinds,
            patterns,
            replacement: Replacement { text, key: (!key.is_empty()).then(|| key.into()) },
            tag_on_failure: tags_on_failure(config, "_redacterror")?,
            on_success,
            work: [Vec::new(), Vec::new()],
        })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let (mut changed, mut failed) = (false, false);
        match self.fields.take() {
            Some(fields) => {
                for (read, name) in &fields {
                    if record.all(*read).any(|value| self.concerns(value, &mut failed)) {
                        self.rewrite(name.as_bytes(), record.all(*read), verdict, &mut failed);
                        changed = true;
                    }
                }
                self.fields = Some(fields);
            }
            None => {
                // Mostly there is nothing, and then nothing is remembered. A list is written again as a whole, once.
                let mut done: Vec<&[u8]> = Vec::new();
                for (name, value) in record.values() {
                    if is_reserved(name) || done.contains(&name) || !self.concerns(value, &mut failed) {
                        continue;
                    }
                    done.push(name);
                    let values = record.values().filter(|(other, _)| *other == name).map(|(_, value)| value);
                    self.rewrite(name, values, verdict, &mut failed);
                    changed = true;
                }
            }
        }
        if failed {
            self.tag_on_failure.iter().for_each(|tag| verdict.tag(tag));
        }
        if changed {
            self.on_success.apply(record, verdict);
        }
    }
}

impl Redact {
    /// Whether something is to be taken out of a value.
    fn concerns(&mut self, value: Value<'_>, failed: &mut bool) -> bool {
        let Value::Str(text) = value else { return false };
        if Finder::new(text, self.kinds).next().is_some() {
            return true;
        }
        self.patterns.iter_mut().any(|(_, needle)| match needle.find(text, 0) {
            Ok(found) => found.is_some(),
            Err(_) => {
                *failed = true;
                true
            }
        })
    }

    fn rewrite<'a>(
        &mut self,
        name: &[u8],
        values: impl Iterator<Item = Value<'a>>,
        verdict: &mut Verdict<'_>,
        failed: &mut bool,
    ) {
        for (index, value) in values.enumerate() {
            let value = match value {
                Value::Str(text) => {
                    self.redact(text, failed);
                    Value::Str(&self.work[0])
                }
                other => other,
            };
            if index == 0 {
                verdict.set(name, value);
            } else {
                verdict.add(name, value);
            }
        }
    }

    /// Leaves the text as it may be stored in `work[0]`.
    fn redact(&mut self, text: &[u8], failed: &mut bool) {
        let Self { kinds, patterns, replacement, work: [out, before], .. } = self;
        out.clear();
        let mut from = 0;
        for found in Finder::new(text, *kinds) {
            out.extend_from_slice(&text[from..found.start]);
            replacement.write(found.kind.name(), &text[found.start..found.end], out);
            from = found.end;
        }
        out.extend_from_slice(&text[from..]);
        for (name, needle) in patterns {
            core::mem::swap(out, before);
            out.clear();
            // Up to where it is written, and looked through: what a match has behind its group stays, and is looked at again.
            let (mut from, mut looked) = (0, 0);
            loop {
                match needle.find(before, looked) {
                    Ok(None) => break,
                    Ok(Some(captures)) => {
                        let (start, end) = captures.get(1).unwrap_or(captures.span());
                        // The group of a look around may lie before or behind the match, also in what is taken out already.
                        let start = start.max(from);
                        if start < end {
                            out.extend_from_slice(&before[from..start]);
                            replacement.write(name, &before[start..end], out);
                            from = end;
                        }
                        looked = captures.span().1;
                    }
                    Err(_) => {
                        // What could not be looked through is not stored.
                        *failed = true;
                        out.clear();
                        replacement.write(name, before, out);
                        from = before.len();
                        break;
                    }
                }
            }
            out.extend_from_slice(&before[from..]);
        }
    }
}

sawbox_guest::filter!(Redact);

#[cfg(test)]
mod tests;
