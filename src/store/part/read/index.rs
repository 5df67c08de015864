//! Which groups of a part may hold what a test wants, found without unpacking any of their values.
//!
//! A group of text is asked of the pairs (`pairs/`). A group of codes may hold what an entry of the dictionary does: a whole
//! value or a prefix is looked for between the blocks' first entries, a word in the pairs of blocks, and then only the blocks
//! that are left are unpacked and tried. A message that templates make has the words of its fields, of the literals and of the
//! time, as long as no word can reach over the joint of two pieces; else nothing is said.
//!
//! Answers err in one direction: a group that is left out has no match.

use super::{Directory, PartSource};
use crate::base::predicate::{Piece as GlobPiece, Test, Wanted, is_word_byte, words};
use crate::store::StoreError;
use crate::store::part::bits::Reader;
use crate::store::part::chunk::{self, encoding};
use crate::store::part::dictionary::{self, Entries};
use crate::store::part::directory::{BlockRef, ColumnDir, KEY_BYTES};
use crate::store::part::pairs::{Segment, Sort};
use crate::store::part::template::{Piece, Stamp, Template};
use crate::store::part::{FIRST_FIELD, typed};
use crate::store::source::{Column, Form, Kind, Source, list_items};

/// Blocks of a dictionary that are unpacked here at most; where more are left, the whole of it is worth having.
const BLOCKS: usize = 4;

/// Groups, a bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Groups {
    words: Vec<u64>,
    count: usize,
}

impl Groups {
    fn none(count: usize) -> Self {
        Self { words: vec![0; count.div_ceil(64)], count }
    }

    fn all(count: usize) -> Self {
        let mut all = Self::none(count);
        (0..count).for_each(|group| all.set(group));
        all
    }

    fn set(&mut self, group: usize) {
        if group < self.count
            && let Some(word) = self.words.get_mut(group / 64)
        {
            *word |= 1 << (group % 64);
        }
    }

    fn has(&self, group: usize) -> bool {
        self.words.get(group / 64).is_some_and(|word| word >> (group % 64) & 1 == 1)
    }

    fn and(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(own, other)| *own &= other);
    }

    fn or(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(own, other)| *own |= other);
    }
}

impl PartSource {
    /// The pairs of a column.
    ///
    /// # Errors
    /// Damage.
    pub fn segments(&self, column: usize) -> Result<&[Segment], StoreError> {
        let directory = self.directory()?;
        let Some(all) = &directory.pairs else { return Err(self.file.damaged(0, "the directory of pairs is damaged")) };
        let before = |segment: &Segment| (segment.column as usize) < column;
        let first = all.partition_point(before);
        let count = all.get(first..).unwrap_or(&[]).partition_point(|segment| segment.column as usize == column);
        Ok(all.get(first..first + count).unwrap_or(&[]))
    }

    /// A segment's bytes, checked.
    pub fn segment_bytes(&self, segment: &Segment) -> Option<&[u8]> {
        let mapped = &self.opened()?.mapped;
        segment.reader(mapped)?.check_all()?;
        super::slice(mapped, segment.offset, segment.shape.bytes())
    }

    /// How a column of a group is written.
    pub fn encoding(&self, group: usize, column: usize) -> Option<u8> {
        let number = u32::try_from(column).ok()?.checked_add(FIRST_FIELD)?;
        self.opened()?.chunk_ref(group, number).map(|chunk| chunk.encoding)
    }

    pub(super) fn check_pairs(&self) -> Result<(), StoreError> {
        for column in 0..self.directory()?.columns.len() {
            for segment in self.segments(column)? {
                self.segment_bytes(segment).ok_or_else(|| self.odd_pairs(segment))?;
            }
        }
        Ok(())
    }

    fn odd_pairs(&self, segment: &Segment) -> StoreError {
        self.file.damaged(segment.offset, "pairs do not fit their checksum")
    }

    /// As [`crate::store::source::Source::groups_with`].
    pub(super) fn may_hold(&self, column: usize, test: &Test, wanted: &Wanted) -> Result<Option<Vec<u64>>, StoreError> {
        let Some(directory) = self.opened() else { return Ok(None) };
        Ok(self.groups_of(directory, column, (test, wanted), true)?.map(|groups| groups.words))
    }

    fn groups_of(
        &self,
        directory: &Directory,
        column: usize,
        (test, wanted): (&Test, &Wanted),
        outermost: bool,
    ) -> Result<Option<Groups>, StoreError> {
        let is_string = |own: &Column| matches!(own.kind, Kind::Str | Kind::List);
        if !directory.columns.get(column).is_some_and(is_string) {
            return Ok(None);
        }
        if wanted.is_empty() && sorted_prefix(test).is_none() {
            return Ok(None);
        }
        let count = directory.groups.len();
        let (mut may, number) = (Groups::none(count), FIRST_FIELD.saturating_add(u32::try_from(column).unwrap_or(u32::MAX)));
        let (mut held, mut coded, mut made) = (None, None, None);
        // The columns of one field are in under the first.
        let first = head(directory, column);
        let has_hex = self.segments(first).is_ok_and(|all| all.iter().any(|segment| segment.sort == Sort::Hex));
        for group in 0..count {
            let Some(chunk) = directory.chunk_ref(group, number) else { continue };
            let yes = match chunk.encoding {
                encoding::CODES | encoding::RANKED => match coded {
                    Some(known) => known,
                    None => *coded.insert(self.dictionary_may(directory, column, test, wanted)?),
                },
                other => {
                    let held = match &mut held {
                        Some(known) => known,
                        None => held.insert(self.paired(directory, first, wanted)?),
                    };
                    (held.has(group) && !(has_hex && self.has_other_form(group, number, other, wanted)))
                        || (other == encoding::DERIVED && {
                            // No field of a message is a message.
                            let made = match &mut made {
                                _ if !outermost => made.insert(Groups::all(count)),
                                Some(known) => known,
                                None => made.insert(self.made(directory, wanted)?),
                            };
                            made.has(group)
                        })
                }
            };
            if yes {
                may.set(group);
            }
        }
        Ok(Some(may))
    }

    /// Whether a group's values are identifiers of a length that no wanted word has. Hashes of identifiers are short, since to look
    /// through them is cheap: among some words of any length one is soon taken for a hash of theirs.
    fn has_other_form(&self, group: usize, number: u32, encoding: u8, wanted: &Wanted) -> bool {
        if encoding != encoding::FIXED || wanted.words.is_empty() {
            return false;
        }
        let Some((mapped, chunk)) = self.opened().and_then(|own| Some((&own.mapped, own.chunk_ref(group, number)?))) else {
            return false;
        };
        let mut reader = Reader(super::slice(mapped, chunk.offset, chunk.length).unwrap_or(&[]));
        let form = chunk::presence(&mut reader, self.rows(group)).and_then(|_| typed::form(&mut reader));
        // A value is one word.
        let other =
            matches!(form, Some(Form::Hex { width }) if wanted.words.iter().any(|word| word.len() != usize::from(width) * 2));
        // Damage is for who reads the group.
        other && matches!(self.raw_chunk(group, number), Ok(Some(_)))
    }

    /// Groups whose pairs have all that is wanted, and those of which pairs say nothing.
    fn paired(&self, directory: &Directory, column: usize, wanted: &Wanted) -> Result<Groups, StoreError> {
        let mut may = Groups::all(directory.groups.len());
        for segment in self.segments(column)?.iter().filter(|segment| !segment.dictionary) {
            let slots = segment.reader(&directory.mapped).and_then(|reader| segment.slots(&reader, wanted));
            let Some(held) = slots.ok_or_else(|| self.odd_pairs(segment))? else { continue };
            for (slot, groups) in segment.places() {
                if !held.get(slot as usize).copied().unwrap_or(true) {
                    for group in groups {
                        let group = group as usize;
                        if let Some(word) = may.words.get_mut(group / 64) {
                            *word &= !(1 << (group % 64));
                        }
                    }
                }
            }
        }
        Ok(may)
    }

    /// Groups in which templates may make messages that hold these words.
    fn made(&self, directory: &Directory, wanted: &Wanted) -> Result<Groups, StoreError> {
        let count = directory.groups.len();
        let mut may = Groups::all(count);
        if directory.templates.messages.iter().any(has_open_joint) {
            return Ok(may);
        }
        for word in &wanted.words {
            let mut found = Groups::none(count);
            let mut asked = Vec::new();
            for piece in directory.templates.messages.iter().flat_map(|template| &template.pieces) {
                let anywhere = match piece {
                    Piece::Literal(text) => words(text).any(|own| text[own].eq_ignore_ascii_case(word)),
                    Piece::Time(stamp) => stamp_may(*stamp, word),
                    Piece::Field(field) | Piece::Json(field) => {
                        if !asked.contains(field) {
                            asked.push(*field);
                            self.field_with(directory, *field as usize, word, &mut found)?;
                        }
                        false
                    }
                };
                if anywhere {
                    found = Groups::all(count);
                    break;
                }
            }
            may.and(&found);
        }
        Ok(may)
    }

    /// Adds the groups in which a field, as a message shows it, may hold a word.
    fn field_with(&self, directory: &Directory, field: usize, word: &[u8], found: &mut Groups) -> Result<(), StoreError> {
        let digits = word.iter().any(u8::is_ascii_digit);
        for column in (field..directory.columns.len()).take_while(|column| head(directory, *column) == head(directory, field)) {
            let groups = match directory.columns.get(column).map(|own| own.kind) {
                Some(Kind::Str | Kind::List) => {
                    let text = std::str::from_utf8(word).unwrap_or_default();
                    // Beyond ASCII a phrase has more forms than one.
                    if !text.is_ascii() || text.is_empty() {
                        None
                    } else {
                        self.groups_of(directory, column, (&Test::words(text), &Wanted::word(word)), false)?
                    }
                }
                // `inf` and `NaN` are shown of decimals.
                Some(Kind::Int) if !digits => Some(Groups::none(0)),
                Some(Kind::Float) if !digits && !matches!(word, b"inf" | b"nan") => Some(Groups::none(0)),
                _ => None,
            };
            found.or(&groups.unwrap_or_else(|| Groups::all(directory.groups.len())));
        }
        Ok(())
    }

    /// Whether an entry of a column's dictionary may pass.
    fn dictionary_may(&self, directory: &Directory, column: usize, test: &Test, wanted: &Wanted) -> Result<bool, StoreError> {
        let Some(blocks) = self.blocks_of(directory, column, test, wanted)? else { return Ok(true) };
        if blocks.len() > BLOCKS {
            return Ok(true);
        }
        for block in blocks {
            if !self.passing_in(directory, column, block, test)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// As [`crate::store::source::Source::dict_passing`].
    pub(super) fn passing(&self, column: usize, test: &Test, wanted: &Wanted) -> Result<Option<Vec<(u32, u64)>>, StoreError> {
        let Some(directory) = self.opened().filter(|_| !self.has_shapes(column)) else { return Ok(None) };
        let Some(blocks) = self.blocks_of(directory, column, test, wanted)? else { return Ok(None) };
        // All of it is judged at once where that may be worth keeping.
        if blocks.len() * 2 > directory.dirs.get(column).map_or(0, |dir| dir.blocks.len()) {
            return Ok(None);
        }
        let mut passing = Vec::new();
        for block in blocks {
            passing.extend(self.passing_in(directory, column, block, test)?);
        }
        Ok(Some(passing))
    }

    /// Blocks of a column's dictionary that may have an entry which passes; `None` where nothing can be told.
    fn blocks_of(
        &self,
        directory: &Directory,
        column: usize,
        test: &Test,
        wanted: &Wanted,
    ) -> Result<Option<Vec<usize>>, StoreError> {
        let is_asked = |dir: &&ColumnDir| !dir.blocks.is_empty() && matches!(dir.column.kind, Kind::Str | Kind::List);
        let Some(dir) = directory.dirs.get(column).filter(is_asked) else { return Ok(None) };
        Ok(match sorted_prefix(test).filter(|_| dir.column.kind == Kind::Str) {
            Some((prefix, whole)) => Some(blocks_from(&dir.blocks, prefix, whole).collect()),
            None if wanted.is_empty() => None,
            None => Some(self.blocks_with(directory, column, dir.blocks.len(), wanted)?),
        })
    }

    /// Codes of the entries of a block of a dictionary that pass, and how often each occurs.
    fn passing_in(
        &self,
        directory: &Directory,
        column: usize,
        block: usize,
        test: &Test,
    ) -> Result<Vec<(u32, u64)>, StoreError> {
        let Some(dir) = directory.dirs.get(column) else { return Ok(Vec::new()) };
        let Some((before, block)) = dir.blocks.get(..block).zip(dir.blocks.get(block)) else { return Ok(Vec::new()) };
        let passes = |entry: &[u8]| match dir.column.kind {
            Kind::List => list_items(entry).any(|item| test.matches_str(item)),
            _ => test.matches_str(entry),
        };
        let mut passing = Vec::new();
        let mut code = before.iter().map(|block| block.entries).sum::<u32>();
        let see = |entry: &[u8], count| {
            code = code.checked_add(1)?;
            if passes(entry) {
                passing.push((code, count));
            }
            Some(())
        };
        super::checked(&directory.mapped, block.span.offset, block.span.length)
            .and_then(|frame| dictionary::unpack_block(frame, block))
            .and_then(|raw| Entries::of(&raw, block.entries as usize)?.each(see))
            .ok_or_else(|| self.file.damaged(block.span.offset, "a dictionary does not fit its checksum, or makes no sense"))?;
        Ok(passing)
    }

    /// Blocks of a dictionary that may have all words in one.
    fn blocks_with(
        &self,
        directory: &Directory,
        column: usize,
        blocks: usize,
        wanted: &Wanted,
    ) -> Result<Vec<usize>, StoreError> {
        let mut may = vec![true; blocks];
        for segment in self.segments(column)?.iter().filter(|segment| segment.dictionary) {
            let slots = segment.reader(&directory.mapped).and_then(|reader| segment.slots(&reader, wanted));
            let Some(held) = slots.ok_or_else(|| self.odd_pairs(segment))? else { continue };
            for (slot, blocks) in segment.places() {
                for block in blocks {
                    if let Some(place) = may.get_mut(block as usize) {
                        *place &= held.get(slot as usize).copied().unwrap_or(true);
                    }
                }
            }
        }
        Ok((0..blocks).filter(|block| may[*block]).collect())
    }
}

/// The first of the columns of a field's strings.
fn head(directory: &Directory, column: usize) -> usize {
    let mut first = column;
    while first > 0 && directory.columns.get(first - 1) == directory.columns.get(column) {
        first -= 1;
    }
    first
}

/// What a string must begin with, byte for byte, and whether that is all of it.
fn sorted_prefix(test: &Test) -> Option<(&[u8], bool)> {
    match test {
        Test::Exact(exact) => Some((exact.text.as_bytes(), true)),
        Test::Like(glob) if !glob.prefix().is_empty() => {
            let whole = matches!(glob.pieces(), [GlobPiece::Text(_)]);
            Some((glob.prefix().as_bytes(), whole))
        }
        _ => None,
    }
}

/// The blocks of a sorted dictionary that may have an entry which is this text, or begins with it.
fn blocks_from<'a>(blocks: &'a [BlockRef], text: &'a [u8], whole: bool) -> impl Iterator<Item = usize> + 'a {
    // A first key that was cut says little of texts that begin with it.
    let cut = |block: &BlockRef| block.first_key.len() >= KEY_BYTES && text.starts_with(&block.first_key);
    let after = blocks.partition_point(|block| &*block.first_key <= text);
    let mut first = after.saturating_sub(1);
    while first > 0 && blocks.get(first).is_some_and(cut) {
        first -= 1;
    }
    let goes_on = move |block: &usize| {
        *block < after || (!whole && blocks.get(*block).is_some_and(|block| block.first_key.starts_with(text)))
            // A prefix longer than what is kept of the key.
            || blocks.get(*block).is_some_and(cut)
    };
    (first..blocks.len()).take_while(goes_on)
}

/// Whether a word may reach over the joint of two pieces.
fn has_open_joint(template: &Template) -> bool {
    let ends = |piece: &Piece| matches!(piece, Piece::Literal(text) if text.last().is_some_and(|byte| !is_word_byte(*byte)));
    let begins = |piece: &Piece| matches!(piece, Piece::Literal(text) if text.first().is_some_and(|byte| !is_word_byte(*byte)));
    template.pieces.windows(2).any(|two| !ends(&two[0]) && !begins(&two[1]))
}

/// Whether a time may be written with this word (small letters).
fn stamp_may(stamp: Stamp, word: &[u8]) -> bool {
    let digit = word.iter().any(u8::is_ascii_digit);
    match stamp {
        Stamp::Clf { .. } => digit || word.len() == 3,
        Stamp::Iso { .. } => digit || word == b"z",
    }
}
