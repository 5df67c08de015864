//! Units of the calendar in a time zone: where one begins, and where the next ones do. Instants are nanoseconds since 1970.
//!
//! Nothing here overflows or panics: what lies beyond the years that nanoseconds can count stays at their ends.

use sawbox_guest::time::{Zone, date_of, days_since_1970};

/// Nanoseconds of a second.
pub const SECOND: i64 = 1_000_000_000;
/// The years that an instant can be in.
const YEARS: (i64, i64) = (1678, 2261);

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day of the calendar.
    Day,
    /// From Monday on.
    Week,
    /// A month.
    Month,
    /// Three months.
    Quarter,
    /// A year.
    Year,
}

impl Unit {
    /// By the letter of date maths: `y M w d h H m s`.
    pub fn of_letter(letter: char) -> Option<Self> {
        Some(match letter {
            'y' => Self::Year,
            'M' => Self::Month,
            'w' => Self::Week,
            'd' => Self::Day,
            'h' | 'H' => Self::Hour,
            'm' => Self::Minute,
            's' => Self::Second,
            _ => return None,
        })
    }

    /// By the words of `calendar_interval`.
    pub fn of_interval(text: &str) -> Option<Self> {
        Some(match text {
            "second" | "1s" => Self::Second,
            "minute" | "1m" => Self::Minute,
            "hour" | "1h" => Self::Hour,
            "day" | "1d" => Self::Day,
            "week" | "1w" => Self::Week,
            "month" | "1M" => Self::Month,
            "quarter" | "1q" => Self::Quarter,
            "year" | "1y" => Self::Year,
            _ => return None,
        })
    }

    /// Nanoseconds, of those that clocks do not change.
    pub fn fixed(self) -> Option<i64> {
        Some(match self {
            Self::Second => SECOND,
            Self::Minute => 60 * SECOND,
            Self::Hour => 3600 * SECOND,
            _ => return None,
        })
    }

    /// About how long one is, in nanoseconds.
    pub fn length(self) -> i64 {
        const DAY: i64 = 86_400 * SECOND;
        match self {
            Self::Second => SECOND,
            Self::Minute => 60 * SECOND,
            Self::Hour => 3600 * SECOND,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::Month => 30 * DAY,
            Self::Quarter => 91 * DAY,
            Self::Year => 365 * DAY,
        }
    }

    /// Where the one that an instant is in begins.
    pub fn floor(self, ns: i64, zone: &mut Zone) -> i64 {
        let utc = ns.div_euclid(SECOND);
        let offset = zone.offset_at(utc);
        let local = utc + offset;
        if let Some(fixed) = self.fixed() {
            let seconds = fixed / SECOND;
            return (local.div_euclid(seconds) * seconds - offset).saturating_mul(SECOND);
        }
        midnight(self.first_day(local.div_euclid(86_400)), zone)
    }

    /// Where the one after that which an instant is in begins. Dates count, not the time of day at which this one began: where clocks
    /// skip midnight it is another.
    pub fn next(self, ns: i64, zone: &mut Zone) -> i64 {
        if let Some(fixed) = self.fixed() {
            return self.floor(ns, zone).saturating_add(fixed);
        }
        let utc = ns.div_euclid(SECOND);
        let day = (utc + zone.offset_at(utc)).div_euclid(86_400);
        midnight(self.later_day(self.first_day(day), 1), zone)
    }

    /// So many units later, at the same time of day; the last day of a month where there is no such day.
    pub fn add(self, ns: i64, count: i64, zone: &mut Zone) -> i64 {
        if let Some(fixed) = self.fixed() {
            return ns.saturating_add(fixed.saturating_mul(count));
        }
        let utc = ns.div_euclid(SECOND);
        let local = utc + zone.offset_at(utc);
        // More than there are days between the first year and the last.
        let day = self.later_day(local.div_euclid(86_400), count.clamp(-300_000, 300_000));
        let bounds = (days_since_1970(YEARS.0, 1, 1), days_since_1970(YEARS.1, 12, 31));
        let utc = zone.utc_of(day.clamp(bounds.0, bounds.1) * 86_400 + local.rem_euclid(86_400));
        utc.saturating_mul(SECOND).saturating_add(ns.rem_euclid(SECOND))
    }

    /// With which day the one that a day is in begins. Days are counted from 1970 on.
    fn first_day(self, day: i64) -> i64 {
        let (year, month, _) = date_of(day);
        match self {
            // 1970 began on a Thursday.
            Self::Week => day - (day + 3).rem_euclid(7),
            Self::Month => days_since_1970(year, month, 1),
            Self::Quarter => days_since_1970(year, (month - 1) / 3 * 3 + 1, 1),
            Self::Year => days_since_1970(year, 1, 1),
            _ => day,
        }
    }

    fn later_day(self, day: i64, count: i64) -> i64 {
        let months = match self {
            Self::Month => count,
            Self::Quarter => count * 3,
            Self::Year => count * 12,
            Self::Week => return day + count * 7,
            _ => return day + count,
        };
        let (year, month, of_month) = date_of(day);
        let index = year * 12 + month - 1 + months;
        let (year, month) = (index.div_euclid(12), index.rem_euclid(12) + 1);
        days_since_1970(year, month, of_month.min(sawbox_guest::time::days_of_month(month, year)))
    }
}

/// When a day begins; where clocks skip midnight, at what they show instead.
fn midnight(day: i64, zone: &mut Zone) -> i64 {
    zone.utc_of(day * 86_400).saturating_mul(SECOND)
}

/// `2015-05-17T10:05:03.000Z`, or with the zone's offset in place of `Z`: three digits of a second, or as many as it has.
pub fn iso(ns: i64, zone: &mut Zone, nanoseconds: bool) -> String {
    let utc = ns.div_euclid(SECOND);
    let offset = zone.offset_at(utc);
    let now = sawbox_guest::time::Civil::of(utc + offset, ns.rem_euclid(SECOND));
    let mut text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}",
        now.year,
        now.month,
        now.day,
        now.hour,
        now.minute,
        now.second,
        now.nanosecond / 1_000_000
    );
    if nanoseconds && now.nanosecond % 1_000_000 != 0 {
        let rest = format!("{:06}", now.nanosecond % 1_000_000);
        text.push_str(rest.strip_suffix("000").unwrap_or(&rest));
    }
    if offset == 0 {
        text.push('Z');
    } else {
        let sign = if offset < 0 { '-' } else { '+' };
        text.push_str(&format!("{sign}{:02}:{:02}", offset.abs() / 3600, offset.abs() / 60 % 60));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time;

    fn ns(text: &str) -> i64 {
        time::parse(text).unwrap()
    }

    #[test]
    fn units_begin_where_the_zone_says() {
        let mut berlin = Zone::by_name("Europe/Berlin").unwrap();
        let at = ns("2026-03-29T12:34:56.789+02:00");
        for (unit, floor, next) in [
            (Unit::Minute, "2026-03-29T12:34:00+02:00", "2026-03-29T12:35:00+02:00"),
            (Unit::Hour, "2026-03-29T12:00:00+02:00", "2026-03-29T13:00:00+02:00"),
            // The night the clocks went forward: the day has 23 hours.
            (Unit::Day, "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
            (Unit::Week, "2026-03-23T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
            (Unit::Month, "2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00"),
            (Unit::Quarter, "2026-01-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00"),
            (Unit::Year, "2026-01-01T00:00:00+01:00", "2027-01-01T00:00:00+01:00"),
        ] {
            let begun = unit.floor(at, &mut berlin);
            assert_eq!((begun, unit.next(at, &mut berlin)), (ns(floor), ns(next)), "{unit:?}");
            assert_eq!(unit.next(begun, &mut berlin), ns(next), "{unit:?}");
        }
        assert_eq!(Unit::Month.add(ns("2026-01-31T10:00:00Z"), 1, &mut Zone::utc()), ns("2026-02-28T10:00:00Z"));
    }

    #[test]
    fn a_skipped_midnight_shifts_nothing_behind_it() {
        for (zone, unit, starts) in [
            (
                "Africa/Cairo",
                Unit::Day,
                [
                    "2024-04-25T00:00:00+02:00",
                    "2024-04-26T01:00:00+03:00",
                    "2024-04-27T00:00:00+03:00",
                    "2024-04-28T00:00:00+03:00",
                ],
            ),
            (
                "America/Santiago",
                Unit::Week,
                [
                    "2024-08-26T00:00:00-04:00",
                    "2024-09-02T00:00:00-04:00",
                    "2024-09-09T00:00:00-03:00",
                    "2024-09-16T00:00:00-03:00",
                ],
            ),
            (
                "America/Sao_Paulo",
                Unit::Day,
                [
                    "2018-11-03T00:00:00-03:00",
                    "2018-11-04T01:00:00-02:00",
                    "2018-11-05T00:00:00-02:00",
                    "2018-11-06T00:00:00-02:00",
                ],
            ),
            // Midnight of the 18th is skipped back and forth: the 17th has 25 hours.
            (
                "America/Sao_Paulo",
                Unit::Day,
                [
                    "2018-02-16T00:00:00-02:00",
                    "2018-02-17T00:00:00-02:00",
                    "2018-02-18T00:00:00-03:00",
                    "2018-02-19T00:00:00-03:00",
                ],
            ),
            (
                "Australia/Lord_Howe",
                Unit::Month,
                [
                    "1981-02-01T00:00:00+10:00",
                    "1981-03-01T00:30:00+10:30",
                    "1981-04-01T00:00:00+10:30",
                    "1981-05-01T00:00:00+10:30",
                ],
            ),
            // The 30th was left out.
            (
                "Pacific/Apia",
                Unit::Day,
                [
                    "2011-12-28T00:00:00-10:00",
                    "2011-12-29T00:00:00-10:00",
                    "2011-12-31T00:00:00+14:00",
                    "2012-01-01T00:00:00+14:00",
                ],
            ),
        ] {
            let mut zone = Zone::by_name(zone).unwrap();
            for (at, next) in starts.iter().zip(&starts[1..]) {
                assert_eq!(unit.next(ns(at), &mut zone), ns(next), "{at}");
                assert_eq!(unit.floor(ns(next) - 1, &mut zone), ns(at), "{next}");
            }
        }
    }

    #[test]
    fn times_are_written_with_their_offset() {
        assert_eq!(iso(ns("2015-05-17T10:05:03Z"), &mut Zone::utc(), false), "2015-05-17T10:05:03.000Z");
        let mut berlin = Zone::by_name("Europe/Berlin").unwrap();
        assert_eq!(iso(ns("2015-05-17T10:05:03.1234Z"), &mut berlin, true), "2015-05-17T12:05:03.123400+02:00");
    }

    proptest::proptest! {
        #[test]
        fn no_instant_is_too_far_away(ns in proptest::num::i64::ANY, count in proptest::num::i64::ANY, unit in 0usize..8) {
            let units = [Unit::Second, Unit::Minute, Unit::Hour, Unit::Day, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year];
            let mut zone = Zone::by_name("America/New_York").unwrap();
            let unit = units[unit];
            unit.add(unit.floor(ns, &mut zone), count, &mut zone);
            unit.next(ns, &mut zone);
            iso(ns, &mut zone, true);
        }
    }
}
