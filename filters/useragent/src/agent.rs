//! Who an agent is: browser or robot or library, operating system, device.
//!
//! From tokens and tables, no regular expression: a few hundred nanoseconds. What nothing is known of is `Other`, as uap-core says.

use crate::system;
use crate::tables::{self, CHROME, LIBRARIES, Product, ROBOTS, SAFARI};
use crate::tokens::{Place, Token, Tokens, numbers};

/// A family: one that the tables know, or a part of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Known.
    Known(&'static str),
    /// As the agent says it.
    Said(Place),
}

impl Part {
    /// Its bytes.
    pub fn of<'a>(&self, agent: &'a [u8]) -> &'a [u8] {
        match *self {
            Part::Known(text) => text.as_bytes(),
            Part::Said((start, end)) => agent.get(start..end).unwrap_or(&[]),
        }
    }
}

/// Nothing is known.
pub const OTHER: Part = Part::Known("Other");
/// The device of a robot.
const SPIDER: Part = Part::Known("Spider");

/// What an agent says. Versions may have `_` for `.`, and are empty where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Browser, robot or library.
    pub name: Part,
    /// Its version.
    pub version: Part,
    /// Operating system.
    pub os: Part,
    /// Its version.
    pub os_version: Part,
    /// Device.
    pub device: Part,
}

/// Reads an agent.
pub fn parse(text: &[u8]) -> Agent {
    let tokens = Tokens::new(text);
    let system = system::read(&tokens);
    let (os, os_version) = (system.name, system.version);
    if let Some((name, version)) = robot(&tokens) {
        return Agent { name, version, os, os_version, device: SPIDER };
    }
    let (name, version) = browser(&tokens, &system).or_else(|| lead(&tokens)).unwrap_or((OTHER, Part::Known("")));
    let device = if name == OTHER && tokens.has_address && system.device == OTHER { SPIDER } else { system.device };
    Agent { name, version, os, os_version, device }
}

fn version(tokens: &Tokens<'_>, place: Place) -> Part {
    Part::Said(numbers(tokens.text, place))
}

/// A robot: one of the table, or whoever calls itself bot, crawler or spider.
fn robot(tokens: &Tokens<'_>) -> Option<(Part, Part)> {
    let known = tokens.all().iter().find_map(|token| {
        let name = tokens.at(token.name);
        // `Google favicon` is two products; the first one tells.
        let family = tables::find(&ROBOTS, name)?;
        Some((Part::Known(family), version(tokens, token.version)))
    });
    known.or_else(|| {
        let token = tokens.all().iter().find(|token| is_robot(tokens.at(token.name)))?;
        Some((Part::Said(name_of(tokens, token)), version(tokens, token.version)))
    })
}

/// The words a robot is known by. `CUBOT` is a maker of telephones; a build is never a robot.
fn is_robot(name: &[u8]) -> bool {
    let has = |at: usize, word: &[u8]| name.get(at..at + word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word));
    // `Abbott`, `Bottle`: a short word goes on. `Googlebot-Image`, `bot2`: it does not.
    let ends = |at: usize| !name.get(at).is_some_and(u8::is_ascii_lowercase);
    let is_at = |at: usize| match name[at] | 0x20 {
        b'b' => has(at, b"bot") && ends(at + 3),
        b'c' => has(at, b"crawl"),
        b'f' => has(at, b"fetcher") || has(at, b"feedparser"),
        b's' => has(at, b"spider") || has(at, b"slurp"),
        _ => false,
    };
    (0..name.len()).any(is_at) && !has(0, b"cubot") && !name.ends_with(b" Build")
}

/// A robot's name: `Sogou web spider` is one, though its words are three products.
fn name_of(tokens: &Tokens<'_>, token: &Token) -> Place {
    let first = tokens.all().first().map_or(token, |first| first);
    let words = tokens.text.get(first.name.0..token.name.1).unwrap_or(&[]);
    let is_phrase = !token.is_inside
        && words.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-' | b'_' | b'.' | b'!'));
    let (start, end) = if is_phrase { (first.name.0, token.name.1) } else { token.name };
    (start, end.min(start + 64))
}

/// The product that comes first in rank.
fn browser(tokens: &Tokens<'_>, system: &system::System) -> Option<(Part, Part)> {
    let mut best: Option<(&Product, &Token)> = None;
    for token in tokens.all() {
        if let Some(product) = tables::product_of(tokens.at(token.name))
            && best.is_none_or(|(other, _)| product.rank < other.rank)
        {
            best = Some((product, token));
        }
    }
    let explorer = || explorer(tokens).map(|place| (Part::Known("IE"), version(tokens, place)));
    let Some((product, token)) =
        best.filter(|(product, _)| product.rank < 60).or_else(|| if explorer().is_some() { None } else { best })
    else {
        return explorer().or_else(|| embedded(tokens, system));
    };
    let has_version = tokens.find(b"Version");
    let other = (!product.version_of.is_empty()).then(|| tokens.find(product.version_of.as_bytes())).flatten();
    let mut place = other.unwrap_or(token).version;
    let mut name = if system.is_mobile { product.mobile } else { product.name };
    if product.token == CHROME && system.is_android {
        // Whoever says `Version` before `Chrome` is the system's own view of pages.
        let is_view = has_version.is_some() || tokens.find(b"wv").is_some();
        name = if is_view {
            "Chrome Mobile WebView"
        } else if system.is_mobile {
            "Chrome Mobile"
        } else {
            "Chrome"
        };
    } else if product.token == "Opera" && tokens.find(b"Opera Mini").is_some() {
        name = "Opera Mini";
    } else if product.token == SAFARI {
        if system.is_android {
            name = "Android";
        } else if system.is_blackberry {
            name = "BlackBerry WebKit";
        } else if has_version.is_none() {
            if tokens.find(b"AppleWebKit").is_none() && tokens.find(b"CFNetwork").is_none() {
                return lead(tokens);
            }
            // The number behind `Safari` is the engine's.
            place = if tokens.find(b"CFNetwork").is_some() { place } else { (0, 0) };
        }
    } else if product.token == "Firefox" && tokens.find(b"Chrome").is_some() {
        name = "Chrome";
    }
    Some((Part::Known(name), version(tokens, place)))
}

/// Internet Explorer's version: `MSIE 9.0`, or `Trident` with `rv:11.0`.
fn explorer(tokens: &Tokens<'_>) -> Option<Place> {
    let of = |prefix: &[u8]| {
        let token = tokens.all().iter().find(|token| tokens.at(token.name).starts_with(prefix))?;
        Some((token.name.0 + prefix.len(), token.name.1))
    };
    of(b"MSIE ").or_else(|| tokens.find(b"Trident").and_then(|_| of(b"rv:")))
}

/// Pages within an app of Apple's systems, which name no browser.
fn embedded(tokens: &Tokens<'_>, system: &system::System) -> Option<(Part, Part)> {
    tokens.find(b"AppleWebKit")?;
    if system.is_ios {
        return Some((Part::Known("Mobile Safari UI/WKWebView"), system.version));
    }
    (system.name == Part::Known("Mac OS X")).then_some((Part::Known("Apple Mail"), Part::Known("")))
}

/// Whoever is none of these: the product in front, or the one behind `compatible`.
fn lead(tokens: &Tokens<'_>) -> Option<(Part, Part)> {
    let first = tokens.all().first().filter(|first| !first.is_inside)?;
    let name = tokens.at(first.name);
    if name == b"Mozilla" {
        let at = tokens.all().iter().position(|token| tokens.at(token.name) == b"compatible")?;
        let has_both = |token: &&Token| token.name.0 < token.name.1 && token.version.0 < token.version.1;
        let token = tokens.all().get(at + 1).filter(has_both)?;
        return Some((Part::Said(token.name), version(tokens, token.version)));
    }
    if let Some(family) = tables::find(&LIBRARIES, name) {
        return Some((Part::Known(family), version(tokens, first.version)));
    }
    // `Tiny Tiny RSS/1.11`: words up to the first that has a version.
    let named = tokens.all().iter().take(5).take_while(|token| !token.is_inside);
    let last = named.clone().find(|token| token.version.0 < token.version.1).or_else(|| named.last()).unwrap_or(first);
    let (start, mut end) = (first.name.0, last.name.1.max(first.name.0));
    // `Feedbin - 1 subscribers`
    while end > start && !tokens.text[end - 1].is_ascii_alphanumeric() {
        end -= 1;
    }
    let said = tokens.text.get(start..end).unwrap_or(&[]);
    let is_name = said.iter().any(u8::is_ascii_alphabetic)
        && said.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        && said.len() <= 64;
    let is_odd = said.contains(&b'\\') || said.contains(&b'=') || said.contains(&b'%') || said.contains(&b'<');
    (is_name && !is_odd).then(|| (Part::Said((start, end)), version(tokens, last.version)))
}
