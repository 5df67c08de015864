//! What requests say is read as it was written.

use proptest::prelude::*;
use serde_json::{Value, json};

proptest! {
    #[test]
    fn numbers_of_requests_are_what_was_written(number in proptest::num::f64::NORMAL) {
        let read: Value = serde_json::from_str(&json!({ "term": { "v": number } }).to_string()).unwrap();
        prop_assert_eq!(read["term"]["v"].as_f64(), Some(number));
    }
}
