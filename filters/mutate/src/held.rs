//! The fields of a record while operations change them: nothing is told to the host before all are done.
//!
//! Strings are slices of the record as long as nobody changes them; what is built lies in one buffer that records share.

use sawbox_guest::template::{time_of, write_list, write_value};
use sawbox_guest::time;
use sawbox_guest::{Field, Record, Template, Value, Verdict};

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Held<'a> {
    /// Of the record, or of the configuration.
    Str(&'a [u8]),
    /// In the buffer, from where to where.
    Built(usize, usize),
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

/// A field's values.
#[derive(Debug, Default)]
struct Slot<'a> {
    values: Vec<Held<'a>>,
    changed: bool,
}

/// All fields that operations name.
#[derive(Debug)]
pub struct Fields<'a, 'b> {
    record: &'b Record<'a>,
    names: &'b [Field],
    slots: Vec<Option<Slot<'a>>>,
    /// What was built.
    pub built: &'b mut Vec<u8>,
}

impl<'a, 'b> Fields<'a, 'b> {
    /// As the record has them.
    pub fn new(record: &'b Record<'a>, names: &'b [Field], built: &'b mut Vec<u8>) -> Self {
        built.clear();
        let mut slots = Vec::new();
        slots.resize_with(names.len(), || None);
        Self { record, names, slots, built }
    }

    fn slot(&mut self, at: usize) -> &mut Slot<'a> {
        let Self { record, names, slots, built } = self;
        slots[at].get_or_insert_with(|| {
            let mut values = Vec::new();
            if names[at].is_time() {
                let start = built.len();
                time::write(time_of(record), built);
                values.push(Held::Built(start, built.len()));
            }
            values.extend(record.list(names[at]).map(|value| match value {
                Value::Str(text) => Held::Str(text),
                Value::Int(number) => Held::Int(number),
                Value::Float(number) => Held::Float(number),
                Value::Bool(yes) => Held::Bool(yes),
            }));
            Slot { values, changed: false }
        })
    }

    /// How many values a field has.
    pub fn len(&mut self, at: usize) -> usize {
        self.slot(at).values.len()
    }

    /// One of its values.
    pub fn get(&mut self, at: usize, index: usize) -> Option<Held<'a>> {
        self.slot(at).values.get(index).copied()
    }

    /// The text of a value that is one, for [`Fields::text`].
    pub fn string(&self, held: Held<'a>) -> Option<Text<'a>> {
        match held {
            Held::Str(text) => Some(Text::Given(text)),
            Held::Built(start, end) => Some(Text::Built(start, end)),
            Held::Int(_) | Held::Float(_) | Held::Bool(_) => None,
        }
    }

    /// The bytes of a text.
    pub fn text(&self, text: Text<'a>) -> &[u8] {
        match text {
            Text::Given(text) => text,
            Text::Built(start, end) => self.built.get(start..end).unwrap_or(&[]),
        }
    }

    /// Puts a value in the place of another.
    pub fn put(&mut self, at: usize, index: usize, value: Held<'a>) {
        let slot = self.slot(at);
        if let Some(place) = slot.values.get_mut(index)
            && *place != value
        {
            *place = value;
            slot.changed = true;
        }
    }

    /// All values of a field, taken out; it is gone.
    pub fn take(&mut self, at: usize) -> Vec<Held<'a>> {
        let slot = self.slot(at);
        slot.changed = true;
        core::mem::take(&mut slot.values)
    }

    /// All values of a field.
    pub fn all(&mut self, at: usize) -> Vec<Held<'a>> {
        self.slot(at).values.clone()
    }

    /// Gives a field these values and no others.
    pub fn set(&mut self, at: usize, values: Vec<Held<'a>>) {
        *self.slot(at) = Slot { values, changed: true };
    }

    /// Appends the text of a template to `out`, with the fields as they are now.
    pub fn render(&mut self, template: &Template, out: &mut Vec<u8>) {
        let now = self.time();
        template.render_by(now, out, |field, out| match self.names.iter().position(|name| *name == field) {
            Some(at) => self.write(at, b",", out),
            None => write_list(self.record.list(field), out),
        });
    }

    /// Appends a field's values as text, with something between; false where there are none.
    pub fn write(&mut self, at: usize, between: &[u8], out: &mut Vec<u8>) -> bool {
        let count = self.len(at);
        for index in 0..count {
            if index > 0 {
                out.extend_from_slice(between);
            }
            if let Some(value) = self.get(at, index) {
                self.write_one(value, out);
            }
        }
        count > 0
    }

    /// Appends a value as text.
    pub fn write_one(&self, value: Held<'a>, out: &mut Vec<u8>) {
        match value {
            Held::Str(text) => out.extend_from_slice(text),
            Held::Built(start, end) => out.extend_from_slice(self.built.get(start..end).unwrap_or(&[])),
            Held::Int(number) => write_value(Value::Int(number), out),
            Held::Float(number) => write_value(Value::Float(number), out),
            Held::Bool(yes) => write_value(Value::Bool(yes), out),
        }
    }

    /// Puts bytes into the buffer.
    pub fn keep(&mut self, bytes: &[u8]) -> Held<'a> {
        let start = self.built.len();
        self.built.extend_from_slice(bytes);
        Held::Built(start, self.built.len())
    }

    /// Where the record is now, in time.
    pub fn time(&self) -> i64 {
        time_of(self.record)
    }

    /// Tells what was changed.
    pub fn finish(self, verdict: &mut Verdict<'_>) {
        for (field, slot) in self.names.iter().zip(&self.slots) {
            let Some(slot) = slot.as_ref().filter(|slot| slot.changed) else { continue };
            if slot.values.is_empty() {
                verdict.remove(field.name());
            }
            for (index, held) in slot.values.iter().enumerate() {
                let value = match *held {
                    Held::Str(text) => Value::Str(text),
                    Held::Built(start, end) => Value::Str(self.built.get(start..end).unwrap_or(&[])),
                    Held::Int(number) => Value::Int(number),
                    Held::Float(number) => Value::Float(number),
                    Held::Bool(yes) => Value::Bool(yes),
                };
                if index == 0 {
                    verdict.set(field.name(), value);
                } else {
                    verdict.add(field.name(), value);
                }
            }
        }
    }
}

/// A string, wherever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// Of the record.
    Given(&'a [u8]),
    /// In the buffer.
    Built(usize, usize),
}

impl<'a> Text<'a> {
    /// The part from `start` to `end`.
    pub fn part(self, start: usize, end: usize) -> Held<'a> {
        match self {
            Text::Given(text) => Held::Str(text.get(start..end).unwrap_or(&[])),
            Text::Built(from, _) => Held::Built(from + start, from + end),
        }
    }
}
