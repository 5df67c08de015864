//! Answers as files: NDJSON, CSV, Parquet.
//!
//! In: sources, a request, somewhere to write. NDJSON goes out row by row. CSV and Parquet say their columns before their rows, so
//! the query runs twice over the same sources: first for which columns there are and of what type, then for the rows.
//!
//! | values of a column | NDJSON | CSV | Parquet |
//! | --- | --- | --- | --- |
//! | strings | string, and base64 beside it where it is no UTF-8 | the bytes | UTF8, or plain bytes if one is no UTF-8 |
//! | lists | array | a JSON array | LIST of the same |
//! | whole numbers | number | digits | INT64 |
//! | decimals | number; null where it is none | digits, `NaN`, `inf` | DOUBLE |
//! | both | as they are | as they are | DOUBLE while that is exact, else UTF8 |
//! | yes or no | `true`, `false` | the same | BOOLEAN |
//! | times | RFC 3339 | the same | TIMESTAMP, nanoseconds UTC |
//! | of several kinds | as they are | as they are | UTF8; with lists among them, LIST |
//!
//! Limits: [`COLUMNS`]; memory is a page of row keys, and for Parquet one row group (`parquet.rs`).
//! A receiver that goes away ends the query at the next row.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::store::query::{Cancel, OutRow, QueryError, Request, Stats, search};
use crate::store::source::Source;

mod columns;
mod csv;
mod parquet;
#[cfg(test)]
mod tests;

use columns::Columns;

/// Most columns of a CSV or Parquet file.
pub const COLUMNS: usize = 10_000;
/// Bytes of NDJSON and CSV that are gathered before they are written.
const PIECE_BYTES: usize = 64 << 10;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line.
    Ndjson,
    /// Comma-separated values with a line of names, RFC 4180.
    Csv,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "ndjson" | "jsonl" | "json" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// What files of it are called.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// Why there is no file, or half a one.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The query's.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Nobody takes it any more, or the disk is full.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    /// It cannot be written in this format.
    #[error("{0}")]
    Refused(String),
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exported {
    /// Rows.
    pub rows: u64,
    /// What was read, and whether something is missing.
    pub stats: Stats,
}

/// Writes what a request answers.
///
/// # Errors
/// See [`ExportError`]; what was written by then is no whole file.
pub fn export<W: Write + Send>(
    sources: &[Arc<dyn Source>],
    request: &Request,
    cancel: &Cancel,
    format: Format,
    out: W,
) -> Result<Exported, ExportError> {
    match format {
        Format::Ndjson => {
            let mut out = Lines::new(out);
            let stats = each(sources, request, cancel, |row| {
                row.write_json(&mut out.piece);
                out.end_line()
            })?;
            out.finish(stats)
        }
        Format::Csv => {
            let columns = Columns::of(sources, request, cancel)?;
            let mut out = Lines::new(out);
            csv::head(&columns, &mut out.piece);
            out.end()?;
            let mut writer = csv::Rows::new(&columns);
            let stats = each(sources, request, cancel, |row| {
                writer.write(&row, &mut out.piece);
                out.end_line()
            })?;
            out.finish(stats)
        }
        Format::Parquet => {
            let columns = Columns::of(sources, request, cancel)?;
            let mut writer = parquet::Writer::new(columns, out)?;
            let stats = each(sources, request, cancel, |row| writer.add(row))?;
            Ok(Exported { rows: writer.finish()?, stats })
        }
    }
}

/// Gives every row of the answer to `take`, until it fails.
fn each(
    sources: &[Arc<dyn Source>],
    request: &Request,
    cancel: &Cancel,
    mut take: impl FnMut(OutRow) -> Result<(), ExportError>,
) -> Result<Stats, ExportError> {
    let mut failed = None;
    let stats = search(sources, request, cancel, &mut |row| match take(row) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(stats?),
    }
}

/// Text that goes out in pieces.
struct Lines<W> {
    out: W,
    piece: Vec<u8>,
    rows: u64,
}

impl<W: Write> Lines<W> {
    fn new(out: W) -> Self {
        Self { out, piece: Vec::with_capacity(PIECE_BYTES + 4096), rows: 0 }
    }

    fn end(&mut self) -> Result<(), ExportError> {
        self.piece.push(b'\n');
        if self.piece.len() >= PIECE_BYTES {
            self.out.write_all(&self.piece)?;
            self.piece.clear();
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), ExportError> {
        self.rows += 1;
        self.end()
    }

    fn finish(mut self, stats: Stats) -> Result<Exported, ExportError> {
        self.out.write_all(&self.piece)?;
        self.out.flush()?;
        Ok(Exported { rows: self.rows, stats })
    }
}
