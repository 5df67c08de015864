//! Decompression that cannot be surprised: a stream in, at most so many bytes out at a time, a cap on the whole.
//!
//! Purpose: one step function for zlib (Lumberjack's `C` frames), gzip and zstd (HTTP bodies). The caller owns the output
//! buffer, so nothing here grows with the input.
//!
//! Invariants: a step never writes more than the room it was given; the sum of all steps never passes `cap`; past
//! [`RATIO_FREE`] bytes the sum never passes [`RATIO`] times the input.
//! Limits: a zstd window of 8 MiB, what every level below `--ultra` stays under.
//! Why not the `Read` adapters: they pull from a blocking reader, and this is fed by sockets.

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, Operation};

/// Below this many bytes out nobody minds the ratio: small bodies of equal lines are honest.
pub const RATIO_FREE: u64 = 16 << 20;
/// Most that one byte may inflate to beyond that. Access logs reach 30; 500 is only reached by zeros.
pub const RATIO: u64 = 500;
const ZSTD_WINDOW_LOG: u32 = 23;

/// What the bytes are compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1950.
    Zlib,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
}

/// Why inflating stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// Over the cap or the ratio.
    #[error("inflates to more than {0} bytes")]
    TooLarge(u64),
    /// Not what it says it is.
    #[error("broken {0:?} stream")]
    Broken(Encoding),
    /// It ended before its end.
    #[error("{0:?} stream ends early")]
    Truncated(Encoding),
}

enum Engine {
    Identity,
    Flate(Box<Decompress>),
    Zstd(Box<Decoder<'static>>),
}

/// One stream being inflated.
pub struct Inflate {
    encoding: Encoding,
    engine: Engine,
    cap: u64,
    taken: u64,
    given: u64,
    /// Between members or frames, where a stream may end.
    at_rest: bool,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are used up.
    pub taken: usize,
    /// Bytes that were appended to the output.
    pub given: usize,
}

impl Inflate {
    /// Starts a stream that may give at most `cap` bytes.
    ///
    /// # Errors
    /// If the decompressor cannot be made.
    pub fn new(encoding: Encoding, cap: u64) -> Result<Self, InflateError> {
        let engine = match encoding {
            Encoding::Identity => Engine::Identity,
            Encoding::Zlib => Engine::Flate(Box::new(Decompress::new(true))),
            Encoding::Gzip => Engine::Flate(Box::new(Decompress::new_gzip(15))),
            Encoding::Zstd => {
                let broken = |_| InflateError::Broken(Encoding::Zstd);
                let mut decoder = Decoder::new().map_err(broken)?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).map_err(broken)?;
                Engine::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { encoding, engine, cap, taken: 0, given: 0, at_rest: encoding == Encoding::Identity })
    }

    /// Appends at most `room` bytes to `out`. A step that takes and gives nothing needs more input.
    ///
    /// # Errors
    /// Broken bytes, or the cap. The stream is then of no more use.
    pub fn step(&mut self, input: &[u8], out: &mut Vec<u8>, room: usize) -> Result<Step, InflateError> {
        // One byte past the cap shows that the stream passes it, and no more is written.
        let left = usize::try_from(self.allowance().saturating_sub(self.given)).unwrap_or(usize::MAX);
        let room = room.min(left.saturating_add(1));
        let before = out.len();
        let step = self.run(input, out, room)?;
        self.taken += step.taken as u64;
        self.given += step.given as u64;
        if self.given > self.allowance() {
            out.truncate(before);
            return Err(InflateError::TooLarge(self.allowance()));
        }
        Ok(step)
    }

    fn allowance(&self) -> u64 {
        if self.encoding == Encoding::Identity {
            return self.cap;
        }
        self.cap.min(RATIO_FREE.max(self.taken.saturating_mul(RATIO)))
    }

    fn run(&mut self, input: &[u8], out: &mut Vec<u8>, room: usize) -> Result<Step, InflateError> {
        let broken = InflateError::Broken(self.encoding);
        let start = out.len();
        match &mut self.engine {
            Engine::Identity => {
                let taken = input.len().min(room);
                out.extend_from_slice(&input[..taken]);
                Ok(Step { taken, given: taken })
            }
            Engine::Flate(flate) => {
                if self.at_rest {
                    // Zlib's stream is over: what follows is nobody's. Gzip may have a further member, behind padding or not.
                    if self.encoding == Encoding::Zlib {
                        return if input.is_empty() { Ok(Step { taken: 0, given: 0 }) } else { Err(broken) };
                    }
                    let padding = input.iter().take_while(|byte| **byte == 0).count();
                    if padding > 0 || input.is_empty() {
                        return Ok(Step { taken: padding, given: 0 });
                    }
                    **flate = Decompress::new_gzip(15);
                }
                let (taken, given) = (flate.total_in(), flate.total_out());
                out.resize(start + room, 0);
                let status = flate.decompress(input, &mut out[start..], FlushDecompress::None).map_err(|_| broken)?;
                let step = Step { taken: small(flate.total_in() - taken), given: small(flate.total_out() - given) };
                out.truncate(start + step.given);
                if !input.is_empty() || step.given > 0 {
                    self.at_rest = status == Status::StreamEnd;
                }
                Ok(step)
            }
            Engine::Zstd(decoder) => {
                out.resize(start + room, 0);
                let status = decoder.run_on_buffers(input, &mut out[start..]).map_err(|_| broken)?;
                let step = Step { taken: status.bytes_read, given: status.bytes_written };
                out.truncate(start + step.given);
                if step.taken > 0 || step.given > 0 {
                    self.at_rest = status.remaining == 0;
                }
                Ok(step)
            }
        }
    }

    /// Whether the stream (of one member) is over.
    pub fn at_rest(&self) -> bool {
        self.at_rest
    }

    /// Bytes given so far.
    pub fn given(&self) -> u64 {
        self.given
    }

    /// Call it when no more input will come.
    ///
    /// # Errors
    /// If the stream is not at an end.
    pub fn finish(&self) -> Result<(), InflateError> {
        // Nothing at all is an empty body, whatever it claims to be.
        if self.at_rest || self.taken == 0 { Ok(()) } else { Err(InflateError::Truncated(self.encoding)) }
    }
}

fn small(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    pub(crate) fn deflate(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
        match encoding {
            Encoding::Identity => bytes.to_vec(),
            Encoding::Zlib => {
                let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                writer.write_all(bytes).unwrap();
                writer.finish().unwrap()
            }
            Encoding::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                writer.write_all(bytes).unwrap();
                writer.finish().unwrap()
            }
            Encoding::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        }
    }

    fn inflate(encoding: Encoding, bytes: &[u8], cap: u64, input: usize, room: usize) -> Result<Vec<u8>, InflateError> {
        let mut stream = Inflate::new(encoding, cap)?;
        let mut out = Vec::new();
        for piece in bytes.chunks(input) {
            let mut piece = piece;
            loop {
                let step = stream.step(piece, &mut out, room)?;
                assert!(step.given <= room);
                piece = &piece[step.taken..];
                if step == (Step { taken: 0, given: 0 }) {
                    assert!(piece.is_empty(), "stuck");
                    break;
                }
            }
        }
        stream.finish()?;
        Ok(out)
    }

    const ALL: [Encoding; 4] = [Encoding::Identity, Encoding::Zlib, Encoding::Gzip, Encoding::Zstd];

    proptest! {
        #[test]
        fn what_went_in_comes_out(bytes in prop::collection::vec(0u8..4, 0..3000), input in 1usize..200, room in 1usize..500) {
            for encoding in ALL {
                let packed = deflate(encoding, &bytes);
                prop_assert_eq!(&inflate(encoding, &packed, 3000, input, room).unwrap(), &bytes);
                if !bytes.is_empty() && encoding != Encoding::Identity {
                    let short = inflate(encoding, &packed[..packed.len() - 1], 3000, input, room);
                    prop_assert_eq!(short, Err(InflateError::Truncated(encoding)));
                }
                if encoding == Encoding::Gzip || encoding == Encoding::Zstd {
                    let twice = [packed.clone(), packed].concat();
                    prop_assert_eq!(inflate(encoding, &twice, 6000, input, room).unwrap(), [bytes.clone(), bytes.clone()].concat());
                }
            }
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for encoding in ALL {
                let _ = inflate(encoding, &bytes, 1000, 7, 64);
            }
        }
    }

    #[test]
    fn bombs_stop_at_the_cap_and_at_the_ratio() {
        for encoding in [Encoding::Zlib, Encoding::Gzip, Encoding::Zstd] {
            let bomb = deflate(encoding, &vec![0; 100_000]);
            assert_eq!(inflate(encoding, &bomb, 99_999, 64, 4096), Err(InflateError::TooLarge(99_999)), "{encoding:?}");
            assert!(inflate(encoding, &bomb, 100_000, 64, 4096).is_ok());
        }
        let bomb = deflate(Encoding::Zstd, &vec![0; 20 << 20]);
        let stopped = inflate(Encoding::Zstd, &bomb, u64::MAX, 4096, 1 << 20);
        assert!(matches!(stopped, Err(InflateError::TooLarge(at)) if at < 18 << 20), "{:?}", stopped.map(|out| out.len()));
    }

    #[test]
    fn a_zstd_window_of_gigabytes_is_refused() {
        // Frame header: magic, descriptor (no single segment), window descriptor 0xA8: 2 GiB.
        let head = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
        assert_eq!(inflate(Encoding::Zstd, &head, u64::MAX, 64, 4096), Err(InflateError::Broken(Encoding::Zstd)));
    }
}
