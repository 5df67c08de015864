//! Patterns for tests that run without the box.

use regex::bytes::{Regex, RegexBuilder};
use sawbox_guest::testing::Patterns;

/// A host with regular expressions, by its rules: `.` and anchors as Ruby's, classes of bytes
/// unless one is Unicode's, named groups that captured something.
#[derive(Default)]
pub struct Host(Vec<Regex>);

impl Patterns for Host {
    fn compile(&mut self, _: u32, text: &str) -> i32 {
        let text = text.replace("(?-m:", "(?-s:");
        let build = |unicode| RegexBuilder::new(&text).unicode(unicode).multi_line(true).dot_matches_new_line(true).build();
        match build(false).or_else(|_| build(true)) {
            Ok(regex) => {
                self.0.push(regex);
                i32::try_from(self.0.len()).unwrap() - 1
            }
            Err(_) => -1,
        }
    }

    fn describe(&mut self, handle: i32, out: &mut [u8]) -> i32 {
        let mut text = b"no expression".to_vec();
        if let Ok(handle) = usize::try_from(handle) {
            text.clear();
            for (group, name) in (0_u16..).zip(self.0[handle].capture_names()) {
                let Some(name) = name else { continue };
                text.extend(group.to_le_bytes());
                text.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
                text.extend(name.as_bytes());
            }
        }
        out[..text.len()].copy_from_slice(&text);
        i32::try_from(text.len()).unwrap()
    }

    fn find(&mut self, handle: i32, bytes: &[u8], out: &mut [u8]) -> i32 {
        let regex = &self.0[usize::try_from(handle).unwrap()];
        let Some(found) = regex.captures(bytes) else { return -1 };
        let mut count = 0;
        for (group, _) in regex.capture_names().enumerate().filter(|(_, name)| name.is_some()) {
            let Some(span) = found.get(group).filter(|span| !span.is_empty()) else { continue };
            for (index, number) in [group, span.start(), span.end()].into_iter().enumerate() {
                out[count * 12 + index * 4..][..4].copy_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
            }
            count += 1;
        }
        i32::try_from(count).unwrap()
    }
}
