//! Reads `aggs`.

use serde_json::{Map, Value};

use super::figures::Figure;
use super::format::Format;
use super::keyed::Keyed;
use super::pipeline::{Pipeline, in_order};
use super::split::Split;
use super::{Agg, DEPTH, Kind, MOST};
use crate::base::row::TIME;
use crate::web::elastic::dsl::names::field_name;
use crate::web::elastic::dsl::read::{maybe_text, object, text};

/// What all of a request share.
#[derive(Debug)]
pub struct Reader {
    /// What `now` means.
    pub now_ns: i64,
    left: usize,
}

/// Where an aggregation stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// How deep.
    pub depth: usize,
    /// Whether it is in several buckets, for which pipelines can be.
    pub in_buckets: bool,
    /// Whether one above counts by time.
    pub in_dates: bool,
}

/// Understands `aggs`.
///
/// # Errors
/// What is not supported, by name.
pub fn parse(aggs: &Value, now_ns: i64) -> Result<Vec<Agg>, String> {
    let mut reader = Reader { now_ns, left: MOST };
    reader.level(aggs, Place { depth: 0, in_buckets: false, in_dates: false })
}

impl Reader {
    fn level(&mut self, aggs: &Value, place: Place) -> Result<Vec<Agg>, String> {
        if place.depth >= DEPTH {
            return Err(format!("aggregations nest at most {DEPTH} deep"));
        }
        let level = object(aggs, "aggs")?.iter().map(|(name, body)| self.agg(name, object(body, name)?, place));
        in_order(level.collect::<Result<_, _>>()?)
    }

    fn agg(&mut self, name: &str, body: &Map<String, Value>, place: Place) -> Result<Agg, String> {
        self.left = self.left.checked_sub(1).ok_or_else(|| format!("at most {MOST} aggregations"))?;
        if name.is_empty() || name.contains(['[', ']', '>']) {
            return Err(format!("`{name}` is no name of an aggregation: `[`, `]` and `>` have a meaning in paths"));
        }
        let mut kinds = body.iter().filter(|(word, _)| !matches!(word.as_str(), "aggs" | "aggregations" | "meta"));
        let (Some((word, own)), None) = (kinds.next(), kinds.next()) else {
            return Err(format!("`{name}` is one aggregation, and what is in it"));
        };
        let own = object(own, word)?;
        let kind =
            self.kind(word, own, place).map_err(|why| if why.contains('`') { why } else { format!("`{word}`: {why}") })?;
        let inner = Place {
            depth: place.depth + 1,
            in_buckets: kind.is_multiple(),
            in_dates: place.in_dates || matches!(&kind, Kind::Keyed(keyed) if keyed.dates().is_some()),
        };
        let inside = match body.get("aggs").or_else(|| body.get("aggregations")) {
            Some(inside) => self.level(inside, inner)?,
            None => Vec::new(),
        };
        if let Kind::Keyed(Keyed::Terms(terms)) = &kind {
            terms.check_order(name, &inside)?;
        }
        if matches!(kind, Kind::Figure(_) | Kind::Pipeline(_)) && !inside.is_empty() {
            return Err(format!("`{name}` is a figure and holds no aggregations"));
        }
        let format = match &kind {
            Kind::Figure(figure) => self.format(own, Some(figure.is_of_time()))?,
            Kind::Pipeline(_) => self.format(own, None)?,
            Kind::Keyed(_) | Kind::Split(_) => None,
        };
        Ok(Agg { name: name.to_owned(), kind, inside, meta: body.get("meta").cloned(), format })
    }

    fn format(&self, body: &Map<String, Value>, is_date: Option<bool>) -> Result<Option<Format>, String> {
        let pattern = maybe_text(body, "format")?.filter(|pattern| !pattern.is_empty());
        pattern.map(|pattern| Format::read(pattern, is_date, self.now_ns)).transpose()
    }

    fn kind(&mut self, word: &str, body: &Map<String, Value>, place: Place) -> Result<Kind, String> {
        if let Some(keyed) = Keyed::read(word, body, self.now_ns, place)? {
            return Ok(Kind::Keyed(keyed));
        }
        if let Some(split) = Split::read(word, body, self.now_ns, place)? {
            return Ok(Kind::Split(split));
        }
        if let Some(figure) = Figure::read(word, body, self.now_ns, place)? {
            return Ok(Kind::Figure(figure));
        }
        if let Some(pipeline) = Pipeline::read(word, body, place)? {
            return Ok(Kind::Pipeline(pipeline));
        }
        Err(format!("the aggregation `{word}` is not supported"))
    }
}

impl Kind {
    /// Whether it makes a list of buckets.
    pub(super) fn is_multiple(&self) -> bool {
        match self {
            Self::Keyed(_) => true,
            Self::Split(split) => split.is_multiple(),
            Self::Figure(_) | Self::Pipeline(_) => false,
        }
    }
}

/// The field that an aggregation is about.
pub fn field(word: &str, body: &Map<String, Value>) -> Result<String, String> {
    if body.get("script").is_some_and(|script| !script.is_null() && script.as_str() != Some("")) {
        return Err(format!("`script` of `{word}` is not supported"));
    }
    let field = text(body.get("field"), "field").map_err(|_| format!("`{word}` wants `field`"))?;
    Ok(match field_name(field) {
        // Every row has one, and a time.
        "_id" if word == "value_count" => TIME.to_owned(),
        "_id" | "_seq_no" => return Err(format!("`{word}` of `{field}` is not supported: it is no field of the rows")),
        name => name.to_owned(),
    })
}
