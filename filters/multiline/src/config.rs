//! The filter's configuration.

use sawbox_guest::{Json, field};

/// To which neighbour a line that matches belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The one before.
    Previous,
    /// The one after.
    Next,
}

/// What was configured.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) pattern: String,
    pub(crate) negate: bool,
    pub(crate) what: What,
    pub(crate) key: Vec<String>,
    pub(crate) max_lines: u32,
    pub(crate) max_bytes: usize,
    pub(crate) timeout_ms: u64,
    pub(crate) separator: Vec<u8>,
    pub(crate) tag: String,
}

const KEYS: [&str; 14] = [
    "pattern",
    "negate",
    "what",
    "match",
    "starts",
    "continues",
    "ends",
    "preset",
    "key",
    "max_lines",
    "max_bytes",
    "timeout",
    "separator",
    "tag",
];
/// Fields that receivers and shippers tell a source by.
const SOURCE: [&str; 5] = ["host", "file", "log.file.path", "container.id", "app"];
/// Most fields of a key.
const KEY_FIELDS: usize = 4;
const MAX_BYTES: i64 = 256 * 1024;
const DAY_MS: u64 = 86_400_000;

const JAVA: &str = r"^(?:\s|(?:Caused by|Suppressed|Wrapped by):|\.\.\. \d+ (?:more|common frames)|(?:[A-Za-z_$][\w$]*[./])+[A-Za-z_$][\w$]*(?:Exception|Error|Throwable|Failure|Interrupt)(?::|\s|$))";
const PYTHON: &str = r"^(?:\s|$|Traceback \(most recent call last\):|(?:During handling of the above exception|The above exception was the direct cause)|(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Warning|Exit|Interrupt|Iteration|ExceptionGroup)(?::|$))";
const INDENT: &str = r"^\s";

/// Reads and checks it.
pub(crate) fn settings(config: &Json) -> Result<Settings, String> {
    config.only(&KEYS)?;
    let ways: Vec<&str> =
        ["pattern", "starts", "continues", "ends", "preset"].into_iter().filter(|way| config.get(way).is_some()).collect();
    let [way] = ways[..] else {
        return Err(match ways.is_empty() {
            true => "say which lines belong together: `preset`, `starts`, `continues`, `ends` or `pattern`".to_owned(),
            false => format!("only one of {} can be given", ways.join(", ")),
        });
    };
    if way != "pattern" {
        for only in ["negate", "what", "match"] {
            if config.get(only).is_some() {
                return Err(format!("`{only}` goes with `pattern`; `{way}` says it already"));
            }
        }
    }
    let text = config.str(way)?;
    let (pattern, negate, what) = match way {
        "starts" => (text, true, What::Previous),
        "continues" => (text, false, What::Previous),
        "ends" => (text, true, What::Next),
        "preset" => match text {
            "java" => (JAVA, false, What::Previous),
            "python" => (PYTHON, false, What::Previous),
            "indent" => (INDENT, false, What::Previous),
            other => return Err(format!("there is no preset `{other}`; there is java, python, indent")),
        },
        _ => (text, config.bool_or("negate", false)?, what(config)?),
    };
    let key: Vec<String> = match config.get("key") {
        Some(_) => config.strings("key")?.into_iter().map(field::name).collect::<Result<_, _>>()?,
        None => SOURCE.map(str::to_owned).to_vec(),
    };
    if config.get("key").is_some() && key.len() > KEY_FIELDS {
        return Err(format!("`key` may name at most {KEY_FIELDS} fields"));
    }
    let within = |name: &str, default: i64, least: i64, most: i64| -> Result<i64, String> {
        let value = config.i64_or(name, default)?;
        if (least..=most).contains(&value) { Ok(value) } else { Err(format!("`{name}` must be between {least} and {most}")) }
    };
    let max_lines = within("max_lines", 500, 2, 100_000)?;
    let max_bytes = within("max_bytes", 128 * 1024, 64, MAX_BYTES)?;
    Ok(Settings {
        pattern: pattern.to_owned(),
        negate,
        what,
        key,
        max_lines: u32::try_from(max_lines).unwrap_or(u32::MAX),
        max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
        timeout_ms: timeout(config.get("timeout"))?,
        separator: config.str_or("separator", "\n")?.as_bytes().to_vec(),
        tag: config.str_or("tag", "multiline")?.to_owned(),
    })
}

fn what(config: &Json) -> Result<What, String> {
    let said = match (config.get("what"), config.get("match")) {
        (Some(_), Some(_)) => return Err("`what` (Logstash) and `match` (Filebeat) say the same thing: give one".to_owned()),
        (_, Some(_)) => config.str("match")?,
        (_, None) => config.str_or("what", "previous")?,
    };
    match said {
        "previous" | "after" => Ok(What::Previous),
        "next" | "before" => Ok(What::Next),
        other => Err(format!("`{other}` is no neighbour: `what` is \"previous\" or \"next\", `match` \"after\" or \"before\"")),
    }
}

/// A span of time in milliseconds: a number of seconds, or a number with `ms`, `s`, `m` or `h`.
fn timeout(value: Option<&Json>) -> Result<u64, String> {
    let wrong =
        || "`timeout` must be a number of seconds, or such as \"500ms\", \"5s\", \"2m\", \"1h\"; 1 ms to 24 h".to_owned();
    let ms = match value {
        None => 5000.0,
        Some(Json::Str(text)) => {
            let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let number: f64 = digits.trim().parse().map_err(|_| wrong())?;
            let unit = match &text[digits.len()..] {
                "ms" => 1.0,
                "s" | "" => 1000.0,
                "m" => 60_000.0,
                "h" => 3_600_000.0,
                _ => return Err(wrong()),
            };
            number * unit
        }
        Some(number) => number.as_f64().ok_or_else(wrong)? * 1000.0,
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates, and is checked below
    let ms = ms as u64;
    if (1..=DAY_MS).contains(&ms) { Ok(ms) } else { Err(wrong()) }
}
