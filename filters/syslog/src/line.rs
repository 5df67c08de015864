//! A syslog line's parts: RFC 5424, RFC 3164, what daemons write to files, and what routers make of it.
//!
//! All parts are slices of the line. A line without a priority is one if a time stands in front (that is how files have them); a
//! line with a priority is one whatever follows.

use sawbox_guest::time::Zone;

use crate::time;

/// Most octets of a frame's length that stand before a line.
const FRAME: usize = 6;

/// What a line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line<'a> {
    /// 0 to 191.
    pub priority: Option<u8>,
    /// When it was written.
    pub time_ns: Option<i64>,
    /// Host or address.
    pub host: Option<&'a [u8]>,
    /// Program.
    pub app: Option<&'a [u8]>,
    /// Its process.
    pub pid: Option<&'a [u8]>,
    /// Kind of message.
    pub msgid: Option<&'a [u8]>,
    /// A router's count of its messages.
    pub sequence: Option<&'a [u8]>,
    /// Structured data as it stands: well formed, see [`Params`].
    pub structured: &'a [u8],
    /// The rest.
    pub message: &'a [u8],
}

/// Takes a line apart; `None` where it is no syslog.
pub fn parse<'a>(text: &'a [u8], zone: &mut Zone, arrival_ns: i64) -> Option<Line<'a>> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    let (priority, rest) = match priority(text) {
        Some((priority, rest)) => (Some(priority), rest),
        None => (None, text),
    };
    if priority.is_some()
        && let Some(rest) = rest.strip_prefix(b"1 ")
        && let Some(line) = new(rest, zone)
    {
        return Some(Line { priority, ..line });
    }
    let line = old(rest, zone, arrival_ns);
    (priority.is_some() || line.time_ns.is_some()).then_some(Line { priority, ..line })
}

/// `<34>`, after a frame's length where a receiver left it: `123 <34>`.
fn priority(text: &[u8]) -> Option<(u8, &[u8])> {
    let frame = text.iter().take(FRAME).take_while(|byte| byte.is_ascii_digit()).count();
    let rest = if frame > 0 { text.get(frame..)?.strip_prefix(b" ")? } else { text };
    let rest = rest.strip_prefix(b"<")?;
    let count = rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(count);
    let number = digits.iter().fold(0_u16, |sum, byte| sum * 10 + u16::from(byte - b'0'));
    let number = u8::try_from(number).ok().filter(|number| count > 0 && *number < 192)?;
    Some((number, rest.strip_prefix(b">")?))
}

/// Up to the next space; `-` is nothing.
fn word<'a>(text: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if word.is_empty() {
        return None;
    }
    *text = rest.strip_prefix(b" ").unwrap_or(rest);
    Some((word != b"-").then_some(word))
}

/// RFC 5424, from the time on.
fn new<'a>(mut text: &'a [u8], zone: &mut Zone) -> Option<Line<'a>> {
    let mut line = Line::default();
    if let Some(rest) = text.strip_prefix(b"- ") {
        text = rest;
    } else {
        let (ns, rest) = time::take(text, zone, 0).filter(|_| text.first().is_some_and(u8::is_ascii_digit))?;
        line.time_ns = Some(ns);
        text = rest.strip_prefix(b" ")?;
    }
    line.host = word(&mut text)?;
    line.app = word(&mut text)?;
    line.pid = word(&mut text)?;
    line.msgid = word(&mut text)?;
    if let Some(rest) = text.strip_prefix(b"-").filter(|rest| matches!(rest.first(), None | Some(b' '))) {
        text = rest;
    } else if let Some(len) = structured(text) {
        (line.structured, text) = text.split_at(len);
    }
    text = text.strip_prefix(b" ").unwrap_or(text);
    line.message = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    Some(line)
}

/// Bytes of well-formed structured data at the front.
fn structured(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while text.get(at) == Some(&b'[') {
        at += 1;
        let name = |at: usize| text.get(at..).unwrap_or(&[]).iter().take_while(|byte| is_name(**byte)).count();
        let id = name(at);
        if id == 0 {
            return None;
        }
        at += id;
        loop {
            while text.get(at) == Some(&b' ') {
                at += 1;
            }
            if text.get(at) == Some(&b']') {
                at += 1;
                break;
            }
            let len = name(at);
            if len == 0 || text.get(at + len..at + len + 2) != Some(b"=\"") {
                return None;
            }
            at += len + 2;
            at += value(text.get(at..)?)? + 1;
        }
    }
    (at > 0 && matches!(text.get(at), None | Some(b' '))).then_some(at)
}

/// Bytes up to the quote that closes a value.
fn value(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += text.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

fn is_name(byte: u8) -> bool {
    byte > b' ' && !matches!(byte, b'=' | b']' | b'"' | b'[' | 0x7f)
}

/// Parameters of structured data: (id, name, value with its escapes).
#[derive(Clone, Debug)]
pub struct Params<'a> {
    rest: &'a [u8],
    id: &'a [u8],
}

impl<'a> Params<'a> {
    /// Of a line's.
    pub fn new(structured: &'a [u8]) -> Self {
        Self { rest: structured, id: &[] }
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = (&'a [u8], &'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.rest.first()? {
                b'[' => {
                    let rest = &self.rest[1..];
                    let end = rest.iter().position(|byte| !is_name(*byte))?;
                    (self.id, self.rest) = rest.split_at(end);
                }
                b']' | b' ' => self.rest = &self.rest[1..],
                _ => {
                    let end = self.rest.iter().position(|byte| *byte == b'=')?;
                    let (name, rest) = self.rest.split_at(end);
                    let rest = rest.get(2..)?;
                    let end = value(rest)?;
                    self.rest = rest.get(end + 1..)?;
                    return Some((self.id, name, &rest[..end]));
                }
            }
        }
    }
}

/// RFC 3164 and its relatives, from behind the priority.
fn old<'a>(text: &'a [u8], zone: &mut Zone, arrival_ns: i64) -> Line<'a> {
    let mut line = Line { message: text, ..Line::default() };
    let mut rest = text;
    // Cisco: `237: `, `237: router: `, `*` and `.` before a time of a clock that nobody set.
    if let Some((sequence, after)) = sequence(rest) {
        (line.sequence, rest) = (Some(sequence), after);
        if !rest.starts_with(b"%")
            && let Some((host, after)) = until_colon(rest)
            && time_at(after, zone, arrival_ns).is_some()
        {
            (line.host, rest) = (Some(host), after);
        }
    }
    let Some((ns, after)) = time_at(rest, zone, arrival_ns) else {
        if line.sequence.is_some() && rest.starts_with(b"%") {
            cisco(&mut line, rest);
        } else {
            // A priority and nothing more that is known; a tag may be there all the same.
            (line.host, line.sequence) = (None, None);
            let message = text.strip_prefix(b" ").unwrap_or(text);
            line.message = message;
            tag(&mut line, message);
        }
        return line;
    };
    line.time_ns = Some(ns);
    // `Oct 11 22:14:15: %SYS-5-CONFIG_I: …`
    if let Some(after) = after.strip_prefix(b":") {
        rest = after.trim_ascii_start();
        line.message = rest;
        if !cisco(&mut line, rest) {
            tag(&mut line, rest);
        }
        return line;
    }
    rest = after.strip_prefix(b" ").unwrap_or(after);
    line.message = rest;
    if tag(&mut line, rest) {
        return line;
    }
    if let Some(Some(host)) = word(&mut rest) {
        line.host = Some(host.strip_suffix(b":").unwrap_or(host));
        // `host : %ASA-…`
        rest = rest.strip_prefix(b": ").unwrap_or(rest);
        line.message = rest;
        if let Some((sequence, after)) = sequence(rest) {
            let after = time_at(after, zone, arrival_ns).and_then(|(_, after)| after.strip_prefix(b":")).unwrap_or(after);
            let after = after.trim_ascii_start();
            if cisco(&mut line, after) {
                line.sequence = Some(sequence);
                return line;
            }
        }
        if !cisco(&mut line, rest) {
            tag(&mut line, rest);
        }
    }
    line
}

fn time_at<'a>(text: &'a [u8], zone: &mut Zone, arrival_ns: i64) -> Option<(i64, &'a [u8])> {
    let text = match text {
        [b'*' | b'.', rest @ ..] => rest,
        _ => text,
    };
    time::take(text, zone, arrival_ns)
}

/// `237: `
fn sequence(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let count = text.iter().take(12).take_while(|byte| byte.is_ascii_digit()).count();
    let rest = text.get(count..)?.strip_prefix(b": ")?;
    (count > 0).then(|| (&text[..count], rest.trim_ascii_start()))
}

/// `router: `
fn until_colon(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().take(256).position(|byte| matches!(byte, b':' | b' '))?;
    let rest = text[end..].strip_prefix(b": ")?;
    (end > 0).then(|| (&text[..end], rest))
}

/// `%SYS-5-CONFIG_I: text`: the mnemonic is the program, as it is for those who read it as a tag.
fn cisco<'a>(line: &mut Line<'a>, text: &'a [u8]) -> bool {
    if !text.starts_with(b"%") {
        return false;
    }
    let end = text.iter().take(128).position(|byte| matches!(byte, b':' | b' ')).filter(|end| *end > 1);
    let Some(end) = end.filter(|end| text.get(*end) == Some(&b':')) else { return false };
    line.app = Some(&text[..end]);
    line.message = text[end + 1..].trim_ascii_start();
    true
}

/// `prog[pid]: text`, `prog: text`; false where none stands in front.
fn tag<'a>(line: &mut Line<'a>, text: &'a [u8]) -> bool {
    let Some(end) = text.iter().take(128).position(|byte| matches!(byte, b'[' | b':' | b' ')) else { return false };
    if end == 0 {
        return false;
    }
    let (app, rest) = text.split_at(end);
    let (pid, rest) = match rest.strip_prefix(b"[") {
        Some(rest) => {
            let Some(close) = rest.iter().take(64).position(|byte| matches!(byte, b']' | b' ')) else { return false };
            let Some(after) = rest[close..].strip_prefix(b"]") else { return false };
            (Some(&rest[..close]).filter(|pid| !pid.is_empty()), after)
        }
        None => (None, rest),
    };
    let rest = match rest {
        [b':', rest @ ..] => rest,
        // `prog[12] text`
        [b' ', ..] | [] if pid.is_some() => rest,
        _ => return false,
    };
    // `a:b`, `10:00` are no tags.
    if !matches!(rest.first(), None | Some(b' ')) {
        return false;
    }
    (line.app, line.pid) = (Some(app), pid);
    line.message = rest.strip_prefix(b" ").unwrap_or(rest);
    true
}
