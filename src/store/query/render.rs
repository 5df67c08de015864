//! Makes rows of an answer from places: reads the columns that are shown, of the groups that have winners, and nothing else.
//!
//! Rows are made group by group, a slice at a time, and handed out in order; the groups read last are kept, since neighbours in
//! the answer are mostly neighbours in the store. A slice that grows past [`SLICE_BYTES`] is made again in smaller ones.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::QueryError;
use super::out::{OutRow, OutValue, virtual_field};
use super::rows::Place;
use super::scan::Scan;
use super::table;
use super::view::{FieldReader, GroupView};
use crate::base::row;

/// Most rows made before they are handed out.
const SLICE_ROWS: usize = 1024;
/// Most bytes of them, unless one row is larger.
const SLICE_BYTES: usize = 32 << 20;
/// Groups kept decoded.
const KEPT: usize = 8;

/// Makes rows.
pub struct Renderer<'a, 's> {
    scan: &'s Scan<'a>,
    fields: Option<&'s [String]>,
    kept: Vec<(u32, u32, Opened<'a>)>,
    names: Vec<Arc<str>>,
}

/// A group and readers for what is shown of it, in order.
struct Opened<'a> {
    view: GroupView<'a>,
    columns: Vec<(Arc<str>, FieldReader)>,
}

impl<'a, 's> Renderer<'a, 's> {
    /// Shows these fields, or all.
    pub fn new(scan: &'s Scan<'a>, fields: Option<&'s [String]>) -> Self {
        let names = virtual_field::ALL.iter().map(|name| Arc::from(*name)).collect();
        Self { scan, fields, kept: Vec::new(), names }
    }

    /// Makes the rows at these places and hands them out in this order.
    ///
    /// # Errors
    /// Cancelled.
    pub fn render(
        &mut self,
        places: &[Place],
        emit: &mut dyn FnMut(OutRow) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, QueryError> {
        let (mut from, mut slice_rows) = (0, SLICE_ROWS);
        while from < places.len() {
            self.scan.go()?;
            let slice = &places[from..places.len().min(from + slice_rows)];
            let Some(rows) = self.slice(slice) else {
                slice_rows = (slice_rows / 8).max(1);
                continue;
            };
            for row in rows {
                if emit(row).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            from += slice.len();
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The rows of a slice; `None` if they are too large together.
    fn slice(&mut self, slice: &[Place]) -> Option<Vec<OutRow>> {
        let mut by_group: Vec<usize> = (0..slice.len()).collect();
        by_group.sort_by_key(|&index| (slice[index].source, slice[index].group));
        let mut rows: Vec<OutRow> = vec![OutRow::default(); slice.len()];
        let mut bytes = 0;
        for index in by_group {
            let place = slice[index];
            let opened = self.open(place);
            let row = opened.row(place.row as usize);
            bytes += table::bytes(&row);
            rows[index] = row;
            if bytes > SLICE_BYTES && slice.len() > 1 {
                return None;
            }
        }
        Some(rows)
    }

    fn open(&mut self, place: Place) -> &Opened<'a> {
        let is_it = |kept: &(u32, u32, Opened<'a>)| (kept.0, kept.1) == (place.source, place.group);
        match self.kept.iter().position(is_it) {
            Some(at) => {
                let found = self.kept.remove(at);
                self.kept.push(found);
            }
            None => {
                if self.kept.len() == KEPT {
                    let (_, _, old) = self.kept.remove(0);
                    self.scan.note_damage(&old.view);
                }
                let view = self.scan.view(place.source as usize, place.group as usize);
                let columns = self.columns(&view);
                self.scan.note_damage(&view);
                self.kept.push((place.source, place.group, Opened { view, columns }));
            }
        }
        &self.kept[self.kept.len() - 1].2
    }

    fn columns(&self, view: &GroupView<'a>) -> Vec<(Arc<str>, FieldReader)> {
        if let Some(fields) = self.fields {
            return fields.iter().map(|name| (Arc::from(name.as_str()), view.field(name))).collect();
        }
        let mut columns: Vec<(Arc<str>, FieldReader)> =
            self.names.iter().map(|name| (Arc::clone(name), view.field(name))).collect();
        let all = view.source.columns();
        let shown = |index: &usize| !all[*index].name.starts_with(super::program::HIDDEN);
        let mut order: Vec<usize> = (0..all.len()).filter(shown).collect();
        // The message first, then by name; a column of several kinds is one field.
        order.sort_by_key(|&index| (*all[index].name != *row::MESSAGE, &*all[index].name));
        for own in order.chunk_by(|&a, &b| all[a].name == all[b].name) {
            let name = &all[own[0]].name;
            let reader = view.field_of(name, own.iter().copied());
            if !matches!(&reader, FieldReader::Chunks(chunks) if chunks.is_empty()) {
                columns.push((Arc::clone(name), reader));
            }
        }
        columns
    }
}

impl Opened<'_> {
    fn row(&self, row: usize) -> OutRow {
        let value = |reader: &FieldReader| -> Option<OutValue> { self.view.out(reader, row) };
        OutRow { fields: self.columns.iter().filter_map(|(name, reader)| Some((Arc::clone(name), value(reader)?))).collect() }
    }
}

impl Drop for Renderer<'_, '_> {
    fn drop(&mut self) {
        for (_, _, opened) in &self.kept {
            self.scan.note_damage(&opened.view);
        }
    }
}
