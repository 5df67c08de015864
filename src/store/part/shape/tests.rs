//! Texts are cut and put together again as they were.

use super::*;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

/// A text cut and written again, and its shape.
fn again(cut: Cut, text: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut cutter = Cutter::new(cut);
    if !cutter.cut(text) {
        return None;
    }
    let shapes = Shapes::read(std::iter::once(&cutter.shape[..])).unwrap();
    let (mut out, mut slots) = (Vec::new(), cutter.slots.iter());
    let next = |class| slots.next().filter(|slot| slot.0 == class).map(|slot| slot.1);
    shapes.put(&mut out, 0, next).unwrap();
    assert_eq!(slots.len(), 0);
    Some((out, cutter.shape))
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[0-9]{1,40}".prop_map(String::into_bytes),
        "[0-9a-f]{1,40}".prop_map(String::into_bytes),
        "[0-9A-F]{7,20}".prop_map(String::into_bytes),
        "0x[0-9a-fA-F]{0,18}".prop_map(String::into_bytes),
        "[0-9]{1,3}(\\.[0-9]{1,3}){2,4}".prop_map(String::into_bytes),
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}".prop_map(String::into_bytes),
        "[a-z0-9_:/.-]{0,12}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..6),
        Just(b" ".to_vec()),
    ]
}

#[test]
fn every_digit_is_found_and_nothing_else() {
    for byte in 0..=255u8 {
        for before in 0..20 {
            let mut text = vec![b'/'; before];
            text.extend_from_slice(&[byte, b':', 0xb5, b'/', b':']);
            assert_eq!(super::find_digit(&text), byte.is_ascii_digit().then_some(before), "{byte} behind {before}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn texts_come_back_byte_for_byte(words in vec(word(), 0..12)) {
        let text = words.concat();
        for cut in [Cut::Long, Cut::Every] {
            match again(cut, &text) {
                Some((back, _)) => prop_assert_eq!(&back, &text),
                None => prop_assert!(text.contains(&MARK)),
            }
        }
    }

    #[test]
    fn any_bytes_are_shapes_or_not(bytes in vec(any::<u8>(), 0..40), value in any::<u64>()) {
        if let Some(shapes) = Shapes::read(std::iter::once(&bytes[..])) {
            let mut out = Vec::new();
            let _ = shapes.put(&mut out, 0, |_| Some(value));
            let _ = shapes.put(&mut out, 1, |_| Some(value));
        }
    }
}

#[test]
fn lines_of_one_place_have_one_shape() {
    let one = |cut, a: &str, b: &str| {
        let [a, b] = [a, b].map(|text| again(cut, text.as_bytes()).unwrap().1);
        a == b
    };
    assert!(one(Cut::Every, "12:05:07 took 7 ms", "1:5:59 took 12345 ms"));
    assert!(!one(Cut::Long, "12:05:07 took 7 ms", "12:05:08 took 7 ms"));
    assert!(one(Cut::Long, "jk2_init() Found child 32552 in slot 7", "jk2_init() Found child 10093 in slot 7"));
    for cut in [Cut::Long, Cut::Every] {
        assert!(one(cut, "from 10.0.0.1:443", "from 192.168.255.9:443"));
        assert!(one(cut, "id 95960536-049b-41f6-9049-05fc479b6a7c", "id 00000000-aaaa-bbbb-cccc-000000000001"));
        assert!(one(cut, "GET /v2/54fadb110c4e40cdbaed4399e4c35a9e", "GET /v2/0000000000000000000000000000000a"));
        assert!(one(cut, "at 0x1f3a", "at 0x000f"));
    }
    assert!(again(Cut::Every, "1 ".repeat(SLOTS + 1).as_bytes()).is_none(), "too many values");
    assert!(again(Cut::Every, "a".repeat(LONGEST + 1).as_bytes()).is_none(), "too long");
}
