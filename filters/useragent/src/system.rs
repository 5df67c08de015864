//! The operating system and the device of an agent: what stands in its parentheses.

use crate::agent::{OTHER, Part};
use crate::tokens::{Place, Token, Tokens, numbers};

/// What the items say.
#[derive(Clone, Copy, Debug)]
pub struct System {
    /// Family.
    pub name: Part,
    /// Version.
    pub version: Part,
    /// Device.
    pub device: Part,
    /// A phone or a tablet that says that it is mobile.
    pub is_mobile: bool,
    /// Android, or built upon it.
    pub is_android: bool,
    /// iPhone, iPad, iPod.
    pub is_ios: bool,
    /// BlackBerry's.
    pub is_blackberry: bool,
}

const NONE: Part = Part::Known("");
const PC: Part = Part::Known("PC");
const PHONE: Part = Part::Known("Generic Smartphone");
const TABLET: Part = Part::Known("Generic Tablet");

/// Systems that are named by the beginning of an item or of a product, the version behind it: (beginning, family). Earlier ones
/// come before later ones: a phone of Microsoft's also says Android, and nearly everything says Linux.
const SYSTEMS: [(&[u8], &str); 47] = [
    (b"Windows Phone OS ", "Windows Phone"),
    (b"Windows Phone ", "Windows Phone"),
    (b"KAIOS", "KaiOS"),
    (b"Tizen", "Tizen"),
    (b"Web0S", "webOS"),
    (b"webOS", "webOS"),
    (b"hpwOS", "webOS"),
    (b"OpenHarmony", "HarmonyOS"),
    (b"HarmonyOS", "HarmonyOS"),
    (b"Android", "Android"),
    (b"Adr ", "Android"),
    (b"AppleTV", "tvOS"),
    (b"Apple TV", "tvOS"),
    (b"tvOS", "tvOS"),
    (b"watchOS", "watchOS"),
    (b"iPadOS", "iOS"),
    (b"iPhone OS ", "iOS"),
    (b"CPU iPhone OS ", "iOS"),
    (b"CPU OS ", "iOS"),
    (b"iOS", "iOS"),
    (b"CPU like Mac OS X", "iOS"),
    (b"Intel Mac OS X", "Mac OS X"),
    (b"Intelx64 Mac OS X", "Mac OS X"),
    (b"PPC Mac OS X", "Mac OS X"),
    (b"Mac OS X", "Mac OS X"),
    (b"macOS", "Mac OS X"),
    (b"Mac_PowerPC", "Mac OS"),
    (b"CrOS ", "Chrome OS"),
    (b"BB10", "BlackBerry OS"),
    (b"BlackBerry", "BlackBerry OS"),
    (b"RIM Tablet OS ", "BlackBerry Tablet OS"),
    (b"SymbianOS", "Symbian OS"),
    (b"Symbian", "Symbian OS"),
    (b"Series60", "Symbian OS"),
    (b"Ubuntu", "Ubuntu"),
    (b"Fedora", "Fedora"),
    (b"Debian", "Debian"),
    (b"Linux Mint", "Linux Mint"),
    (b"Red Hat", "Red Hat"),
    (b"CentOS", "CentOS"),
    (b"SUSE", "SUSE"),
    (b"FreeBSD", "FreeBSD"),
    (b"OpenBSD", "OpenBSD"),
    (b"NetBSD", "NetBSD"),
    (b"SunOS", "Solaris"),
    (b"Linux", "Linux"),
    (b"Darwin", "Darwin"),
];

/// Windows as its kernel numbers it: (item, version).
const WINDOWS: [(&[u8], &str); 21] = [
    (b"Windows NT 10.0", "10"),
    (b"Windows NT 6.4", "10"),
    (b"Windows NT 6.3", "8.1"),
    (b"Windows NT 6.2", "8"),
    (b"Windows NT 6.1", "7"),
    (b"Windows NT 6.0", "Vista"),
    (b"Windows NT 5.2", "XP"),
    (b"Windows NT 5.1", "XP"),
    (b"Windows NT 5.0", "2000"),
    (b"Windows NT 4.0", "NT 4.0"),
    (b"Windows NT", "NT"),
    (b"Windows XP", "XP"),
    (b"Windows 2000", "2000"),
    (b"Win 9x 4.90", "ME"),
    (b"Windows ME", "ME"),
    (b"Windows 98", "98"),
    (b"Win98", "98"),
    (b"Windows 95", "95"),
    (b"Win95", "95"),
    (b"Windows CE", "CE"),
    (b"Windows 10", "10"),
];

/// Darwin's major version: (Darwin, iOS, macOS).
const DARWIN: [(i32, &str, &str); 17] = [
    (9, "2", "10.5"),
    (10, "4", "10.6"),
    (11, "5", "10.7"),
    (12, "6", "10.8"),
    (13, "6", "10.9"),
    (14, "7", "10.10"),
    (15, "9", "10.11"),
    (16, "10", "10.12"),
    (17, "11", "10.13"),
    (18, "12", "10.14"),
    (19, "13", "10.15"),
    (20, "14", "11"),
    (21, "15", "12"),
    (22, "16", "13"),
    (23, "17", "14"),
    (24, "18", "15"),
    (25, "26", "26"),
];

/// Reads the items.
pub fn read(tokens: &Tokens<'_>) -> System {
    let mut made = System {
        name: OTHER,
        version: NONE,
        device: OTHER,
        is_mobile: false,
        is_android: false,
        is_ios: false,
        is_blackberry: false,
    };
    let (mut rank, mut build, mut apple) = (usize::MAX, None, None);
    let mut is_tablet = false;
    for token in tokens.all() {
        let name = tokens.at(token.name);
        match name {
            b"Mobile" => made.is_mobile = true,
            b"Tablet" | b"tablet" => is_tablet = true,
            _ => {}
        }
        if token.is_inside {
            apple = apple.or_else(|| apple_device(name));
            if name.ends_with(b" Build") || tokens.at(token.version).ends_with(b" Build") {
                build = Some(token);
            }
        }
        if let Some((at, family, place)) = system_of(tokens, token, name)
            && at < rank
        {
            (rank, made.name) = (at, Part::Known(family));
            made.version = Part::Said(place);
        } else if rank > WINDOWS_RANK && token.is_inside && name.starts_with(b"Win") {
            let known = WINDOWS.iter().find(|(item, _)| name.starts_with(item));
            if known.is_some() || name == b"Windows" {
                made.name = Part::Known("Windows");
                made.version = known.map_or(made.version, |(_, version)| Part::Known(version));
                if known.is_some() {
                    rank = WINDOWS_RANK;
                }
            }
        }
    }
    if build.is_some() && (rank > ANDROID_RANK && made.name == Part::Known("Linux") || made.name == OTHER) {
        // `Linux; U; en-us; KFAPWI Build/JDQ39`
        (made.name, made.version) = (Part::Known("Android"), NONE);
    }
    made.is_android = made.name == Part::Known("Android") || made.name == Part::Known("HarmonyOS");
    if made.name == Part::Known("Darwin") {
        darwin(tokens, &mut made);
    }
    if let Some((_, is_ios)) = apple {
        if is_ios && matches!(made.name, Part::Known("Other" | "Mac OS X" | "Mac OS")) {
            made.name = Part::Known("iOS");
        } else if !is_ios && made.name == OTHER {
            made.name = Part::Known("Mac OS X");
        }
    }
    made.is_ios = made.name == Part::Known("iOS");
    made.is_blackberry = made.name == Part::Known("BlackBerry OS");
    made.is_mobile |= made.is_ios || matches!(made.name, Part::Known("Windows Phone")) || (made.is_android && is_tablet);
    made.device = device(tokens, &made, build, apple.map(|(device, _)| device), is_tablet);
    made
}

/// Between a system that is named and Linux, which everything is.
const WINDOWS_RANK: usize = 28;
const ANDROID_RANK: usize = 10;

fn system_of(tokens: &Tokens<'_>, token: &Token, name: &[u8]) -> Option<(usize, &'static str, Place)> {
    let first = *name.first()?;
    let (at, (prefix, family)) =
        SYSTEMS.iter().enumerate().find(|(_, (prefix, _))| prefix[0] == first && name.starts_with(prefix))?;
    let is_whole = prefix.last().is_some_and(|last| *last == b' ');
    match name.get(prefix.len()) {
        // `Linuxx`, `iOSApp` are something else.
        Some(next) if !is_whole && next.is_ascii_alphabetic() => return None,
        // A product that stands outside must be the system's own name, with a version: `Ubuntu/10.04`.
        _ if !token.is_inside && (name.len() > prefix.len() + 1 && !matches!(*family, "Android" | "iOS")) => return None,
        _ => {}
    }
    let mut place = (token.name.0 + prefix.len(), token.name.1);
    if place.0 >= place.1 {
        place = token.version;
    }
    // `Mac OS X 10_9_1`, `CrOS x86_64 14541.0.0`, `Linux x86_64` (no version)
    if *family == "Linux" {
        place = (0, 0);
    } else if *family == "Chrome OS" {
        let rest = tokens.at(place);
        place.0 += rest.iter().rposition(|byte| *byte == b' ').map_or(0, |space| space + 1);
    }
    while place.0 < place.1 && matches!(tokens.text[place.0], b' ' | b'-' | b'/') {
        place.0 += 1;
    }
    // `Mac OS X Version 10.14.4`
    if tokens.at(place).starts_with(b"Version ") {
        place.0 += b"Version ".len();
    }
    let place = numbers(tokens.text, place);
    Some((at, family, place))
}

/// `Darwin/13.0.0`: from which the system's version follows.
fn darwin(tokens: &Tokens<'_>, made: &mut System) {
    let is_mac = tokens
        .all()
        .iter()
        .any(|token| token.is_inside && matches!(tokens.at(token.name), b"x86_64" | b"i386" | b"Power Macintosh"));
    let digits = made.version.of(tokens.text).iter().take_while(|byte| byte.is_ascii_digit()).take(4);
    let major = digits.fold(0, |sum, byte| sum * 10 + i32::from(byte - b'0'));
    let known = DARWIN.iter().find(|(darwin, ..)| *darwin == major);
    made.name = Part::Known(if is_mac { "Mac OS X" } else { "iOS" });
    made.version = known.map_or(NONE, |(_, ios, mac)| Part::Known(if is_mac { mac } else { ios }));
    made.device = if is_mac { Part::Known("Mac") } else { OTHER };
}

/// Apple's devices, and whether they run iOS.
fn apple_device(item: &[u8]) -> Option<(&'static str, bool)> {
    Some(match item {
        b"iPhone" | b"iPhone Simulator" => ("iPhone", true),
        b"iPad" | b"iPad Simulator" => ("iPad", true),
        b"iPod" | b"iPod touch" => ("iPod", true),
        b"Macintosh" | b"Mac_PowerPC" => ("Mac", false),
        _ if item.starts_with(b"iPhone") && item.get(6).is_some_and(u8::is_ascii_digit) => ("iPhone", true),
        _ if item.starts_with(b"iPad") && item.get(4).is_some_and(u8::is_ascii_digit) => ("iPad", true),
        _ => return None,
    })
}

fn device(tokens: &Tokens<'_>, made: &System, build: Option<&Token>, apple: Option<&'static str>, is_tablet: bool) -> Part {
    let Part::Known(name) = made.name else { return OTHER };
    let generic = || if is_tablet || !made.is_mobile { TABLET } else { PHONE };
    match name {
        "Android" | "HarmonyOS" => model(tokens, build).map_or_else(generic, Part::Said),
        "Windows Phone" => model(tokens, None).map_or(PHONE, Part::Said),
        "iOS" => apple.map_or(made.device, Part::Known),
        "Mac OS X" | "Mac OS" => Part::Known("Mac"),
        "tvOS" => Part::Known("AppleTV"),
        "watchOS" => Part::Known("Apple Watch"),
        "KaiOS" | "Symbian OS" => PHONE,
        "BlackBerry OS" | "BlackBerry Tablet OS" => Part::Known("BlackBerry"),
        _ => console(tokens).unwrap_or(match name {
            "Other" | "Tizen" | "webOS" | "Darwin" => OTHER,
            // A library that merely says where it runs is no one's desk.
            _ if tokens.all().first().is_some_and(|first| matches!(tokens.at(first.name), b"Mozilla" | b"Opera")) => PC,
            _ => OTHER,
        }),
    }
}

/// What plays.
fn console(tokens: &Tokens<'_>) -> Option<Part> {
    let names: [(&[u8], &str); 5] = [
        (b"PlayStation ", "PlayStation"),
        (b"PLAYSTATION ", "PlayStation"),
        (b"Nintendo ", "Nintendo"),
        (b"Xbox", "Xbox"),
        (b"New Nintendo 3DS", "Nintendo"),
    ];
    tokens.all().iter().find_map(|token| {
        let name = tokens.at(token.name);
        let (_, family) = names.iter().find(|(prefix, _)| name.starts_with(prefix))?;
        Some(if name.starts_with(b"P") || name.starts_with(b"Nintendo ") || name.starts_with(b"Xbox ") {
            Part::Said(token.name)
        } else {
            Part::Known(family)
        })
    })
}

/// The model of a phone: what stands before `Build`, else the last item that is nothing else.
fn model(tokens: &Tokens<'_>, build: Option<&Token>) -> Option<Place> {
    let place = match build {
        Some(token) if tokens.at(token.name).ends_with(b" Build") => (token.name.0, token.name.1 - b" Build".len()),
        Some(token) => (token.name.0, token.version.1 - b" Build".len()),
        None => {
            let from = tokens.all().iter().position(|token| {
                let name = tokens.at(token.name);
                token.is_inside && (name.starts_with(b"Android") || name.starts_with(b"Windows Phone"))
            })?;
            let items = tokens.all()[from + 1..].iter().take_while(|token| token.is_inside);
            let last = items.filter(|token| is_model(tokens.at(token.name))).last()?;
            (last.name.0, last.version.1.max(last.name.1))
        }
    };
    let text = tokens.at(place);
    let start = if text.starts_with(b"SAMSUNG ") { 8 } else { 0 };
    let text = text.get(start..)?;
    (!text.is_empty() && text != b"K").then_some((place.0 + start, (place.0 + start + 64).min(place.1)))
}

fn is_model(item: &[u8]) -> bool {
    // `en-us`, `de`: languages.
    let is_language = matches!(item.len(), 2 | 5)
        && item[..2].iter().all(u8::is_ascii_lowercase)
        && matches!(item.get(2), None | Some(b'-' | b'_'));
    let not: [&[u8]; 8] = [b"wv", b"U", b"Mobile", b"Tablet", b"K", b"KHTML, like Gecko", b"ARM", b"Touch"];
    let begins: [&[u8]; 6] = [b"rv:", b"Trident", b"IEMobile", b"Linux", b"Android", b"KHTML"];
    !is_language && !not.contains(&item) && !begins.iter().any(|prefix| item.starts_with(prefix)) && item.len() >= 2
}
