//! A dissection: `%{a} %{+a} %{?skipped}[%{b->}] %{&a}` compiled to keys and the delimiters between them, and its match.
//!
//! A text is read from left to right: what stands before the first key must be its front; each key gets what is before the next
//! place of its delimiter; the last one gets the rest. One pass, no backtracking, nothing copied. Two keys without a delimiter
//! between them could not be told apart and are refused.

use sawbox_guest::field;

/// Most keys of one dissection.
pub const KEYS: usize = 64;

/// What is done with what a key gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is the field's value.
    Set,
    /// Nothing; a name makes it a key for [`Use::Indirect`].
    Skip,
    /// It is appended, in the order of the number, else as declared.
    Append(u32),
    /// It is the value of the field that another key's text names.
    Indirect,
}

/// A key and the delimiter behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The field, dotted; empty for `%{}`.
    pub name: String,
    /// What is done with it.
    pub use_: Use,
    /// The text before it; a space where there is none.
    pub before: Vec<u8>,
    /// The text behind it; empty only for the last.
    pub after: Vec<u8>,
    /// Whether the delimiter may stand there more than once.
    pub is_padded: bool,
}

/// A compiled dissection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    front: Vec<u8>,
    /// In the order of the text.
    pub keys: Vec<Key>,
}

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("the mapping `{text}` {why}");
        let (mut keys, mut rest, mut before) = (Vec::new(), text, "");
        let mut front = Vec::new();
        while let Some(at) = rest.find("%{") {
            let inner = &rest[at + 2..];
            let end = inner.find('}').ok_or_else(|| wrong("has a `%{` that no `}` closes"))?;
            let delimiter = &rest[..at];
            match keys.last_mut() {
                None => front = delimiter.as_bytes().to_vec(),
                Some(_) if delimiter.is_empty() => return Err(wrong("has two keys with nothing between them")),
                Some(Key { after, .. }) => {
                    *after = delimiter.as_bytes().to_vec();
                    before = delimiter;
                }
            }
            let joint = if before.is_empty() { " " } else { before };
            keys.push(key(&inner[..end], joint).map_err(|why| wrong(&why))?);
            rest = &inner[end + 1..];
        }
        let Some(last) = keys.last_mut() else { return Err(wrong("has no `%{key}`")) };
        // What stands behind the last key must be there; what follows it is skipped.
        last.after = rest.as_bytes().to_vec();
        if keys.len() > KEYS {
            return Err(wrong(&format!("has more than {KEYS} keys")));
        }
        for key in &keys {
            let is_reference = |other: &Key| other.name == key.name && other.use_ != Use::Indirect;
            if key.use_ == Use::Indirect && key.name.is_empty() {
                return Err(wrong("has a `%{&}` without a name"));
            }
            if key.use_ == Use::Set && key.name.is_empty() && keys.iter().any(is_reference) {
                return Err(wrong("has a key without a name"));
            }
        }
        Ok(Self { front, keys })
    }

    /// The texts of the keys, in their order; `None` where the text is not of this shape.
    #[inline]
    pub fn find<'a>(&self, text: &'a [u8], found: &mut [&'a [u8]; KEYS]) -> Option<()> {
        let mut rest = text.strip_prefix(self.front.as_slice())?;
        for (key, slot) in self.keys.iter().zip(found.iter_mut()) {
            if key.after.is_empty() {
                *slot = rest;
                break;
            }
            let end = position(rest, &key.after)?;
            *slot = &rest[..end];
            rest = &rest[end + key.after.len()..];
            if key.is_padded {
                while let Some(next) = rest.strip_prefix(key.after.as_slice()) {
                    rest = next;
                }
            }
        }
        Some(())
    }
}

/// The inside of `%{…}`.
fn key(written: &str, before: &str) -> Result<Key, String> {
    let (written, is_padded) = written.strip_suffix("->").map_or((written, false), |written| (written, true));
    let (mut use_, mut name) = match written.chars().next() {
        Some('+') => (Use::Append(0), &written[1..]),
        Some('&') => (Use::Indirect, &written[1..]),
        Some('?' | '*') => (Use::Skip, &written[1..]),
        None => (Use::Skip, written),
        Some(_) => (Use::Set, written),
    };
    if name.starts_with(['+', '&', '?', '*']) {
        return Err(format!("has `%{{{written}}}`: `+`, `&`, `?` and `*` do not go together"));
    }
    if let Some((front, order)) = name.rsplit_once('/').filter(|_| matches!(use_, Use::Append(_))) {
        let order = order.parse().map_err(|_| format!("has `%{{{written}}}`: behind `/` comes a number"))?;
        (use_, name) = (Use::Append(order), front);
    }
    if matches!(use_, Use::Append(_)) && name.is_empty() {
        return Err("has a `%{+}` without a name".into());
    }
    let name = match use_ {
        Use::Set | Use::Append(_) => field::target(name)?,
        Use::Indirect | Use::Skip if !name.is_empty() => field::name(name)?,
        Use::Indirect | Use::Skip => String::new(),
    };
    Ok(Key { name, use_, before: before.as_bytes().to_vec(), after: Vec::new(), is_padded })
}

/// Where `needle`, which is not empty, first stands.
#[inline]
fn position(text: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, rest) = needle.split_first()?;
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.iter().position(|byte| byte == first)?;
        if text[at + 1..].starts_with(rest) {
            return Some(at);
        }
        from = at + 1;
    }
}
