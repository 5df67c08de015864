//! Lookups from files that change, are missing, and are no such thing.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::base::clock::RealClock;
use crate::base::disk::RealDisk;

fn value(lookup: &Lookup, key: &str) -> Option<String> {
    let mut room = Vec::new();
    match lookup.get(key.as_bytes(), 0, &mut Duration::default(), &mut room) {
        Got::Value(value) => Some(String::from_utf8(value.to_vec()).unwrap()),
        Got::Nothing | Got::Late => None,
    }
}

struct Box {
    directory: tempfile::TempDir,
    lookups: Lookups,
}

fn a_box() -> Box {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(directory.path()).unwrap());
    disk.create_dir_all(Path::new("lookups")).unwrap();
    disk.create_dir_all(Path::new("sandbox")).unwrap();
    Box { directory, lookups: Lookups::new(disk, Arc::new(RealClock::new()), Bytes(1000)) }
}

impl Box {
    #[allow(clippy::disallowed_methods)] // the operator's editor knows no seam
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.directory.path().join("lookups").join(name), bytes).unwrap();
    }

    fn refused(&self, kind: &str, argument: &str) -> String {
        match self.lookups.open(kind, argument, None) {
            Ok(_) => panic!("{kind} {argument} is not refused"),
            Err(why) => why,
        }
    }
}

#[test]
fn a_generation_keeps_what_the_file_held() {
    let there = a_box();
    there.write("codes.csv", "200,OK\n");
    let (old, record) = there.lookups.open("table", "codes.csv", None).unwrap();
    let record = record.unwrap();
    there.write("codes.csv", "200,Fine\n");
    let (new, changed) = there.lookups.open("table", "codes.csv", None).unwrap();
    assert_ne!(Some(&record), changed.as_ref());
    assert_eq!((value(&old, "200"), value(&new, "200")), (Some("OK".into()), Some("Fine".into())));
    drop((old, new));
    let (again, same) = there.lookups.open("table", "codes.csv", Some(std::slice::from_ref(&record))).unwrap();
    assert_eq!((value(&again, "200"), same), (Some("OK".into()), Some(record.clone())));
    assert_eq!(value(&again, "404"), None);

    // A generation that knows nothing of it cannot have it; one whose copy is gone or damaged says so.
    let why = there.lookups.open("table", "codes.csv", Some(&[])).err().unwrap();
    assert!(why.contains("resolved without"), "{why}");
    drop(again);
    let copy = there.directory.path().join("sandbox/lookups").join(&record.sha256);
    let flip = |byte| {
        let disk = RealDisk::open(there.directory.path()).unwrap();
        disk.open(&Path::new(COPIES).join(&record.sha256), false).unwrap().write_at(&[byte], 0).unwrap();
    };
    flip(b'3');
    let why = there.lookups.open("table", "codes.csv", Some(std::slice::from_ref(&record))).err().unwrap();
    assert!(why.contains("no longer on this box"), "{why}");
    // The same file once more mends it.
    there.write("codes.csv", "200,OK\n");
    there.lookups.open("table", "codes.csv", None).unwrap();
    assert!(there.lookups.open("table", "codes.csv", Some(&[record])).is_ok(), "{copy:?}");
}

#[test]
fn what_cannot_be_opened_says_why() {
    let there = a_box();
    there.write("big.csv", vec![b'x'; 1001]);
    there.write("no.mmdb", "nothing of the kind");
    for (kind, argument, expected) in [
        ("ldap", "x", "no lookup of kind `ldap`"),
        ("table", "../CATALOG", "no name of a file"),
        ("table", "/etc/passwd", "no name of a file"),
        ("table", "", "no name of a file"),
        ("table", "no.csv", "there is no file `no.csv` in the folder `lookups`"),
        ("table", "big.csv", "has 1001 bytes; at most 1000 are"),
        ("table", "{\"a\"", "no JSON object"),
        ("geoip", "no.mmdb", "no MaxMind file"),
    ] {
        let why = there.refused(kind, argument);
        assert!(why.contains(expected), "{why}\nshould say: {expected}");
    }
    let (inline, record) = there.lookups.open("table", r#" {"a": 1}"#, None).unwrap();
    assert_eq!((value(&inline, "a"), record), (Some("1".into()), None));
}

/// A MaxMind file for 1.0.0.0/8, byte by byte: eight nodes of one bit each, a separator, one map, and what describes it.
pub(crate) fn maxmind() -> Vec<u8> {
    let mut file = Vec::new();
    let text = |file: &mut Vec<u8>, text: &str| {
        file.push(0x40 | u8::try_from(text.len()).unwrap());
        file.extend_from_slice(text.as_bytes());
    };
    // 24-bit records: left, right. The first byte of the address is 0b0000_0001.
    for node in 0..8u32 {
        let (empty, data) = (8u32, 8 + 16);
        let (left, right) = match node {
            7 => (empty, data),
            node => (node + 1, empty),
        };
        file.extend_from_slice(&left.to_be_bytes()[1..]);
        file.extend_from_slice(&right.to_be_bytes()[1..]);
    }
    file.extend_from_slice(&[0; 16]);
    file.push(0xe1);
    text(&mut file, "country");
    file.push(0xe1);
    text(&mut file, "iso_code");
    text(&mut file, "AU");
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    file.push(0xe9);
    let number = |file: &mut Vec<u8>, name: &str, head: &[u8]| {
        text(file, name);
        file.extend_from_slice(head);
    };
    number(&mut file, "node_count", &[0xc1, 8]);
    number(&mut file, "record_size", &[0xa1, 24]);
    number(&mut file, "ip_version", &[0xa1, 4]);
    number(&mut file, "binary_format_major_version", &[0xa1, 2]);
    number(&mut file, "binary_format_minor_version", &[0xa0]);
    number(&mut file, "build_epoch", &[0x01, 0x02, 1]);
    text(&mut file, "database_type");
    text(&mut file, "Test");
    text(&mut file, "languages");
    file.extend_from_slice(&[0x00, 0x04]);
    text(&mut file, "description");
    file.push(0xe0);
    file
}

#[test]
fn addresses_are_found_in_maxmind_files() {
    let there = a_box();
    there.write("geo.mmdb", maxmind());
    let (geoip, record) = there.lookups.open("geoip", "geo.mmdb", None).unwrap();
    assert_eq!(record.unwrap().kind, "geoip");
    let found = Some(r#"{"country":{"iso_code":"AU"}}"#.to_owned());
    assert_eq!(value(&geoip, "1.2.3.4"), found);
    assert_eq!(value(&geoip, "::ffff:1.2.3.4"), found);
    for nothing in ["2.0.0.1", "2001:db8::1", "host.example", "", "1.2.3.4.5"] {
        assert_eq!(value(&geoip, nothing), None, "{nothing}");
    }
    // Files that are cut or damaged anywhere may answer anything but harm.
    let whole = maxmind();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        for bytes in [&damaged[..], &whole[..at]] {
            if let Ok(geoip) = geoip::Geoip::open(crate::base::disk::Mapped::Held(bytes.into())) {
                geoip.get(b"1.2.3.4", &mut Vec::new());
                geoip.get(b"2001:db8::1", &mut Vec::new());
            }
        }
    }
}
