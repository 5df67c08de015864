//! A web shop that never was: Apache access lines that look like a day's, for `demo`, `bench` and tests.
//!
//! Six apps on four servers each stand behind a load balancer that asks every server for `/f5.txt`. Visitors come with an address
//! and an agent, walk from page to page, buy now and then; crawlers walk faster; one app stumbles at times and answers 503 for
//! some seconds. Lines are in the extended combined format: the combined fields, then `seconds/milliseconds` of the request.
//!
//! The same seed and the same times give the same lines. About a million lines a second and core, so that a benchmark measures
//! the box and not this.

use std::fmt::Write as _;

/// The apps, most visited first.
pub const APPS: [&str; 6] = ["shop", "media", "search", "api", "checkout", "account"];
/// Servers of each app: `<app>-1` to `<app>-4`.
pub const SERVERS: usize = 4;
/// Most visitors at a time.
const VISITORS: usize = 2_000;

const AGENTS: [&str; 10] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
    "Mozilla/5.0 (iPad; CPU OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "shop-app/7.4.1 (Android 16; de_DE)",
];
const GOODS: [&str; 24] = [
    "kettle",
    "teapot",
    "lantern",
    "hammock",
    "raincoat",
    "backpack",
    "compass",
    "thermos",
    "notebook",
    "fountain-pen",
    "desk-lamp",
    "bookshelf",
    "coffee-grinder",
    "frying-pan",
    "chef-knife",
    "cutting-board",
    "wool-blanket",
    "sleeping-bag",
    "bicycle-bell",
    "headlamp",
    "water-bottle",
    "hiking-boots",
    "wool-socks",
    "pocket-knife",
];
const SHELVES: [&str; 8] = ["kitchen", "outdoor", "office", "bedroom", "cycling", "travel", "garden", "sale"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// One request, as a server logged it.
#[derive(Debug)]
pub struct Request<'a> {
    /// The app: one of [`APPS`].
    pub app: &'static str,
    /// The server: `<app>-<1..=4>`.
    pub server: &'a str,
    /// The access line, without its end.
    pub line: &'a str,
}

#[derive(Clone, Debug)]
struct Visitor {
    address: [u8; 4],
    agent: usize,
    user: Option<u32>,
    page: String,
}

/// The shop.
#[derive(Debug)]
pub struct Shop {
    rng: fastrand::Rng,
    visitors: Vec<Visitor>,
    servers: Vec<String>,
    /// The app that stumbles, and until when.
    trouble: Option<(usize, i64)>,
    second: i64,
    stamp: String,
    path: String,
    line: String,
}

impl Shop {
    /// A shop whose day goes as the seed says.
    pub fn new(seed: u64) -> Self {
        let servers = APPS.iter().flat_map(|app| (1..=SERVERS).map(move |n| format!("{app}-{n}"))).collect();
        Self {
            rng: fastrand::Rng::with_seed(seed),
            visitors: Vec::new(),
            servers,
            trouble: None,
            second: i64::MIN,
            stamp: String::new(),
            path: String::new(),
            line: String::new(),
        }
    }

    /// The next request, logged at this time (milliseconds since 1970; should not go back).
    pub fn request(&mut self, unix_ms: i64) -> Request<'_> {
        let second = unix_ms.div_euclid(1000);
        if second != self.second {
            self.second = second;
            self.stamp = stamp(second);
            self.stumble(second);
        }
        let app = self.app();
        let server = app * SERVERS + self.rng.usize(..SERVERS);
        self.line.clear();
        // The load balancer asks every server every few seconds: about one line in fifty.
        if self.rng.u8(..) < 5 {
            let stamp = &self.stamp;
            let balancer = self.rng.u8(2..4);
            let _ = write!(
                self.line,
                "10.0.0.{balancer} - - [{stamp}] \"GET /f5.txt HTTP/1.0\" 200 3 \"-\" \"-\" 0/{}",
                self.rng.u8(..3)
            );
        } else {
            self.visit(app);
        }
        Request { app: APPS[app], server: &self.servers[server], line: &self.line }
    }

    fn app(&mut self) -> usize {
        match self.rng.u8(..100) {
            0..42 => 0,
            42..62 => 1,
            62..76 => 2,
            76..89 => 3,
            89..95 => 4,
            _ => 5,
        }
    }

    fn stumble(&mut self, second: i64) {
        match self.trouble {
            Some((_, until)) if until <= second => self.trouble = None,
            None if self.rng.u32(..40) == 0 => self.trouble = Some((self.rng.usize(..APPS.len()), second + self.rng.i64(2..9))),
            _ => {}
        }
    }

    fn visit(&mut self, app: usize) {
        let who = self.visitor();
        self.path.clear();
        let verb = walk(&mut self.rng, app, &mut self.path);
        let in_trouble = self.trouble.is_some_and(|(trouble, _)| trouble == app);
        let status = if in_trouble && self.rng.u8(..10) < 6 { 503 } else { status(&mut self.rng, app, verb) };
        let bytes = match status {
            304 | 204 => 0,
            503 => 299,
            301 | 302 => 240 + self.rng.u32(..80),
            404 => 1_150 + self.rng.u32(..60),
            _ if app == 1 => 4_000 + self.rng.u32(..900_000),
            _ => 800 + self.rng.u32(..48_000),
        };
        let ms = match (app, status) {
            (_, 503) => 5_000 + self.rng.u32(..25_000),
            (1, _) => self.rng.u32(..40),
            (4, _) => 120 + self.rng.u32(..1_800),
            _ => 4 + self.rng.u32(..20) * self.rng.u32(1..40),
        };
        let visitor = &mut self.visitors[who];
        let [a, b, c, d] = visitor.address;
        let (stamp, path) = (&self.stamp, &self.path);
        // Writing to a String can't fail.
        let _ = write!(self.line, "{a}.{b}.{c}.{d} - ");
        let _ = match visitor.user {
            Some(user) => write!(self.line, "user{user}"),
            None => write!(self.line, "-"),
        };
        let _ = write!(self.line, " [{stamp}] \"{verb} {path} HTTP/1.1\" {status} ");
        let _ = if bytes == 0 { write!(self.line, "-") } else { write!(self.line, "{bytes}") };
        let referrer = if visitor.page.is_empty() { "-" } else { visitor.page.as_str() };
        let _ = write!(self.line, " \"{referrer}\" \"{}\" {}/{ms}", AGENTS[visitor.agent], ms / 1000);
        if app != 1 {
            visitor.page.clear();
            let _ = write!(visitor.page, "https://www.shop.example{path}");
        }
    }

    /// Somebody who is here, or who comes in now.
    fn visitor(&mut self) -> usize {
        let fresh = self.visitors.len() < VISITORS && self.rng.u8(..100) < 30;
        if fresh || self.visitors.is_empty() || self.rng.u8(..100) < 3 {
            let visitor = Visitor {
                address: [self.rng.u8(11..224), self.rng.u8(..), self.rng.u8(..), self.rng.u8(1..255)],
                agent: self.rng.usize(..AGENTS.len()),
                user: (self.rng.u8(..100) < 15).then(|| self.rng.u32(1000..60_000)),
                page: String::new(),
            };
            if self.visitors.len() < VISITORS {
                self.visitors.push(visitor);
                return self.visitors.len() - 1;
            }
            let leaves = self.rng.usize(..VISITORS);
            self.visitors[leaves] = visitor;
            return leaves;
        }
        // A few visitors make most of the requests.
        let n = self.visitors.len();
        self.rng.usize(..n).min(self.rng.usize(..n))
    }
}

fn walk(rng: &mut fastrand::Rng, app: usize, path: &mut String) -> &'static str {
    let goods = GOODS[rng.usize(..GOODS.len())];
    let number = rng.u32(1..900);
    // Writing to a String can't fail.
    let (verb, _) = match app {
        0 => match rng.u8(..10) {
            0 => ("GET", write!(path, "/")),
            1..4 => ("GET", write!(path, "/shelf/{}?page={}", SHELVES[rng.usize(..SHELVES.len())], rng.u8(1..9))),
            4..9 => ("GET", write!(path, "/goods/{goods}-{number}")),
            _ => ("GET", write!(path, "/static/app-{:x}.js", rng.u16(..40))),
        },
        1 => ("GET", write!(path, "/images/{goods}-{number}-{}.webp", ["s", "m", "l"][rng.usize(..3)])),
        2 => ("GET", write!(path, "/search?q={goods}&sort={}", ["price", "new", "best"][rng.usize(..3)])),
        3 => match rng.u8(..10) {
            0..7 => ("GET", write!(path, "/api/v2/stock/{goods}-{number}")),
            7..9 => ("POST", write!(path, "/api/v2/events")),
            _ => ("PUT", write!(path, "/api/v2/cart/{:08x}", rng.u32(..))),
        },
        4 => match rng.u8(..3) {
            0 => ("GET", write!(path, "/cart")),
            1 => ("POST", write!(path, "/cart/add/{goods}-{number}")),
            _ => ("POST", write!(path, "/checkout/pay")),
        },
        _ => match rng.u8(..3) {
            0 => ("GET", write!(path, "/account/orders")),
            1 => ("POST", write!(path, "/account/login")),
            _ => ("GET", write!(path, "/account/orders/{}", rng.u32(100_000..999_999))),
        },
    };
    verb
}

fn status(rng: &mut fastrand::Rng, app: usize, verb: &str) -> u16 {
    match rng.u16(..1000) {
        0..2 => 500,
        2..5 => 499,
        5..25 => 404,
        25..40 if app == 5 => 401,
        25..55 => 302,
        55..60 => 301,
        60..200 if verb == "GET" && app < 2 => 304,
        60..100 if verb == "POST" => 201,
        _ => 200,
    }
}

/// `21/Nov/2026:08:15:00 +0000`, by the civil-from-days rule of the proleptic Gregorian calendar.
fn stamp(unix_seconds: i64) -> String {
    let days = unix_seconds.div_euclid(86_400);
    let of_day = unix_seconds.rem_euclid(86_400);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = year_of_era + era * 400 + i64::from(month < 2);
    let name = MONTHS[usize::try_from(month).unwrap_or(0)];
    format!("{day:02}/{name}/{year}:{:02}:{:02}:{:02} +0000", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_apaches() {
        assert_eq!(stamp(1_431_857_103), "17/May/2015:10:05:03 +0000");
        assert_eq!(stamp(951_782_400), "29/Feb/2000:00:00:00 +0000");
        assert_eq!(stamp(1_795_219_199), "20/Nov/2026:23:59:59 +0000");
    }

    #[test]
    fn the_same_seed_gives_the_same_day_and_every_kind_of_line() {
        let (mut one, mut two) = (Shop::new(7), Shop::new(7));
        let (mut health, mut unavailable, mut bytes) = (0, 0, 0);
        for n in 0..200_000_i64 {
            let ms = 1_795_000_000_000 + n;
            let line = one.request(ms).line.to_owned();
            assert_eq!(line, two.request(ms).line);
            health += i32::from(line.contains("/f5.txt"));
            unavailable += i32::from(line.contains(" 503 "));
            bytes += line.len();
        }
        assert!((2_000..8_000).contains(&health), "{health} health checks");
        assert!((500..30_000).contains(&unavailable), "{unavailable} times unavailable");
        assert!((200..300).contains(&(bytes / 200_000)), "{} bytes a line", bytes / 200_000);
    }
}
