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
//! One pass, no allocation, time linear in the line, and no input panics. What is usual is read first and without a loop, all else
//! by a function that is not inlined: at each loop's head, and around each call, the box counts fuel, and what the function
//! around it knows must leave its registers. For the same reason the usual way is one function, whatever the compiler thinks of its
//! size. Not here: what the fields are called.

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
#[inline(always)]
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
    if let [.., b'!'..=u8::MAX] = line {
        return line;
    }
    let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | b' ')).map_or(0, |last| last + 1);
    &line[..end]
}

/// What a field says, if it says anything.
fn said(text: &[u8]) -> Option<&[u8]> {
    (!matches!(text, [] | [b'-'])).then_some(text)
}

/// At the first ` [time] "`: where it begins, the time, what is behind the quote.
#[inline(always)]
fn split_at_time(line: &[u8]) -> Option<(usize, i64, usize)> {
    // Mostly it is among the first bytes.
    match find::among_first(line, b'[').map(u32::trailing_zeros) {
        Some(at @ 0..32) => time_at(line, at as usize).or_else(|| later_time(line, at as usize + 1)),
        _ => later_time(line, 0),
    }
}

#[inline(never)]
fn later_time(line: &[u8], mut from: usize) -> Option<(usize, i64, usize)> {
    loop {
        let at = find::byte(line, from, b'[')?;
        if let Some(found) = time_at(line, at) {
            return Some(found);
        }
        from = at + 1;
    }
}

/// If ` [time] "` stands around this bracket.
#[inline]
fn time_at(line: &[u8], at: usize) -> Option<(usize, i64, usize)> {
    let time: &[u8; time::LENGTH] = line.get(at + 1..)?.first_chunk()?;
    let (before, after) = (at.checked_sub(1)?, at + 1 + time::LENGTH);
    if line[before] != b' ' || !matches!(line.get(after..), Some([b']', b' ', b'"', ..])) {
        return None;
    }
    Some((before, time::parse(time)?, after + 3))
}

type People<'a> = (Option<&'a [u8]>, &'a [u8], Option<&'a [u8]>, Option<&'a [u8]>);

/// Virtual host, client, ident and user, which stand before `end`.
#[inline(always)]
fn people(line: &[u8], end: usize) -> Option<People<'_>> {
    // Mostly three short words, all among the first bytes.
    if let (Some(spaces), 0..32) = (find::among_first(line, b' '), end) {
        let spaces = spaces & !(u32::MAX << end);
        let after = spaces & spaces.wrapping_sub(1);
        let (first, second) = (spaces.trailing_zeros() as usize, after.trailing_zeros() as usize);
        if after != 0 && after & (after - 1) == 0 {
            let (clientip, ident, auth) = (line.get(..first)?, line.get(first + 1..second)?, line.get(second + 1..end)?);
            return if clientip.is_empty() || ident.is_empty() || auth.is_empty() {
                None
            } else {
                Some((None, clientip, said(ident), said(auth)))
            };
        }
    }
    more_people(line, end)
}

#[inline(never)]
fn more_people(line: &[u8], end: usize) -> Option<People<'_>> {
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
#[inline]
fn end_of_request(line: &[u8], from: usize) -> Option<usize> {
    let quote = end_of_quoted(line, from);
    let rest = line.get(quote + 1..)?;
    if followed_by_status(rest) { Some(quote) } else { behind_stray(line, quote + 1) }
}

#[inline(never)]
fn behind_stray(line: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let quote = end_of_quoted(line, from);
        if followed_by_status(line.get(quote + 1..)?) {
            return Some(quote);
        }
        from = quote + 1;
    }
}

/// ` 200 ` or ` - ` and then a digit or a dash.
fn followed_by_status(rest: &[u8]) -> bool {
    if let [b' ', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ', b'0'..=b'9' | b'-', ..] = rest {
        return true;
    }
    followed_by_any_status(rest)
}

#[inline(never)]
fn followed_by_any_status(rest: &[u8]) -> bool {
    let Some((b' ', rest)) = rest.split_first() else { return false };
    let status = if rest.first() == Some(&b'-') { 1 } else { rest.iter().take_while(|byte| byte.is_ascii_digit()).count() };
    (1..=5).contains(&status) && matches!(rest.get(status..), Some([b' ', b'0'..=b'9' | b'-', ..]))
}

/// Where the next quote stands that is not escaped; where there is none, the line's end. (A plain number is given back in a register.)
fn end_of_quoted(line: &[u8], from: usize) -> usize {
    match find::either(line, from, b'"', b'\\') {
        Some(at) if line[at] == b'\\' => behind_escape(line, at + 2),
        Some(at) => at,
        None => line.len(),
    }
}

#[inline(never)]
fn behind_escape(line: &[u8], mut from: usize) -> usize {
    loop {
        match find::either(line, from, b'"', b'\\') {
            Some(at) if line[at] == b'\\' => from = at + 2,
            Some(at) => return at,
            None => return line.len(),
        }
    }
}

/// A quoted text behind a space, which the end of the line may have cut off; and what is behind it.
#[inline(always)]
fn lenient_quoted(line: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let Some([b' ', b'"', ..]) = line.get(at..) else { return None };
    let end = end_of_quoted(line, at + 2);
    Some((line.get(at + 2..end)?, line.len().min(end + 1)))
}

/// A number, or a dash for none; and where it ends: at a space, or with the line.
fn number_or_dash(line: &[u8], from: usize) -> Option<(Option<i64>, usize)> {
    if let Some(&eight) = line.get(from..).and_then(<[u8]>::first_chunk)
        && let (number, count @ 1..8) = digits(eight)
        && line.get(from + count) == Some(&b' ')
    {
        return Some((Some(number), from + count));
    }
    number_or_dash_slowly(line, from)
}

/// The number that these bytes begin with, and how many digits it has.
#[inline]
fn digits(bytes: [u8; 8]) -> (i64, usize) {
    let values = u64::from_le_bytes(bytes) ^ 0x3030_3030_3030_3030;
    // What is no digit reaches the top bit.
    let others = (values | values.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080;
    let count = others.trailing_zeros() / 8;
    // The last digit to the last byte, then two by two.
    let values = values.checked_shl(64 - 8 * count).unwrap_or(0);
    let pairs = (values.wrapping_mul(10).wrapping_add(values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let number = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
    (number.cast_signed(), count as usize)
}

#[inline(never)]
fn number_or_dash_slowly(line: &[u8], from: usize) -> Option<(Option<i64>, usize)> {
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
#[inline(always)]
fn cut_request(line: &[u8], from: usize, to: usize) -> Option<Request<'_>> {
    let text = line.get(from..to)?;
    Some(good_request(line, from, text).unwrap_or(Request::Raw(text)))
}

#[inline(always)]
fn good_request<'a>(line: &'a [u8], from: usize, text: &'a [u8]) -> Option<Request<'a>> {
    let to = from + text.len();
    let verb = match text {
        [b'G', b'E', b'T', b' ', ..] => 3,
        _ => end_of_verb(text)?,
    };
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

#[inline(never)]
fn end_of_verb(text: &[u8]) -> Option<usize> {
    text.iter().position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))
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
    if rest.is_empty() {
        return None;
    }
    last_request_time(rest)
}

#[inline(never)]
fn last_request_time(rest: &[u8]) -> Option<(i64, i64)> {
    let last = rest.rsplit(|byte| *byte == b' ').next()?;
    let bare = last.strip_prefix(b"**").and_then(|last| last.strip_suffix(b"**")).unwrap_or(last);
    let slash = find::byte(bare, 0, b'/')?;
    Some((number(&bare[..slash])?, number(&bare[slash + 1..])?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{behind_escape, end_of_quoted, followed_by_any_status, followed_by_status, later_time, more_people};
    use super::{number_or_dash, number_or_dash_slowly, people, split_at_time};

    fn text(of: &'static str) -> impl Strategy<Value = Vec<u8>> {
        proptest::string::bytes_regex(of).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_usual_is_read_as_all_else(
            number in text("[0-9]{0,20}[ -.x]{0,2}(?s-u:.){0,9}"),
            words in text("([0-9a-f.:]{1,12} |[ -]{1,3}){1,5}[-a-z]{0,4}(?s-u:.){0,20}"),
            time in text("[-0-9 \\[]{0,30}(\\[17/May/2015:10:05:03 \\+0000\\] \"){0,2}[a \\[]{0,20}"),
            quoted in text("([a-z]{0,40}[\\\\\" ]){0,4}(?s-u:.){0,9}"),
            status in text("[ ]?([0-9]{0,6}|-)[ ]?[0-9-]?"),
        ) {
            for from in [0, 3] {
                prop_assert_eq!(number_or_dash(&number, from), number_or_dash_slowly(&number, from));
                prop_assert_eq!(end_of_quoted(&quoted, from), behind_escape(&quoted, from));
            }
            for end in [words.len().min(7), words.len().min(31), words.len().min(32), words.len()] {
                prop_assert_eq!(people(&words, end), more_people(&words, end));
            }
            prop_assert_eq!(split_at_time(&time), later_time(&time, 0));
            prop_assert_eq!(followed_by_status(&status), followed_by_any_status(&status));
        }
    }
}
