//! The filter as the host calls it: `alloc`, `init`, `process`, and the macro that exports them.

use crate::abi::answer::HEAD_BYTES;
use crate::abi::input::Reader;
use crate::abi::{INIT_NEEDS_PAYLOAD, INIT_READS_ALL, INIT_SCHEMA, pack};
use crate::host::{Level, Pattern, PatternKind, log};
use crate::json::Json;
use crate::lookup::Lookup;
use crate::names::Name;
use crate::record::{Read, Record};
use crate::verdict::{Sections, Verdict};

/// A filter: made from its configuration, then asked about one record after the other.
pub trait Filter: Sized {
    /// Makes it. Declares what it reads and sets, and refuses a configuration that makes no sense, with a sentence.
    ///
    /// # Errors
    /// Why the configuration is refused.
    fn init(setup: &mut Setup<'_>) -> Result<Self, String>;

    /// Decides on a record. Doing nothing stores it as it is.
    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>);
}

/// What `init` is given, and where it declares.
#[derive(Debug)]
pub struct Setup<'s> {
    config: &'s Json,
    sections: &'s mut Sections,
    needs: &'s mut Needs,
}

#[derive(Debug)]
pub(crate) struct Needs {
    pub(crate) payload: bool,
    pub(crate) all: bool,
    pub(crate) reads: Vec<String>,
    pub(crate) schema: u32,
}

impl<'s> Setup<'s> {
    /// The entry's configuration: an object.
    pub fn config(&self) -> &'s Json {
        self.config
    }

    /// Declares a field name that the filter sets, so that setting it costs no search.
    pub fn name(&mut self, name: &str) -> Name {
        Name(self.sections.names.number(name.as_bytes()))
    }

    /// Declares a field that the filter looks at; only those are given to it.
    pub fn reads(&mut self, name: &str) -> Read {
        let known = self.needs.reads.iter().position(|read| read == name);
        let index = known.unwrap_or_else(|| {
            self.needs.reads.push(name.to_owned());
            self.needs.reads.len() - 1
        });
        Read(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// The filter looks at every field.
    pub fn reads_all(&mut self) {
        self.needs.all = true;
    }

    /// Whether the filter looks at payloads; without a word it does.
    pub fn needs_payload(&mut self, needs: bool) {
        self.needs.payload = needs;
    }

    /// Names what this filter's state means; state that was kept under another number is not given to it. Without a word, 0.
    pub fn state_schema(&mut self, schema: u32) {
        self.needs.schema = schema;
    }

    /// Opens a lookup; see [`Lookup::open`].
    ///
    /// # Errors
    /// Why there is none.
    pub fn lookup(&mut self, kind: &str, argument: &str) -> Result<Lookup, String> {
        Lookup::open(kind, argument)
    }

    /// Compiles a pattern in the host; see [`Pattern::compile`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn pattern(&mut self, kind: PatternKind, text: &str, names: &[(&str, &str)]) -> Result<Pattern, String> {
        Pattern::compile(kind, text, names)
    }
}

/// A filter and its frames. Made by [`crate::filter!`]; the harness uses it too.
#[derive(Debug)]
pub struct Guest<F> {
    filter: Option<F>,
    needs: Needs,
    sections: Sections,
    input: Vec<u8>,
    head: [u8; HEAD_BYTES],
    init_answer: Vec<u8>,
}

impl<F> Default for Guest<F> {
    fn default() -> Self {
        Self {
            filter: None,
            needs: Needs { payload: true, all: false, reads: Vec::new(), schema: 0 },
            sections: Sections::default(),
            input: Vec::new(),
            head: [0; HEAD_BYTES],
            init_answer: Vec::new(),
        }
    }
}

impl<F: Filter> Guest<F> {
    /// The export `alloc`.
    pub fn alloc(&mut self, len: i32) -> i32 {
        let len = len.cast_unsigned() as usize;
        if self.input.len() < len {
            self.input = vec![0; len];
        }
        address(&self.input).cast_signed()
    }

    /// The export `init`.
    pub fn init(&mut self, len: i32) -> i64 {
        // A panic traps; this tells the host why. Only in the sandbox: natively the test's own hook is better.
        #[cfg(target_arch = "wasm32")]
        std::panic::set_hook(Box::new(|info| crate::host::log_panic(&info.to_string())));
        let config = self.input.get(..len.cast_unsigned() as usize).unwrap_or(&[]).to_vec();
        self.configure(&config);
        pack(address(&self.init_answer), length(&self.init_answer)).cast_signed()
    }

    /// The export `process`.
    pub fn process(&mut self, len: i32) -> i64 {
        let input = core::mem::take(&mut self.input);
        self.run(input.get(..len.cast_unsigned() as usize).unwrap_or(&[]));
        self.input = input;
        self.head = self.sections.head(address).encode();
        pack(address(&self.head), length(&self.head)).cast_signed()
    }

    /// Takes the configuration and writes the init answer.
    pub(crate) fn configure(&mut self, config: &[u8]) {
        let made = Json::parse(config).and_then(|config| match config {
            Json::Object(_) => {
                let setup = &mut Setup { config: &config, sections: &mut self.sections, needs: &mut self.needs };
                F::init(setup)
            }
            _ => Err("the configuration is no JSON object".to_owned()),
        });
        self.init_answer.clear();
        match made {
            Ok(filter) => {
                self.filter = Some(filter);
                self.sections.names.declare_all();
                let payload = if self.needs.payload { INIT_NEEDS_PAYLOAD } else { 0 };
                let all = if self.needs.all { INIT_READS_ALL } else { 0 };
                let count = u16::try_from(self.needs.reads.len()).unwrap_or(u16::MAX);
                let schema = self.needs.schema;
                let flag = if schema == 0 { 0 } else { INIT_SCHEMA };
                self.init_answer.extend_from_slice(&[0, payload | all | flag]);
                self.init_answer.extend_from_slice(&count.to_le_bytes());
                if schema != 0 {
                    self.init_answer.extend_from_slice(&schema.to_le_bytes());
                }
                for name in &self.needs.reads {
                    let len = u16::try_from(name.len()).unwrap_or(u16::MAX);
                    self.init_answer.extend_from_slice(&len.to_le_bytes());
                    self.init_answer.extend_from_slice(&name.as_bytes()[..usize::from(len)]);
                }
            }
            Err(reason) => {
                self.init_answer.extend_from_slice(&[1, 0, 0, 0]);
                self.init_answer.extend_from_slice(reason.as_bytes());
            }
        }
    }

    /// Runs the filter over the records of an input frame.
    pub(crate) fn run(&mut self, frame: &[u8]) {
        self.sections.begin_call();
        let (Some(filter), Ok(frame)) = (&mut self.filter, Reader::new(frame)) else {
            // No verdicts at all is what the host refuses; it sees to it that this cannot be.
            log(Level::Error, "called before init, or with a frame of another version");
            return;
        };
        for index in 0..frame.len() {
            let Some(entry) = frame.record(index) else { return };
            let record = Record {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                frame,
                entry,
                payload: frame.bytes(entry.payload.0, entry.payload.1),
                values: frame.values(&entry),
                reads_all: self.needs.all,
                reads: &self.needs.reads,
            };
            let mut verdict = Verdict::new(&mut self.sections, &record);
            filter.process(&record, &mut verdict);
            verdict.finish();
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn answer(&self) -> (&[u8], &Sections, &Needs) {
        (&self.init_answer, &self.sections, &self.needs)
    }
}

/// An address in the guest's memory; outside of Wasm it means nothing and nobody looks.
fn address(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.as_ptr().addr()).unwrap_or(0)
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Makes the exports of a Wasm module out of a [`Filter`]. Outside of Wasm it makes nothing, so tests need no condition.
#[macro_export]
macro_rules! filter {
    ($filter:ty) => {
        // What `no_mangle` could break is a clash of names, and the linker refuses that.
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            ::std::thread_local! {
                static GUEST: ::core::cell::RefCell<$crate::Guest<$filter>> =
                    ::core::cell::RefCell::new(<$crate::Guest<$filter> as ::core::default::Default>::default());
            }

            #[unsafe(no_mangle)]
            extern "C" fn sawbox_abi() -> i32 {
                $crate::abi::VERSION as i32
            }

            #[unsafe(no_mangle)]
            extern "C" fn alloc(len: i32) -> i32 {
                GUEST.with_borrow_mut(|guest| guest.alloc(len))
            }

            #[unsafe(no_mangle)]
            extern "C" fn init(_at: i32, len: i32) -> i64 {
                GUEST.with_borrow_mut(|guest| guest.init(len))
            }

            #[unsafe(no_mangle)]
            extern "C" fn process(_at: i32, len: i32) -> i64 {
                GUEST.with_borrow_mut(|guest| guest.process(len))
            }
        };
    };
}
