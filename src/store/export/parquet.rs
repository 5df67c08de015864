//! Parquet: a row group when [`ROWS`] rows or [`BYTES`] of values are together, pages compressed with Snappy.
//!
//! Every column may lack values. Dots in names are part of the name: columns are flat, as rows are. A list is the usual three levels,
//! its elements never null.
//!
//! Memory: the rows of a group, the values of one of its columns, and what the file's end says of all groups before, which is some
//! hundred bytes a column and group.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type as Schema;

use super::ExportError;
use super::columns::{Column, Columns, Type};
use crate::store::query::{OutRow, OutValue};

/// Most rows of a row group.
const ROWS: usize = 128 << 10;
/// Most bytes of its values, about.
const BYTES: usize = 32 << 20;
/// What a value takes beside its bytes while it waits.
const VALUE_BYTES: usize = 40;

/// A file that is being written.
pub struct Writer<W: Write + Send> {
    columns: Columns,
    file: SerializedFileWriter<W>,
    waiting: Vec<OutRow>,
    bytes: usize,
    rows: u64,
}

fn broken(error: ParquetError) -> ExportError {
    match error {
        ParquetError::External(error) => match error.downcast::<std::io::Error>() {
            Ok(error) => ExportError::Write(*error),
            Err(error) => ExportError::Write(std::io::Error::other(error)),
        },
        other => ExportError::Write(std::io::Error::other(other)),
    }
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file of these columns.
    pub fn new(columns: Columns, out: W) -> Result<Self, ExportError> {
        let fields = columns.all.iter().map(|column| Ok(Arc::new(field(column)?))).collect::<Result<_, ParquetError>>();
        let schema = fields.and_then(|fields| Schema::group_type_builder("sawbox").with_fields(fields).build());
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("sawbox ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let file = SerializedFileWriter::new(out, Arc::new(schema.map_err(broken)?), Arc::new(properties)).map_err(broken)?;
        Ok(Self { columns, file, waiting: Vec::new(), bytes: 0, rows: 0 })
    }

    /// Adds a row.
    pub fn add(&mut self, row: OutRow) -> Result<(), ExportError> {
        self.bytes += row.fields.iter().map(|(_, value)| VALUE_BYTES + size(value)).sum::<usize>();
        self.waiting.push(row);
        if self.waiting.len() >= ROWS || self.bytes >= BYTES { self.write_group() } else { Ok(()) }
    }

    fn write_group(&mut self) -> Result<(), ExportError> {
        // By column, so that each row is gone through once and not once for every column.
        let mut cells: Vec<Vec<(u32, OutValue)>> = vec![Vec::new(); self.columns.all.len()];
        let rows = self.waiting.len();
        for (row, own) in (0u32..).zip(self.waiting.drain(..)) {
            for (name, value) in own.fields {
                if let Some(cells) = self.columns.place(&name).and_then(|at| cells.get_mut(at)) {
                    cells.push((row, value));
                }
            }
        }
        let mut group = self.file.next_row_group().map_err(broken)?;
        for (column, cells) in self.columns.all.iter().zip(cells) {
            let Some(mut writer) = group.next_column().map_err(broken)? else { break };
            write_column(column.kind, rows, cells, &mut writer).map_err(broken)?;
            writer.close().map_err(broken)?;
        }
        group.close().map_err(broken)?;
        self.rows += rows as u64;
        self.bytes = 0;
        Ok(())
    }

    /// Ends the file; how many rows it has.
    pub fn finish(mut self) -> Result<u64, ExportError> {
        if !self.waiting.is_empty() {
            self.write_group()?;
        }
        self.file.close().map_err(broken)?;
        Ok(self.rows)
    }
}

fn size(value: &OutValue) -> usize {
    match value {
        OutValue::Str(bytes) => bytes.len(),
        OutValue::List(items) => items.iter().map(|item| item.len() + VALUE_BYTES).sum(),
        _ => 0,
    }
}

fn field(column: &Column) -> Result<Schema, ParquetError> {
    let plain = |name: &str, kind, physical, repetition| {
        let logical = match kind {
            Type::Time => Some(LogicalType::timestamp(true, TimeUnit::NANOS)),
            Type::Text | Type::Texts => Some(LogicalType::String),
            _ => None,
        };
        Schema::primitive_type_builder(name, physical).with_repetition(repetition).with_logical_type(logical).build()
    };
    let name = &*column.name;
    match column.kind {
        Type::Int | Type::Time => plain(name, column.kind, Physical::INT64, Repetition::OPTIONAL),
        Type::Float => plain(name, column.kind, Physical::DOUBLE, Repetition::OPTIONAL),
        Type::Bool => plain(name, column.kind, Physical::BOOLEAN, Repetition::OPTIONAL),
        Type::Text | Type::Bytes => plain(name, column.kind, Physical::BYTE_ARRAY, Repetition::OPTIONAL),
        Type::Texts | Type::BytesList => {
            let element = plain("element", column.kind, Physical::BYTE_ARRAY, Repetition::REQUIRED)?;
            let list = Schema::group_type_builder("list").with_repetition(Repetition::REPEATED);
            let list = list.with_fields(vec![Arc::new(element)]).build()?;
            let outer = Schema::group_type_builder(name).with_repetition(Repetition::OPTIONAL);
            outer.with_logical_type(Some(LogicalType::List)).with_fields(vec![Arc::new(list)]).build()
        }
    }
}

/// Values of one column of one group; which rows have one.
fn present<T>(rows: usize, cells: Vec<(u32, OutValue)>, value: impl Fn(OutValue) -> Option<T>) -> (Vec<T>, Vec<i16>) {
    let mut levels = vec![0i16; rows];
    let mut values = Vec::with_capacity(cells.len());
    for (row, own) in cells {
        if let (Some(own), Some(level)) = (value(own), levels.get_mut(row as usize)) {
            values.push(own);
            *level = 1;
        }
    }
    (values, levels)
}

fn write_column(
    kind: Type,
    rows: usize,
    cells: Vec<(u32, OutValue)>,
    writer: &mut SerializedColumnWriter<'_>,
) -> Result<(), ParquetError> {
    match kind {
        Type::Int | Type::Time => {
            let (values, levels) = present(rows, cells, |value| match value {
                OutValue::Int(int) | OutValue::Time(int) => Some(int),
                _ => None,
            });
            writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
        Type::Float => {
            let (values, levels) = present(rows, cells, |value| match value {
                #[allow(clippy::cast_precision_loss)] // a column with larger ones is text
                OutValue::Int(int) => Some(int as f64),
                OutValue::Float(float) => Some(float),
                _ => None,
            });
            writer.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
        }
        Type::Bool => {
            let (values, levels) = present(rows, cells, |value| match value {
                OutValue::Bool(bool) => Some(bool),
                _ => None,
            });
            writer.typed::<BoolType>().write_batch(&values, Some(&levels), None)?;
        }
        Type::Text | Type::Bytes => {
            let (values, levels) = present(rows, cells, text);
            writer.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
        Type::Texts | Type::BytesList => {
            let (mut values, mut levels, mut repeats) = (Vec::new(), Vec::new(), Vec::new());
            let mut cells = cells.into_iter().peekable();
            for row in (0u32..).take(rows) {
                let Some((_, value)) = cells.next_if(|(own, _)| *own == row) else {
                    levels.push(0);
                    repeats.push(0);
                    continue;
                };
                let items: Vec<ByteArray> = match value {
                    OutValue::List(items) => items.into_iter().map(|item| ByteArray::from(item.into_vec())).collect(),
                    OutValue::Null => {
                        levels.push(0);
                        repeats.push(0);
                        continue;
                    }
                    // A single value among lists is a list of one.
                    other => text(other).into_iter().collect(),
                };
                if items.is_empty() {
                    levels.push(1);
                    repeats.push(0);
                }
                for (at, item) in items.into_iter().enumerate() {
                    values.push(item);
                    levels.push(2);
                    repeats.push(i16::from(at > 0));
                }
            }
            writer.typed::<ByteArrayType>().write_batch(&values, Some(&levels), Some(&repeats))?;
        }
    }
    Ok(())
}

/// Any value as text.
fn text(value: OutValue) -> Option<ByteArray> {
    let mut json = Vec::new();
    match value {
        OutValue::Null => return None,
        OutValue::Str(bytes) => return Some(ByteArray::from(bytes.into_vec())),
        OutValue::Time(ns) => crate::store::query::write_time(&mut json, ns),
        OutValue::Float(float) if !float.is_finite() => json.extend_from_slice(float.to_string().as_bytes()),
        other => other.write_json(&mut json),
    }
    Some(ByteArray::from(json))
}
