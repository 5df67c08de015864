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

use sawbox_guest::find;

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
    let (before, time_ns, request_from) = split_at_time(line)?;
    let (vhost, clientip, ident, auth) = people(line, before)?;
    let request_to = end_of_request(line, request_from)?;
    let (response, at) = number_or_dash(line, request_to + 2)?;
    let (bytes, mut at) = number_or_dash(line, at + 1)?;
    let (mut referrer, mut agent) = (None, None);
    if let Some((text, after)) = lenient_quoted(line, at) {
        (referrer, at) = (said(text), after);
        if let Some((text, after)) = lenient_quoted(line, at) {
            (agent, at) = (said(text), after);
        }
    }
    let (reqsec, reqms) = line.get(at..).and_then(request_time).unzip();
    let request = cut_request(line, request_from, request_to)?;
    Some(Line { vhost, clientip, ident, auth, time_ns, request, response, bytes, referrer, agent, reqsec, reqms })
}

fn trim_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | b' ')).map_or(0, |last| last + 1);
    &line[..end]
}

/// What a field says, if it says anything.
fn said(text: &[u8]) -> Option<&[u8]> {
    (!matches!(text, [] | [b'-'])).then_some(text)
}

/// At the first ` [time] "`: where it begins, the time, what is behind the quote.
fn split_at_time(line: &[u8]) -> Option<(usize, i64, usize)> {
    let mut from = 0;
    loop {
        let at = find::byte(line, from, b'[')?;
        from = at + 1;
        let time: Option<&[u8; time::LENGTH]> = line.get(from..).and_then(<[u8]>::first_chunk);
        let time = time?;
        let after = from + time::LENGTH;
        let ends = matches!(line.get(after..), Some([b']', b' ', b'"', ..]));
        if let (true, Some(before)) = (ends, at.checked_sub(1))
            && line[before] == b' '
            && let Some(time_ns) = time::parse(time)
        {
            return Some((before, time_ns, after + 3));
        }
    }
}

type People<'a> = (Option<&'a [u8]>, &'a [u8], Option<&'a [u8]>, Option<&'a [u8]>);

/// Virtual host, client, ident and user, which stand before `end`.
fn people(line: &[u8], end: usize) -> Option<People<'_>> {
    let word = |from: usize| find::byte(line, from, b' ').filter(|space| *space < end);
    let text = |from: usize, to: usize| line.get(from..to);
    let first = word(0)?;
    let second = word(first + 1)?;
    let (one, other, rest) = (text(0, first)?, text(first + 1, second)?, text(second + 1, end)?);
    let (vhost, clientip, ident, auth) = match word(second + 1) {
        // The only format with a fourth word whose first word names a port.
        Some(third) if names_port(one) && word(third + 1).is_none() => {
            (Some(one), other, text(second + 1, third)?, text(third + 1, end)?)
        }
        _ => (None, one, other, rest),
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

fn names_port(word: &[u8]) -> bool {
    let mut parts = word.rsplitn(2, |byte| *byte == b':');
    let (port, host) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    !port.is_empty() && port.iter().all(u8::is_ascii_digit) && !host.is_empty()
}

/// Where the quote stands that ends the request: a status and a size follow.
fn end_of_request(line: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let quote = end_of_quoted(line, from)?;
        if followed_by_status(&line[quote + 1..]) {
            return Some(quote);
        }
        from = quote + 1;
    }
}

/// ` 200 ` or ` - ` and then a digit or a dash.
fn followed_by_status(rest: &[u8]) -> bool {
    let Some((b' ', rest)) = rest.split_first() else { return false };
    let status = if rest.first() == Some(&b'-') { 1 } else { rest.iter().take_while(|byte| byte.is_ascii_digit()).count() };
    (1..=5).contains(&status) && matches!(rest.get(status..), Some([b' ', b'0'..=b'9' | b'-', ..]))
}

/// Where the next quote stands that is not escaped.
fn end_of_quoted(line: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = find::either(line, from, b'"', b'\\')?;
        if line[at] == b'"' {
            return Some(at);
        }
        from = at + 2;
    }
}

/// A quoted text behind a space, which the end of the line may have cut off; and what is behind it.
fn lenient_quoted(line: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let Some([b' ', b'"', inside @ ..]) = line.get(at..) else { return None };
    Some(match end_of_quoted(line, at + 2) {
        Some(end) => (line.get(at + 2..end)?, end + 1),
        None => (inside, line.len()),
    })
}

/// A number, or a dash for none; and where it ends: at a space, or with the line.
fn number_or_dash(line: &[u8], from: usize) -> Option<(Option<i64>, usize)> {
    let text = line.get(from..)?;
    let (mut number, mut count) = (0, 0);
    while let Some(byte @ b'0'..=b'9') = text.get(count)
        && count < DIGITS
    {
        number = number * 10 + i64::from(byte - b'0');
        count += 1;
    }
    let number = match text {
        [b'-', ..] => {
            count = 1;
            None
        }
        _ if count == 0 => return None,
        _ => Some(number),
    };
    matches!(text.get(count), None | Some(b' ')).then_some((number, from + count))
}

/// Most digits of a number: so it fits.
const DIGITS: usize = 18;

fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > DIGITS {
        return None;
    }
    digits.iter().try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// `GET /path HTTP/1.1`, or not: what stands at `from..to`.
fn cut_request(line: &[u8], from: usize, to: usize) -> Option<Request<'_>> {
    let text = line.get(from..to)?;
    Some(good_request(line, from, text).unwrap_or(Request::Raw(text)))
}

fn good_request<'a>(line: &'a [u8], from: usize, text: &'a [u8]) -> Option<Request<'a>> {
    let to = from + text.len();
    let verb = text.iter().position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))?;
    let begin = from + verb + 1;
    // In the line, for there the next bytes are; the quote ends the request in any case.
    let end = find::space(line, begin).filter(|end| *end < to).unwrap_or(to);
    let target = line.get(begin..end)?;
    if text[verb] != b' ' || verb == 0 || target.is_empty() {
        return None;
    }
    let version = match line.get(end..to)? {
        [] => None,
        [b' ', b'H', b'T', b'T', b'P', b'/', version @ ..] if is_version(version) => Some(version),
        _ => return None,
    };
    Some(Request::Good { verb: &text[..verb], target, version })
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
    let slash = find::byte(bare, 0, b'/')?;
    Some((number(&bare[..slash])?, number(&bare[slash + 1..])?))
}
