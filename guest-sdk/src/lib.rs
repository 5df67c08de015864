//! What a filter author imports: [`Filter`], what it reads ([`Record`]), what it decides ([`Verdict`]), and [`filter!`].
//!
//! ```
//! use sawbox_guest::{Filter, Name, Record, Setup, Verdict};
//!
//! /// `level: text` becomes a field and a message.
//! struct Level {
//!     level: Name,
//! }
//!
//! impl Filter for Level {
//!     fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
//!         setup.config().only(&["field"])?;
//!         let field = setup.config().str_or("field", "level")?.to_owned();
//!         Ok(Self { level: setup.name(&field) })
//!     }
//!
//!     fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
//!         let payload = record.payload();
//!         match payload.iter().position(|&byte| byte == b':') {
//!             Some(colon) => {
//!                 verdict.set(self.level, &payload[..colon]);
//!                 verdict.set("message", payload[colon + 1..].trim_ascii());
//!             }
//!             None => verdict.fail("no colon"),
//!         }
//!     }
//! }
//! sawbox_guest::filter!(Level);
//!
//! let mut level = sawbox_guest::testing::Harness::<Level>::new("{}").unwrap();
//! let outcome = level.one(b"warn: disk is nearly full");
//! assert_eq!(outcome.text("level"), Some("warn"));
//! # assert_eq!(outcome.text("message"), Some("disk is nearly full"));
//! ```
//! Build it with `cargo build --release --target wasm32-unknown-unknown`, crate type `cdylib`.
//!
//! Slices of the payload, or of a field that the filter reads, are never copied: they go back as (slot, offset, length). So cut,
//! and build only what has to be built.
//!
//! A filter must say the same of a record in whatever company: its memory is a cache at most, and what it must remember it keeps
//! in [`Record::state`]. It has no clock, no randomness and no files; the record's arrival time is the time.
//!
//! [`abi`] is the frame itself; with the feature `sdk` off it is all there is.

pub mod abi;

#[cfg(feature = "sdk")]
pub mod case;
#[cfg(feature = "sdk")]
pub mod common;
#[cfg(feature = "sdk")]
pub mod field;
#[cfg(feature = "sdk")]
pub mod find;
#[cfg(feature = "sdk")]
mod guest;
#[cfg(feature = "sdk")]
pub mod hash;
#[cfg(feature = "sdk")]
mod host;
#[cfg(feature = "sdk")]
pub mod json;
#[cfg(feature = "sdk")]
pub mod kept;
#[cfg(feature = "sdk")]
mod lookup;
#[cfg(feature = "sdk")]
mod names;
#[cfg(feature = "sdk")]
mod needle;
#[cfg(feature = "sdk")]
pub mod number;
#[cfg(feature = "sdk")]
mod record;
#[cfg(feature = "sdk")]
mod state;
#[cfg(feature = "sdk")]
pub mod template;
#[cfg(all(feature = "sdk", not(target_arch = "wasm32")))]
pub mod testing;
#[cfg(feature = "sdk")]
pub mod time;
#[cfg(feature = "sdk")]
mod verdict;

#[cfg(feature = "sdk")]
pub use common::OnSuccess;
#[cfg(feature = "sdk")]
pub use field::Field;
#[cfg(feature = "sdk")]
pub use guest::{Filter, Guest, Setup};
#[cfg(feature = "sdk")]
pub use host::{Level, Match, Pattern, PatternKind, Spans, log};
#[cfg(feature = "sdk")]
pub use json::Json;
#[cfg(feature = "sdk")]
pub use kept::Kept;
#[cfg(feature = "sdk")]
pub use lookup::{Known, Lookup};
#[cfg(feature = "sdk")]
pub use names::{Name, Remembered, ToName};
#[cfg(feature = "sdk")]
pub use needle::{Captures, Needle};
#[cfg(feature = "sdk")]
pub use record::{Read, Record, Value, Values};
#[cfg(feature = "sdk")]
pub use state::State;
#[cfg(feature = "sdk")]
pub use template::Template;
#[cfg(feature = "sdk")]
pub use verdict::{Payload, Verdict};
