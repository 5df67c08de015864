//! The decoder against golden frames, every truncation, bombs and noise.

use std::io::Write;

use proptest::prelude::*;

use super::decode::{DOCUMENT_BYTES, Decoder, Frame, Limits, Malformed, Next, Version};
use crate::base::limits::RECORD_BYTES;
use crate::ingest::inflate::Encoding;
use crate::ingest::inflate::tests::deflate;

const LIMITS: Limits = Limits { window: 5000, compressed: 1 << 20, inflated: 4 << 20 };

/// What the decoder makes of bytes, in words, and how it ended.
fn read(pieces: &[&[u8]]) -> (Vec<String>, Option<Malformed>, bool) {
    let mut decoder = Decoder::new(LIMITS);
    let mut out = Vec::new();
    for piece in pieces {
        decoder.input().extend_from_slice(piece);
        loop {
            let frame = match decoder.next() {
                Err(error) => return (out, Some(error), false),
                Ok(Next::Input) => break,
                Ok(Next::Room(size)) => {
                    assert!(size <= RECORD_BYTES + 300 * 1024, "asks for {size}");
                    decoder.grant(size);
                    continue;
                }
                Ok(Next::Frame(frame)) => frame,
            };
            out.push(match frame {
                Frame::Window(version, count) => format!("W{} {count}", char::from(version.byte())),
                Frame::Line { sequence, pairs, .. } => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{}={}", text(name), text(value))).collect();
                    format!("D {sequence} {}", pairs.join(" "))
                }
                Frame::Json { sequence, document, length, .. } if length > 100 => {
                    format!("J {sequence} {} of {length}", document.len())
                }
                Frame::Json { sequence, document, .. } => format!("J {sequence} {}", String::from_utf8_lossy(document)),
            });
        }
    }
    let clean = decoder.is_clean();
    (out, None, clean)
}

fn window(version: u8, count: u32) -> Vec<u8> {
    [&[version, b'W'][..], &count.to_be_bytes()].concat()
}

fn json(sequence: u32, document: &[u8]) -> Vec<u8> {
    let length = u32::try_from(document.len()).unwrap();
    [&b"2J"[..], &sequence.to_be_bytes(), &length.to_be_bytes(), document].concat()
}

fn data(sequence: u32, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = [&b"1D"[..], &sequence.to_be_bytes(), &u32::try_from(pairs.len()).unwrap().to_be_bytes()].concat();
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out
}

fn packed(version: u8, frames: &[u8]) -> Vec<u8> {
    let zlib = deflate(Encoding::Zlib, frames);
    [&[version, b'C'][..], &u32::try_from(zlib.len()).unwrap().to_be_bytes(), &zlib].concat()
}

/// A window as logstash-forwarder sends it: numbers go on from the last one, all records in one compressed frame.
fn forwarder() -> Vec<u8> {
    let pairs = [("file", "/var/log/access.log"), ("host", "web-1"), ("offset", "512"), ("line", "GET /"), ("app", "shop")];
    [window(b'1', 2), packed(b'1', &[data(41, &pairs), data(42, &pairs)].concat())].concat()
}

/// A window as Filebeat sends it: numbers begin at 1.
fn filebeat() -> Vec<u8> {
    let frames = [json(1, br#"{"message":"a"}"#), json(2, br#"{"message":"b"}"#)].concat();
    [window(b'2', 2), packed(b'2', &frames)].concat()
}

fn expected() -> Vec<&'static str> {
    vec![
        "W1 2",
        "D 41 file=/var/log/access.log host=web-1 offset=512 line=GET / app=shop",
        "D 42 file=/var/log/access.log host=web-1 offset=512 line=GET / app=shop",
        "W2 2",
        r#"J 1 {"message":"a"}"#,
        r#"J 2 {"message":"b"}"#,
    ]
}

#[test]
fn real_shippers_windows_wherever_they_are_cut() {
    let bytes = [forwarder(), filebeat()].concat();
    let (frames, error, clean) = read(&[&bytes]);
    assert_eq!((frames, error, clean), (expected().into_iter().map(String::from).collect(), None, true));
    for cut in 0..bytes.len() {
        let (frames, error, clean) = read(&[&bytes[..cut], &bytes[cut..]]);
        assert_eq!(
            (frames.iter().map(String::as_str).collect::<Vec<_>>(), error, clean),
            (expected(), None, true),
            "cut at {cut}"
        );
        // What ends early is no error of the decoder's, and is not mistaken for an end.
        let (frames, error, clean) = read(&[&bytes[..cut]]);
        assert_eq!(error, None, "ends at {cut}");
        assert!(expected().starts_with(&frames.iter().map(String::as_str).collect::<Vec<_>>()), "ends at {cut}");
        assert_eq!(clean, cut == 0 || cut == forwarder().len() || cut == 6 || cut == forwarder().len() + 6, "ends at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&single).0, expected());
}

#[test]
fn uncompressed_frames_and_empty_ones() {
    let bytes = [window(b'2', 1), json(1, b""), packed(b'2', b""), window(b'1', 1), data(7, &[])].concat();
    assert_eq!(read(&[&bytes]).0, ["W2 1", "J 1 ", "W1 1", "D 7 "]);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_held() {
    let huge = u32::MAX.to_be_bytes();
    for (bytes, what) in [
        (window(b'2', 5001), "window"),
        ([&b"2C"[..], &huge].concat(), "compressed frame"),
        ([&b"2J\0\0\0\x01"[..], &huge].concat(), "document"),
        ([&b"1D\0\0\0\x01"[..], &huge].concat(), "number of pairs"),
        ([&b"1D\0\0\0\x01\0\0\0\x01"[..], &huge].concat(), "name"),
        ([&b"1D\0\0\0\x01\0\0\0\x01\0\0\0\x01a"[..], &huge].concat(), "record"),
        (packed(b'2', &[&b"2J\0\0\0\x01"[..], &huge].concat()), "document"),
    ] {
        let (frames, error, _) = read(&[&bytes]);
        assert!(matches!(error, Some(Malformed::TooLarge { what: own, .. }) if own == what), "{what}: {error:?}");
        assert!(frames.is_empty());
    }
}

#[test]
fn nested_frames_and_bombs_are_refused() {
    // 100 MiB of zeros, packed three times over, is some hundred bytes.
    let best = |frames: &[u8]| {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        zlib.write_all(frames).unwrap();
        let zlib = zlib.finish().unwrap();
        [&b"2C"[..], &u32::try_from(zlib.len()).unwrap().to_be_bytes(), &zlib].concat()
    };
    let zeros = best(&vec![0; 100 << 20]);
    let nested = best(&best(&zeros));
    assert!(nested.len() < 1024, "{}", nested.len());
    assert_eq!(read(&[&nested]).1, Some(Malformed::Nested('C')));
    assert_eq!(read(&[&zeros]).1, Some(Malformed::Version(0)));
    assert_eq!(read(&[&packed(b'2', &window(b'2', 1))]).1, Some(Malformed::Nested('W')));
    // Valid frames without end: the cap is on the window, over all its compressed frames.
    let many = packed(b'2', &json(1, b"{}").repeat(300_000));
    assert!(many.len() < 64 * 1024, "{}", many.len());
    let error = read(&[&window(b'2', 5000), &many, &many]).1;
    assert!(matches!(error, Some(Malformed::Inflate(_))), "{error:?}");
    let fine = read(&[&window(b'2', 5000), &many, &window(b'2', 5000), &many]);
    assert_eq!((fine.0.len(), fine.1), (600_002, None));
}

#[test]
fn documents_over_the_record_limit_are_cut() {
    let large = vec![b'x'; RECORD_BYTES + 500];
    for bytes in [[json(1, &large), json(2, b"{}")].concat(), packed(b'2', &[json(1, &large), json(2, b"{}")].concat())] {
        let pieces: Vec<&[u8]> = bytes.chunks(10_000).collect();
        let wanted = [format!("J 1 {RECORD_BYTES} of {}", RECORD_BYTES + 500), "J 2 {}".into()];
        assert_eq!(read(&pieces), (wanted.to_vec(), None, true));
    }
    let over =
        json(1, b"")[..6].iter().copied().chain(u32::try_from(DOCUMENT_BYTES + 1).unwrap().to_be_bytes()).collect::<Vec<_>>();
    assert!(matches!(read(&[&over]).1, Some(Malformed::TooLarge { .. })));
}

#[test]
fn ragged_frames_are_refused() {
    for (bytes, error) in [
        (b"3W".to_vec(), Malformed::Version(b'3')),
        (b"\x16\x03\x01".to_vec(), Malformed::Version(0x16)),
        (b"2X".to_vec(), Malformed::Type(b'X')),
        (b"2A\0\0\0\x01".to_vec(), Malformed::Type(b'A')),
        (packed(b'2', &json(1, b"{}")[..5]), Malformed::Ragged),
        (packed(b'2', b"2"), Malformed::Ragged),
        (
            [&b"2C\0\0\0\x03"[..], b"abc"].concat(),
            Malformed::Inflate(crate::ingest::inflate::InflateError::Broken(Encoding::Zlib)),
        ),
        (b"2C\0\0\0\0".to_vec(), Malformed::Ragged),
    ] {
        assert_eq!(read(&[&bytes]).1, Some(error), "{bytes:?}");
    }
    // A compressed frame that is shorter, or longer, than it says.
    let mut short = packed(b'2', &json(1, b"{}"));
    short[5] -= 1;
    assert!(read(&[&short]).1.is_some());
    let mut long = packed(b'2', &json(1, b"{}"));
    long[5] += 1;
    assert_eq!(read(&[&long, b"2"]).1, Some(Malformed::Ragged));
}

#[test]
fn the_version_is_the_frames() {
    let mut decoder = Decoder::new(LIMITS);
    decoder.input().extend_from_slice(&window(b'1', 3));
    assert!(matches!(decoder.next(), Ok(Next::Frame(Frame::Window(Version::V1, 3)))));
}

proptest! {
    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&[&bytes]);
    }

    #[test]
    fn nearly_right_never_panics_and_holds_little(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
        let mut bytes = [forwarder(), filebeat()].concat();
        let length = bytes.len();
        bytes[at % length] = byte;
        let cut = cut % length;
        let (whole, cut) = (read(&[&bytes]), read(&[&bytes[..cut], &bytes[cut..]]));
        // Broken zlib may give some bytes first; whether it is broken does not depend on the cut.
        prop_assert_eq!(whole.1.is_some(), cut.1.is_some());
        if whole.1.is_none() {
            prop_assert_eq!(whole, cut);
        }
    }

    #[test]
    fn noise_inside_of_a_compressed_frame_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in "[12][JDCWA]") {
        let _ = read(&[&packed(b'2', &[kind.as_bytes(), &bytes].concat())]);
    }
}
