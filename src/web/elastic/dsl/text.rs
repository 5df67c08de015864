//! `match` and its kin: the words of a text, any or all of them, beside one another, or the last one as a beginning.

use serde_json::{Map, Value};

use super::read::{each, maybe_text, object, only, scalar, single, text, whole};
use super::{PATTERN, leaf, spend};
use crate::base::predicate::Predicate;
use crate::web::elastic::dates::Dates;

/// Options that mean nothing without scores, or what we do anyway.
const HARMLESS: [&str; 9] = [
    "boost",
    "lenient",
    "_name",
    "max_expansions",
    "prefix_length",
    "auto_generate_synonyms_phrase_query",
    "tie_breaker",
    "cutoff_frequency",
    "zero_terms_query",
];

/// How the words of a text are asked.
#[derive(Clone, Debug)]
struct Words {
    all: bool,
    least: Option<String>,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Words,
    Phrase,
    PhrasePrefix,
    /// Words, the last of which is a beginning.
    Prefix,
}

/// A clause of the family.
pub fn clause(kind: &str, body: &Value, dates: &mut Dates, left: &mut usize) -> Result<Predicate, String> {
    if kind == "multi_match" {
        return several(object(body, kind)?, dates, left);
    }
    let (field, value) = single(body, kind)?;
    let how = match kind {
        "match_phrase" => How::Phrase,
        "match_phrase_prefix" => How::PhrasePrefix,
        "match_bool_prefix" => How::Prefix,
        _ => How::Words,
    };
    let (written, words) = match value {
        Value::Object(options) => {
            let is_phrase = matches!(how, How::Phrase | How::PhrasePrefix);
            let own: &[&str] = if is_phrase { &["query"] } else { &["query", "operator", "minimum_should_match"] };
            refuse_unknown(options, kind, own)?;
            let query = scalar(options.get("query").ok_or_else(|| format!("`{kind}` wants `query`"))?, kind)?;
            (query, Words::new(options, how)?)
        }
        value => (scalar(value, kind)?, Words { all: false, least: None, how }),
    };
    spend(left, words.cost(&written))?;
    words.of(field, &written, dates, left)
}

fn refuse_unknown(options: &Map<String, Value>, kind: &str, own: &[&str]) -> Result<(), String> {
    let known: Vec<&str> = own.iter().chain(&HARMLESS).copied().chain(["slop", "fuzziness"]).collect();
    only(options, kind, &known)?;
    if whole(options, "slop")?.is_some_and(|slop| slop != 0) {
        return Err(format!("`slop` of `{kind}` is not supported"));
    }
    if options.get("fuzziness").is_some_and(|fuzziness| !matches!(fuzziness.to_string().as_str(), "0" | "\"0\"" | "null")) {
        return Err(format!("`fuzziness` of `{kind}` is not supported"));
    }
    match options.get("zero_terms_query").and_then(Value::as_str) {
        None | Some("none") => Ok(()),
        Some(other) => Err(format!("`zero_terms_query` {other} is not supported")),
    }
}

impl Words {
    fn new(options: &Map<String, Value>, how: How) -> Result<Self, String> {
        let all = match maybe_text(options, "operator")?.map(str::to_ascii_lowercase).as_deref() {
            None | Some("or") => false,
            Some("and") => true,
            Some(other) => return Err(format!("the operator `{other}` is not supported")),
        };
        let least = options.get("minimum_should_match").map(|least| scalar(least, "minimum_should_match")).transpose()?;
        Ok(Self { all, least, how })
    }

    /// What the tests of a field count as.
    fn cost(&self, text: &str) -> usize {
        match self.how {
            How::Phrase => 1,
            How::PhrasePrefix => PATTERN,
            How::Words => leaf::words(text).count(),
            How::Prefix => leaf::words(text).count() + PATTERN,
        }
    }

    /// One test a word.
    fn tests(&self, field: &str, text: &str, dates: &mut Dates) -> Result<Vec<Predicate>, String> {
        match self.how {
            How::Phrase => Ok(vec![leaf::phrase(field, text, dates)?]),
            How::PhrasePrefix => Ok(vec![leaf::phrase_prefix(field, text)]),
            // A whole value is not cut.
            How::Words if super::names::is_keyword(field) => Ok(vec![leaf::phrase(field, text, dates)?]),
            How::Words => leaf::words(text).map(|word| leaf::phrase(field, word, dates)).collect(),
            How::Prefix => {
                let mut words: Vec<&str> = leaf::words(text).collect();
                let last = words.pop();
                let mut tests =
                    words.into_iter().map(|word| leaf::phrase(field, word, dates)).collect::<Result<Vec<_>, _>>()?;
                tests.extend(last.map(|last| leaf::phrase_prefix(field, last)));
                Ok(tests)
            }
        }
    }

    fn join(&self, tests: Vec<Predicate>, left: &mut usize) -> Result<Predicate, String> {
        if tests.is_empty() {
            return Ok(Predicate::none());
        }
        match &self.least {
            _ if self.all => Ok(Predicate::and(tests)),
            None => Ok(Predicate::or(tests)),
            Some(least) => leaf::at_least(leaf::needed(least, tests.len())?.max(1), tests, left),
        }
    }

    fn of(&self, field: &str, text: &str, dates: &mut Dates, left: &mut usize) -> Result<Predicate, String> {
        self.join(self.tests(field, text, dates)?, left)
    }
}

/// `title^3` without what scores want.
pub fn without_boost(field: &str) -> &str {
    field.split_once('^').map_or(field, |(field, _)| field)
}

fn several(body: &Map<String, Value>, dates: &mut Dates, left: &mut usize) -> Result<Predicate, String> {
    refuse_unknown(body, "multi_match", &["query", "fields", "type", "operator", "minimum_should_match"])?;
    let query = scalar(body.get("query").ok_or("`multi_match` wants `query`")?, "multi_match")?;
    let fields: Vec<&str> = match body.get("fields") {
        None => vec!["*"],
        Some(fields) => {
            each(fields).iter().map(|one| text(Some(one), "fields").map(without_boost)).collect::<Result<_, _>>()?
        }
    };
    let kind = maybe_text(body, "type")?.unwrap_or("best_fields");
    let how = match kind {
        "best_fields" | "most_fields" | "cross_fields" => How::Words,
        "phrase" => How::Phrase,
        "phrase_prefix" => How::PhrasePrefix,
        "bool_prefix" => How::Prefix,
        other => return Err(format!("the type `{other}` of `multi_match` is not supported")),
    };
    let words = Words::new(body, how)?;
    spend(left, words.cost(&query).saturating_mul(fields.len()))?;
    if kind == "cross_fields" {
        // Each word in any of the fields.
        let columns = fields.iter().map(|field| words.tests(field, &query, dates)).collect::<Result<Vec<_>, _>>()?;
        let count = columns.first().map_or(0, Vec::len);
        let tests = (0..count).map(|at| Predicate::or(columns.iter().filter_map(|tests| tests.get(at).cloned()).collect()));
        return words.join(tests.collect(), left);
    }
    let any = fields.iter().map(|field| words.of(field, &query, dates, left)).collect::<Result<_, _>>()?;
    Ok(Predicate::or(any))
}
