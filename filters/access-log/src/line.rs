//! One access line, cut into its fields: slices of the line, nothing copied.
//!
//! ```text
//! [vhost:port] clientip ident auth [time] "request" status bytes ["referrer" "agent"] [anything] [seconds/milliseconds]
//! ```
//! Rules, in the order in which they are tried:
//! * what stands before ` [time] "` is three words; a user's name may itself hold spaces. Four words of which the first ends
//!   in `:port` are the `vhost_combined` format of Debian's Apache.
//! * a quoted text ends at the first quote that no backslash escapes; the request's end must be followed by a status and a
//!   size, so a stray quote in it does no harm. Referrer and agent may be cut off by the end of the line.
//! * a request that is not `WORD target[ HTTP/n]` is a raw one: what a broken or hostile client sent.
//! * `-`, and nothing at all, mean that the server had nothing to say: the field is absent.
//!
//! One pass, no allocation, time linear in the line, and no input panics. Not here: what the fields are called.

use crate::time;

/// What the server says of the request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// `GET /path HTTP/1.1`.
    Good {
        /// `GET`.
        verb: &'a [u8],
        /// `/path`.
        target: &'a [u8],
        /// `1.1`; absent in HTTP/0.9.
        version: Option<&'a [u8]>,
    },
    /// Anything else.
    Raw(&'a [u8]),
}

/// The fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Name of the virtual host, where the format begins with it.
    pub vhost: Option<&'a [u8]>,
    /// Address or name of the client.
    pub clientip: &'a [u8],
    /// What identd said.
    pub ident: Option<&'a [u8]>,
    /// The user.
    pub auth: Option<&'a [u8]>,
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    /// The request line.
    pub request: Request<'a>,
    /// Status.
    pub response: Option<i64>,
    /// Size of the answer.
    pub bytes: Option<i64>,
    /// Without its quotes, escapes as they stand.
    pub referrer: Option<&'a [u8]>,
    /// Without its quotes, escapes as they stand.
    pub agent: Option<&'a [u8]>,
    /// Of `seconds/milliseconds` at the end, the first.
    pub reqsec: Option<i64>,
    /// Of `seconds/milliseconds` at the end, the second.
    pub reqms: Option<i64>,
}

/// Cuts a line. `None` if it is no access line.
pub fn parse(line: &[u8]) -> Option<Line<'_>> {
    let line = trim_end(line);
    let (before, time_ns, after) = split_at_time(line)?;
    let (vhost, clientip, ident, auth) = people(before)?;
    let (request, rest) = split_request(after)?;
    let (response, rest) = number_or_dash(rest.get(1..)?)?;
    let (bytes, mut rest) = number_or_dash(rest.get(1..)?)?;
    let (mut referrer, mut agent) = (None, None);
    if let Some(quoted) = rest.strip_prefix(b" \"") {
        let (text, after) = lenient_quoted(quoted);
        (referrer, rest) = (said(text), after);
        if let Some(quoted) = rest.strip_prefix(b" \"") {
            let (text, after) = lenient_quoted(quoted);
            (agent, rest) = (said(text), after);
        }
    }
    let (reqsec, reqms) = request_time(rest).unzip();
    let request = cut_request(request);
    Some(Line { vhost, clientip, ident, auth, time_ns, request, response, bytes, referrer, agent, reqsec, reqms })
}

fn trim_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | b' ')).map_or(0, |last| last + 1);
    &line[..end]
}

/// What a field says, if it says anything.
fn said(text: &[u8]) -> Option<&[u8]> {
    (!text.is_empty() && text != b"-").then_some(text)
}

/// At the first ` [time] "`: before it, the time, after the quote.
fn split_at_time(line: &[u8]) -> Option<(&[u8], i64, &[u8])> {
    let mut from = 0;
    loop {
        let at = from + find(line.get(from..)?, b'[')?;
        from = at + 1;
        let time: Option<&[u8; time::LENGTH]> = line.get(from..).and_then(<[u8]>::first_chunk);
        let after = line.get(from + time::LENGTH..).and_then(|rest| rest.strip_prefix(b"] \""));
        if let (Some(time), Some(after), Some(before)) = (time, after, line[..at].strip_suffix(b" "))
            && let Some(time_ns) = time::parse(time)
        {
            return Some((before, time_ns, after));
        }
    }
}

type People<'a> = (Option<&'a [u8]>, &'a [u8], Option<&'a [u8]>, Option<&'a [u8]>);

/// Virtual host, client, ident and user.
fn people(before: &[u8]) -> Option<People<'_>> {
    let (first, rest) = word(before)?;
    let (second, rest) = word(rest)?;
    let (vhost, clientip, ident, auth) = match word(rest) {
        // The only format with a fourth word whose first word names a port.
        Some((third, auth)) if names_port(first) && !auth.contains(&b' ') => (Some(first), second, third, auth),
        _ => (None, first, second, rest),
    };
    if clientip.is_empty() || ident.is_empty() || auth.is_empty() {
        return None;
    }
    Some((
        vhost.map(|vhost| &vhost[..vhost.iter().rposition(|byte| *byte == b':').unwrap_or(vhost.len())]),
        clientip,
        said(ident),
        said(auth),
    ))
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = find(text, b' ')?;
    Some((&text[..end], &text[end + 1..]))
}

fn names_port(word: &[u8]) -> bool {
    let mut parts = word.rsplitn(2, |byte| *byte == b':');
    let (port, host) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    !port.is_empty() && port.iter().all(u8::is_ascii_digit) && !host.is_empty()
}

/// The request, up to the quote that a status and a size follow; and what follows.
fn split_request(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    loop {
        let quote = end_of_quoted(text, from)?;
        let rest = &text[quote + 1..];
        if followed_by_status(rest) {
            return Some((&text[..quote], rest));
        }
        from = quote + 1;
    }
}

/// ` 200 ` or ` - ` and then a digit or a dash.
fn followed_by_status(rest: &[u8]) -> bool {
    let Some(rest) = rest.strip_prefix(b" ") else { return false };
    let status = if rest.first() == Some(&b'-') { 1 } else { rest.iter().take_while(|byte| byte.is_ascii_digit()).count() };
    (1..=5).contains(&status) && rest.get(status) == Some(&b' ') && matches!(rest.get(status + 1), Some(b'0'..=b'9' | b'-'))
}

/// Where the next quote stands that is not escaped.
fn end_of_quoted(text: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = from + find_quote_or_backslash(text.get(from..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        from = at + 2;
    }
}

/// A quoted text that the end of the line may have cut off, and what follows it.
fn lenient_quoted(text: &[u8]) -> (&[u8], &[u8]) {
    end_of_quoted(text, 0).map_or((text, &[]), |end| (&text[..end], &text[end + 1..]))
}

/// A number, or a dash for none; and what follows, which is nothing or begins with a space.
fn number_or_dash(text: &[u8]) -> Option<(Option<i64>, &[u8])> {
    let end = find(text, b' ').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if word == b"-" {
        return Some((None, rest));
    }
    Some((Some(number(word)?), rest))
}

fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// `GET /path HTTP/1.1`, or not.
fn cut_request(text: &[u8]) -> Request<'_> {
    let raw = Request::Raw(text);
    let Some((verb, rest)) = word(text) else { return raw };
    if verb.is_empty() || !verb.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
        return raw;
    }
    let end = find_space(rest).unwrap_or(rest.len());
    let (target, protocol) = rest.split_at(end);
    let version = match protocol {
        [] => None,
        protocol => match protocol.strip_prefix(b" HTTP/").filter(|version| is_version(version)) {
            Some(version) => Some(version),
            None => return raw,
        },
    };
    if target.is_empty() {
        return raw;
    }
    Request::Good { verb, target, version }
}

fn is_version(text: &[u8]) -> bool {
    match text {
        [major] => major.is_ascii_digit(),
        [major, b'.', minor] => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    }
}

/// The last word, if it is `seconds/milliseconds`; some formats put it between asterisks.
fn request_time(rest: &[u8]) -> Option<(i64, i64)> {
    let last = rest.rsplit(|byte| *byte == b' ').next()?;
    let bare = last.strip_prefix(b"**").and_then(|last| last.strip_suffix(b"**")).unwrap_or(last);
    let slash = find(bare, b'/')?;
    Some((number(&bare[..slash])?, number(&bare[slash + 1..])?))
}

const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The top bit of every byte that is below `bound`, and perhaps of bytes above such a one; the lowest is exact.
fn bytes_below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(eight(bound)) & !word & eight(0x80)
}

/// Where a byte first stands for which `is` says so; `hits` says the same of eight at once, by their top bits, and may say it of
/// some that it is not true of.
fn find_by(text: &[u8], hits: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> Option<usize> {
    let (words, tail) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let mut hits = hits(u64::from_le_bytes(*word));
        while hits != 0 {
            let at = hits.trailing_zeros() as usize / 8;
            if is(word[at]) {
                return Some(index * 8 + at);
            }
            hits &= hits - 1;
        }
    }
    tail.iter().position(|byte| is(*byte)).map(|at| words.len() * 8 + at)
}

/// Where `byte` first stands. Words are short, so bytes are looked at one by one.
fn find(text: &[u8], byte: u8) -> Option<usize> {
    text.iter().position(|other| *other == byte)
}

/// Where the first space of any kind stands.
fn find_space(text: &[u8]) -> Option<usize> {
    find_by(text, |word| bytes_below(word, b' ' + 1), |byte| matches!(byte, b' ' | b'\t'..=b'\r'))
}

/// Where a quote or a backslash first stands.
fn find_quote_or_backslash(text: &[u8]) -> Option<usize> {
    let hits = |word: u64| bytes_below(word ^ eight(b'"'), 1) | bytes_below(word ^ eight(b'\\'), 1);
    find_by(text, hits, |byte| matches!(byte, b'"' | b'\\'))
}
