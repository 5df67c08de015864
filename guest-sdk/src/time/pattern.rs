//! Format strings, compiled: Joda's letters and strftime's directives, to one list of items.

/// A number of a date or time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Year,
    /// Two digits mean the year within 80 before and 19 after the record's arrival.
    ShortYear,
    /// The year that an ISO week belongs to.
    WeekYear,
    Week,
    /// 1 is Monday.
    DayOfWeek,
    Month,
    Day,
    DayOfYear,
    /// 0 to 23.
    Hour,
    /// 1 to 24.
    Hour1,
    /// 0 to 11.
    HalfHour,
    /// 1 to 12.
    HalfHour1,
    Minute,
    Second,
    /// Since 1970.
    EpochSecond,
}

/// A piece of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// As it stands.
    Text(Vec<u8>),
    /// One or more.
    Space,
    /// Read with `least` to `most` digits, written with at least `width`; `pad` may stand in for leading zeros.
    Number {
        part: Part,
        most: usize,
        width: u32,
        pad: bool,
    },
    /// Its name, in full where the flag says so.
    Month(bool),
    Weekday(bool),
    /// AM, PM.
    Half,
    /// Digits of a second: at most so many.
    Fraction(usize),
    /// The same behind a dot, or nothing.
    DotFraction(usize),
    /// With a colon, where the flag says so.
    Offset(bool),
    /// `Europe/Berlin`, `CET` or an offset.
    Zone,
}

fn number(part: Part, most: usize, width: usize) -> Item {
    Item::Number { part, most, width: u32::try_from(width).unwrap_or(1), pad: false }
}

/// Puts text at the end; spaces are items of their own.
fn text(items: &mut Vec<Item>, character: char) {
    if character == ' ' {
        if items.last() != Some(&Item::Space) {
            items.push(Item::Space);
        }
        return;
    }
    let mut utf8 = [0; 4];
    let bytes = character.encode_utf8(&mut utf8).as_bytes();
    match items.last_mut() {
        Some(Item::Text(text)) => text.extend_from_slice(bytes),
        _ => items.push(Item::Text(bytes.to_vec())),
    }
}

/// Joda's pattern letters.
pub(super) fn joda(pattern: &str) -> Result<Vec<Item>, String> {
    let letters: Vec<char> = pattern.chars().collect();
    let mut items = Vec::new();
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        if letter == '\'' {
            at = quoted(&letters, at + 1, &mut items)?;
            continue;
        }
        if !letter.is_ascii_alphabetic() {
            text(&mut items, letter);
            at += 1;
            continue;
        }
        let count = letters[at..].iter().take_while(|other| **other == letter).count();
        at += count;
        let is_numeric = |letter: &char| "yYuxwedDHkKhmsSMC".contains(*letter);
        // A number that another one follows has exactly as many digits as letters.
        let is_tight = letters.get(at).is_some_and(|next| {
            let run = letters[at..].iter().take_while(|other| *other == next).count();
            is_numeric(next) && !(*next == 'M' && run > 2)
        });
        let most = |usual: usize| if is_tight { count } else { count.max(usual) };
        items.push(match letter {
            'y' | 'Y' | 'u' if count == 2 => number(Part::ShortYear, if is_tight { 2 } else { 9 }, 2),
            'y' | 'Y' | 'u' => number(Part::Year, if is_tight { count } else { 9 }, count),
            'x' => number(Part::WeekYear, if is_tight { count } else { 9 }, count),
            'w' => number(Part::Week, most(2), count),
            'e' => number(Part::DayOfWeek, 1, count),
            'E' => Item::Weekday(count > 3),
            'M' | 'L' if count > 2 => Item::Month(count > 3),
            'M' | 'L' => number(Part::Month, most(2), count),
            'd' => number(Part::Day, most(2), count),
            'D' => number(Part::DayOfYear, most(3), count),
            'H' => number(Part::Hour, most(2), count),
            'k' => number(Part::Hour1, most(2), count),
            'K' => number(Part::HalfHour, most(2), count),
            'h' => number(Part::HalfHour1, most(2), count),
            'm' => number(Part::Minute, most(2), count),
            's' => number(Part::Second, most(2), count),
            'S' | 'n' => Item::Fraction(count),
            'a' => Item::Half,
            'Z' if count > 2 => Item::Zone,
            'Z' | 'X' => Item::Offset(count == 2 || letter == 'X' && count > 2),
            'z' | 'V' => Item::Zone,
            'G' | 'C' => return Err(format!("`{letter}` (era, century) is not supported")),
            other => return Err(format!("`{other}` is no letter of a format; text goes between single quotes, like 'T'")),
        });
    }
    Ok(items)
}

/// Text up to the closing quote; two quotes are one. Gives where it goes on.
fn quoted(letters: &[char], mut at: usize, items: &mut Vec<Item>) -> Result<usize, String> {
    if letters.get(at) == Some(&'\'') {
        text(items, '\'');
        return Ok(at + 1);
    }
    loop {
        match letters.get(at) {
            None => return Err("a single quote is not closed".into()),
            Some('\'') if letters.get(at + 1) == Some(&'\'') => {
                text(items, '\'');
                at += 2;
            }
            Some('\'') => return Ok(at + 1),
            Some(letter) => {
                text(items, *letter);
                at += 1;
            }
        }
    }
}

/// The directives of `strftime`, in the C locale.
pub(super) fn strftime(pattern: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    directives(pattern, &mut items)?;
    Ok(items)
}

fn directives(pattern: &str, items: &mut Vec<Item>) -> Result<(), String> {
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text(items, letter);
            continue;
        }
        let rest = letters.as_str();
        // chrono's and Ruby's widths of fractions: %3f, %.6f, %3N.
        for (prefix, digits, is_dotted) in [
            (".3f", 3, true),
            (".6f", 6, true),
            (".9f", 9, true),
            (".f", 9, true),
            ("3f", 3, false),
            ("6f", 6, false),
            ("9f", 9, false),
            ("3N", 3, false),
            ("6N", 6, false),
            ("9N", 9, false),
        ] {
            if let Some(behind) = rest.strip_prefix(prefix) {
                letters = behind.chars();
                items.push(if is_dotted { Item::DotFraction(digits) } else { Item::Fraction(digits) });
                break;
            }
        }
        if letters.as_str() != rest {
            continue;
        }
        let mut letter = letters.next().ok_or("it ends with `%`")?;
        // Flags of padding change only what is written; reading takes what is there.
        let flag = matches!(letter, '-' | '_' | '0' | ':' | 'E' | 'O').then_some(letter);
        if flag.is_some() {
            letter = letters.next().ok_or("it ends within a directive")?;
        }
        let padded = |part, most, width: u32| {
            let width = if flag == Some('-') { 1 } else { width };
            Item::Number { part, most, width, pad: flag == Some('_') }
        };
        items.push(match letter {
            'Y' => padded(Part::Year, 4, 4),
            'y' => padded(Part::ShortYear, 2, 2),
            'G' => padded(Part::WeekYear, 4, 4),
            'V' => padded(Part::Week, 2, 2),
            'u' => padded(Part::DayOfWeek, 1, 1),
            'm' => padded(Part::Month, 2, 2),
            'd' => padded(Part::Day, 2, 2),
            'e' => Item::Number { part: Part::Day, most: 2, width: 2, pad: true },
            'j' => padded(Part::DayOfYear, 3, 3),
            'H' => padded(Part::Hour, 2, 2),
            'k' => Item::Number { part: Part::Hour, most: 2, width: 2, pad: true },
            'I' => padded(Part::HalfHour1, 2, 2),
            'l' => Item::Number { part: Part::HalfHour1, most: 2, width: 2, pad: true },
            'M' => padded(Part::Minute, 2, 2),
            'S' => padded(Part::Second, 2, 2),
            's' => number(Part::EpochSecond, 18, 1),
            'f' => Item::Fraction(9),
            'N' => Item::Fraction(9),
            'L' => Item::Fraction(3),
            'b' | 'h' => Item::Month(false),
            'B' => Item::Month(true),
            'a' => Item::Weekday(false),
            'A' => Item::Weekday(true),
            'p' | 'P' => Item::Half,
            'z' => Item::Offset(flag == Some(':')),
            'Z' => Item::Zone,
            'n' | 't' => Item::Space,
            '%' => {
                text(items, '%');
                continue;
            }
            'T' | 'X' => return directives(&format!("%H:%M:%S{}", letters.as_str()), items),
            'R' => return directives(&format!("%H:%M{}", letters.as_str()), items),
            'D' | 'x' => return directives(&format!("%m/%d/%y{}", letters.as_str()), items),
            'F' => return directives(&format!("%Y-%m-%d{}", letters.as_str()), items),
            'r' => return directives(&format!("%I:%M:%S %p{}", letters.as_str()), items),
            'c' => return directives(&format!("%a %b %e %H:%M:%S %Y{}", letters.as_str()), items),
            other => return Err(format!("`%{other}` is no directive that is supported")),
        });
    }
    Ok(())
}
