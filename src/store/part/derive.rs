//! Messages that are not stored: learning templates from rows, trying them, writing messages again.
//!
//! ```text
//! chunk of encoding 50, behind the rows' presence; k messages:
//!   codes size varint, codes of all k (as encoding 30): 0 stored as it is, n made by template n
//!   encoding u8 (40 or 41), text of those stored as they are
//! ```
//! A filter cuts fields out of a message; that the message can be put together from them again is seen in a few rows, not told.
//! From each of [`SAMPLES`] rows a template is made: the row's time and values are looked for in its message, longest first,
//! as whole words; what is between them is literal. Those that most samples agree with are kept. Then every row is tried, and
//! only a message that comes out byte for byte is left out: a wrong guess costs space, never truth.
//!
//! Crash story: none; what is read depends on the part alone.
//! Why not the spans that the filters cut: they are gone when parts are merged, and filters that build values have none.
//! What it costs: a message needs the columns that it is made of, so damage to one of these is damage to it too.

use std::collections::HashMap;
use std::io::Write as _;

use memchr::memmem;

use super::bits::{Reader, put_bytes};
use super::chunk::{self, CHUNK_BYTES, Dense, encoding};
use super::job::Piece as Rows;
use super::job::{Job, Mapping, each_row};
use super::json::put_json;
use super::template::{PIECES, Piece, Stamp, TEMPLATES, Template};
use crate::base::row::Value;
use crate::store::StoreError;
use crate::store::source::{Chunk, Present};

/// Rows that templates are learned from.
const SAMPLES: usize = 128;
/// From so many groups.
const SAMPLE_GROUPS: usize = 4;
/// Columns that are looked for in messages, at most.
const COLUMNS: usize = 256;
/// A template is kept if it makes this share of the samples.
const SHARE: usize = 64;
/// Nothing is derived if not this share of the samples is.
const LEAST_SHARE: usize = 2;
/// Longer messages are not looked into while learning.
const LONGEST: usize = 16 << 10;

/// Places of a value in a text that are looked at while learning: a value may be anywhere, and stand there thousands of times.
pub const PLACES: usize = 256;

/// A column that messages may be made of: its number in the part, and in each input.
pub struct Known<'a> {
    /// In the part.
    pub number: u32,
    /// In the inputs.
    pub mapping: &'a Mapping,
}

/// Decoded columns of one group, by their number in the part; their strings as bytes that can be pointed to.
#[derive(Debug, Default)]
pub struct Fields {
    /// Those that are needed.
    pub columns: Vec<Option<Chunk>>,
    /// The rows' times.
    pub times: Vec<i64>,
}

/// What writing values needs again and again.
#[derive(Debug, Default)]
pub struct Pen {
    number: Vec<u8>,
    stamp: Vec<u8>,
    stamped: Option<(Stamp, i64)>,
}

impl Pen {
    /// A value as messages and payloads show it.
    pub fn value<'a>(&'a mut self, value: Value<'a>) -> &'a [u8] {
        match value {
            Value::Str(text) => text,
            Value::Int(value) => self.int(value),
            Value::Float(value) => self.float(value),
            Value::Bool(value) => yes_or_no(value),
        }
    }

    /// A time.
    pub fn stamp(&mut self, stamp: Stamp, ns: i64) -> &[u8] {
        // Neighbours mostly share their second.
        let second = ns.div_euclid(1_000_000_000);
        if self.stamped != Some((stamp, second)) {
            self.stamped = Some((stamp, second));
            self.stamp.clear();
            stamp.put(&mut self.stamp, ns);
        } else {
            stamp.put_fraction(&mut self.stamp, ns);
        }
        &self.stamp
    }

    fn int(&mut self, value: i64) -> &[u8] {
        self.number.clear();
        self.number.resize(20, 0);
        let mut rest = value.unsigned_abs();
        let mut at = 20;
        loop {
            at -= 1;
            self.number[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            at -= 1;
            self.number[at] = b'-';
        }
        &self.number[at..]
    }

    fn float(&mut self, value: f64) -> &[u8] {
        self.number.clear();
        // Writing to memory does not fail.
        let _ = write!(self.number, "{value}");
        &self.number
    }
}

fn yes_or_no(value: bool) -> &'static [u8] {
    if value { b"true" } else { b"false" }
}

/// A row's string in a chunk of strings.
fn string(chunk: &Chunk, row: usize) -> Option<&[u8]> {
    match chunk {
        Chunk::Dict { codes, dict } => Some(dict.entry(codes.get(row)?.checked_sub(1)? as usize)),
        Chunk::Text { ends, bytes, present } if present.has(row) => {
            let start = if row == 0 { 0 } else { *ends.get(row - 1)? };
            bytes.get(start as usize..*ends.get(row)? as usize)
        }
        _ => None,
    }
}

impl Fields {
    /// A row's value as messages show it.
    fn text<'a>(&'a self, column: u32, row: usize, pen: &'a mut Pen) -> Option<&'a [u8]> {
        match self.columns.get(column as usize)?.as_ref()? {
            Chunk::Int { values, present } if present.has(row) => Some(pen.int(*values.get(row)?)),
            Chunk::Float { values, present } if present.has(row) => Some(pen.float(*values.get(row)?)),
            Chunk::Bool { values, present } if present.has(row) => Some(yes_or_no(*values.get(row)?)),
            strings => string(strings, row),
        }
    }

    /// Whether a template makes this message of this row.
    fn makes(&self, template: &Template, row: usize, message: &[u8], pen: &mut Pen) -> bool {
        let mut rest = message;
        for piece in &template.pieces {
            let next = match piece {
                Piece::Literal(bytes) => rest.strip_prefix(&bytes[..]),
                Piece::Field(column) => self.text(*column, row, pen).and_then(|text| rest.strip_prefix(text)),
                Piece::Time(stamp) => self.times.get(row).and_then(|ns| rest.strip_prefix(pen.stamp(*stamp, *ns))),
                // Of payloads alone.
                Piece::Json(_) => None,
            };
            let Some(next) = next else { return false };
            rest = next;
        }
        rest.is_empty()
    }

    /// Writes the message that a template makes of this row.
    pub fn write(&self, template: &Template, row: usize, out: &mut Vec<u8>, pen: &mut Pen) -> Option<()> {
        for piece in &template.pieces {
            if let Piece::Json(column) = piece {
                put_json(out, self.text(*column, row, pen)?);
                continue;
            }
            out.extend_from_slice(match piece {
                Piece::Literal(bytes) => bytes,
                Piece::Field(column) | Piece::Json(column) => self.text(*column, row, pen)?,
                Piece::Time(stamp) => pen.stamp(*stamp, *self.times.get(row)?),
            });
        }
        Some(())
    }

    /// The template that one row suggests.
    fn suggestion(&self, row: usize, message: &[u8], pen: &mut Pen) -> Option<Template> {
        let mut found: Vec<(usize, usize, Piece)> = Vec::new();
        if let Some((from, to, stamp)) = self.times.get(row).and_then(|ns| Stamp::find(message, *ns)) {
            found.push((from, to, Piece::Time(stamp)));
        }
        let mut values: Vec<(Vec<u8>, u32)> = Vec::new();
        for number in (0u32..).take(self.columns.len()) {
            if let Some(text) = self.text(number, row, pen).filter(|text| !text.is_empty()) {
                values.push((text.to_vec(), number));
            }
        }
        values.sort_by_key(|(text, number)| (std::cmp::Reverse(text.len()), *number));
        for (text, number) in values {
            let is_free = |from: &usize| {
                let to = from + text.len();
                found.iter().all(|(start, end, _)| to <= *start || *end <= *from) && is_word(message, *from, to)
            };
            if let Some(from) = memmem::find_iter(message, &text).take(PLACES).find(is_free) {
                found.push((from, from + text.len(), Piece::Field(number)));
            }
        }
        if found.is_empty() || found.len() * 2 >= PIECES {
            return None;
        }
        found.sort_by_key(|(from, ..)| *from);
        let mut template = Template::default();
        let mut at = 0;
        for (from, to, piece) in found {
            if from > at {
                template.pieces.push(Piece::Literal(message[at..from].to_vec()));
            }
            template.pieces.push(piece);
            at = to;
        }
        if at < message.len() {
            template.pieces.push(Piece::Literal(message[at..].to_vec()));
        }
        Some(template)
    }
}

/// Whether no letter or digit of `text[from..to]` goes on beyond its ends.
pub fn is_word(text: &[u8], from: usize, to: usize) -> bool {
    let part_of_one = |at: usize| match (at.checked_sub(1).and_then(|before| text.get(before)), text.get(at)) {
        (Some(before), Some(after)) => before.is_ascii_alphanumeric() && after.is_ascii_alphanumeric(),
        _ => false,
    };
    !part_of_one(from) && !part_of_one(to)
}

fn load<'a>(job: &Job<'_>, piece: &Rows, known: impl Iterator<Item = &'a Known<'a>>) -> Result<Fields, StoreError> {
    let Some(input) = job.inputs.get(piece.input) else { return Ok(Fields::default()) };
    let mut fields = Fields { columns: Vec::new(), times: input.source().times(piece.group)? };
    for known in known {
        let Some(column) = known.mapping.get(piece.input).copied().flatten() else { continue };
        let at = known.number as usize;
        if fields.columns.len() <= at {
            fields.columns.resize_with(at + 1, || None);
        }
        fields.columns[at] = input.column(piece.group, column)?.map(Chunk::into_text);
    }
    Ok(fields)
}

fn messages(job: &Job<'_>, piece: &Rows, mapping: &Mapping) -> Result<Option<Chunk>, StoreError> {
    let (Some(input), Some(column)) = (job.inputs.get(piece.input), mapping.get(piece.input).copied().flatten()) else {
        return Ok(None);
    };
    Ok(input.column(piece.group, column)?.map(Chunk::into_text))
}

/// Looks for templates that make the messages of a part to be; none where they do not pay.
///
/// # Errors
/// Damage of an input.
pub fn learn(job: &Job<'_>, mapping: &Mapping, known: &[Known<'_>]) -> Result<Vec<Template>, StoreError> {
    let mut loaded = Vec::new();
    let step = job.groups.len().div_ceil(SAMPLE_GROUPS).max(1);
    for piece in job.groups.iter().step_by(step).filter_map(|pieces| pieces.first()) {
        if let Some(chunk) = messages(job, piece, mapping)? {
            loaded.push((load(job, piece, known.iter().take(COLUMNS))?, chunk, piece));
        }
    }
    let mut samples: Vec<(&Fields, usize, &[u8])> = Vec::new();
    for (fields, chunk, piece) in &loaded {
        let rows = fields.times.len();
        let step = (rows * loaded.len()).div_ceil(SAMPLES).max(1);
        let mut count = 0;
        each_row(piece, rows, |_, row| {
            count += 1;
            if count % step == 0
                && let Some(message) = string(chunk, row).filter(|message| (1..=LONGEST).contains(&message.len()))
            {
                samples.push((fields, row, message));
            }
        });
    }
    Ok(choose(&samples))
}

fn choose(samples: &[(&Fields, usize, &[u8])]) -> Vec<Template> {
    let mut pen = Pen::default();
    let mut suggested: HashMap<Template, usize> = HashMap::new();
    for (place, (fields, row, message)) in samples.iter().enumerate() {
        if let Some(template) = fields.suggestion(*row, message, &mut pen) {
            suggested.entry(template).or_insert(place);
        }
    }
    let mut suggested: Vec<(Template, usize)> = suggested.into_iter().collect();
    // The same at every run, whatever the hash.
    suggested.sort_by_key(|(_, place)| *place);
    let mut made: Vec<(Template, Vec<usize>)> = Vec::new();
    for (template, _) in suggested {
        let of = |place: &usize| {
            samples.get(*place).is_some_and(|(fields, row, message)| fields.makes(&template, *row, message, &mut pen))
        };
        let places = (0..samples.len()).filter(of).collect();
        made.push((template, places));
    }
    let mut left: Vec<bool> = vec![true; samples.len()];
    let mut chosen = Vec::new();
    while chosen.len() < TEMPLATES {
        let gain = |places: &[usize]| places.iter().filter(|place| left[**place]).count();
        let best = made.iter().enumerate().max_by_key(|(at, (_, places))| (gain(places), std::cmp::Reverse(*at)));
        let Some((at, places)) = best.map(|(at, (_, places))| (at, places.clone())) else { break };
        if gain(&places) < (samples.len() / SHARE).max(2) {
            break;
        }
        places.iter().for_each(|place| left[*place] = false);
        chosen.push(made.swap_remove(at).0);
    }
    let derived = left.iter().filter(|left| !**left).count();
    if derived * LEAST_SHARE < samples.len() { Vec::new() } else { chosen }
}

/// The messages of one group to be: a chunk's bytes, nothing where no row has one.
///
/// # Errors
/// Damage of an input.
pub fn encode(
    job: &Job<'_>,
    pieces: &[Rows],
    mapping: &Mapping,
    known: &[Known<'_>],
    templates: &[Template],
    zstd: &mut zstd::bulk::Compressor<'_>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let is_used = |known: &&Known<'_>| {
        let mut pieces = templates.iter().flat_map(|template| &template.pieces);
        pieces.any(|piece| matches!(piece, Piece::Field(column) if *column == known.number))
    };
    let mut dense = Dense { total: job.rows(pieces), ..Dense::<u32>::default() };
    let (mut ends, mut bytes) = (Vec::new(), Vec::new());
    let mut pen = Pen::default();
    let mut base = 0u16;
    for piece in pieces {
        if let Some(chunk) = messages(job, piece, mapping)? {
            let fields = load(job, piece, known.iter().filter(is_used))?;
            each_row(piece, fields.times.len(), |at, row| {
                let Some(message) = string(&chunk, row) else { return };
                let by = templates.iter().position(|template| fields.makes(template, row, message, &mut pen));
                dense.rows.push(base + at);
                dense.values.push(by.and_then(|by| u32::try_from(by + 1).ok()).unwrap_or(0));
                if by.is_none() {
                    bytes.extend_from_slice(message);
                    ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                }
            });
        }
        base = base.saturating_add(u16::try_from(job.piece_rows(piece)).unwrap_or(u16::MAX));
    }
    if dense.rows.is_empty() {
        return Ok(None);
    }
    let mut out = Vec::new();
    chunk::put_presence(&mut out, &dense.rows, dense.total);
    let mut codes = Vec::new();
    chunk::put_codes(&mut codes, &dense.values);
    put_bytes(&mut out, &codes);
    let at = out.len();
    out.push(0);
    out[at] = chunk::put_text(&mut out, &ends, &bytes, zstd);
    Ok(Some(out))
}

/// The messages of a chunk that none of so many templates makes: their ends and their bytes.
pub fn stored(bytes: &[u8], rows: usize, templates: usize) -> Option<(Vec<u32>, Vec<u8>)> {
    let mut reader = Reader(bytes);
    let (_, count) = chunk::presence(&mut reader, rows)?;
    let codes = chunk::codes(&mut Reader(reader.bytes()?), encoding::CODES, count, templates + 1)?;
    let encoded = reader.u8()?;
    chunk::text(&mut reader, encoded, codes.iter().filter(|code| **code == 1).count())
}

/// Reads a chunk of encoding 50 behind its presence: `count` messages, of which each stands in a row of `present`.
/// The columns it needs are in `fields`.
pub fn decode(
    reader: &mut Reader<'_>,
    count: usize,
    present: Present,
    templates: &[Template],
    fields: &Fields,
) -> Option<Chunk> {
    let (ends, bytes, _) = decode_some(reader, count, &present, templates, fields, None)?;
    Some(Chunk::Text { ends, bytes, present })
}

/// As [`decode`], but of the messages that templates make only those of the rows whose bits are set. Ends, bytes, and the bits
/// of the rows that have a message then.
pub fn decode_some(
    reader: &mut Reader<'_>,
    count: usize,
    present: &Present,
    templates: &[Template],
    fields: &Fields,
    wanted: Option<&[u64]>,
) -> Option<(Vec<u32>, Vec<u8>, Vec<u64>)> {
    let is_wanted = |row: usize| match wanted {
        None => true,
        Some(words) => words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1),
    };
    let mut kept = vec![0u64; fields.times.len().div_ceil(64)];
    let codes = chunk::codes(&mut Reader(reader.bytes()?), encoding::CODES, count, templates.len() + 1)?;
    // Codes come with one added.
    let stored = codes.iter().filter(|code| **code == 1).count();
    let encoded = reader.u8()?;
    let (stored_ends, stored_bytes) = chunk::text(reader, encoded, stored)?;
    let mut stored = stored_ends.iter().map(|end| *end as usize).scan(0, |from, end| {
        let value = stored_bytes.get(*from..end);
        *from = end;
        value
    });
    let mut codes = codes.into_iter();
    let (mut ends, mut bytes) = (Vec::with_capacity(fields.times.len()), Vec::new());
    let mut pen = Pen::default();
    for row in 0..fields.times.len() {
        if present.has(row) {
            match codes.next()?.checked_sub(2) {
                None => {
                    bytes.extend_from_slice(stored.next()?);
                    kept[row / 64] |= 1 << (row % 64);
                }
                Some(template) if is_wanted(row) => {
                    fields.write(templates.get(template as usize)?, row, &mut bytes, &mut pen)?;
                    kept[row / 64] |= 1 << (row % 64);
                }
                Some(_) => {}
            }
            if bytes.len() > CHUNK_BYTES {
                return None;
            }
        }
        ends.push(u32::try_from(bytes.len()).ok()?);
    }
    Some((ends, bytes, kept))
}
