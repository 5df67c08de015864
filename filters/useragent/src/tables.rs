//! What names mean: products of browsers and apps, robots that do not call themselves one, libraries with another usual name.
//!
//! Families are spelled as uap-core spells them (that is what Logstash gave), so that searches and dashboards keep working. The
//! tables are our own. Each is sorted by its first column.

/// What a product stands for.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// As agents write it.
    pub token: &'static str,
    /// Of several products the one with the lowest rank is the browser: whoever is built upon another names both.
    pub rank: u8,
    /// Family on a desk.
    pub name: &'static str,
    /// Family on a phone or tablet.
    pub mobile: &'static str,
    /// Product whose version counts, where it is there.
    pub version_of: &'static str,
}

const fn product(token: &'static str, rank: u8, name: &'static str, mobile: &'static str) -> Product {
    Product { token, rank, name, mobile, version_of: "" }
}

const fn versioned(
    token: &'static str,
    rank: u8,
    name: &'static str,
    mobile: &'static str,
    version_of: &'static str,
) -> Product {
    Product { token, rank, name, mobile, version_of }
}

/// Chrome itself: everybody else who names it comes before.
pub const CHROME: &str = "Chrome";
/// Safari itself.
pub const SAFARI: &str = "Safari";

/// Products that are browsers, or apps with a browser inside.
pub const PRODUCTS: [Product; 119] = [
    product("1Password", 40, "1Password", "1Password"),
    product("2345Explorer", 20, "2345Explorer", "2345Explorer"),
    product("360SE", 20, "360 Browser", "360 Browser"),
    product("AlohaBrowser", 20, "Aloha Browser", "Aloha Browser"),
    product("Avant Browser", 20, "Avant", "Avant"),
    product("Avast", 20, "Avast Secure Browser", "Avast Secure Browser"),
    product("BIDUBrowser", 20, "Baidu Browser", "Baidu Browser"),
    product("BlackBerry", 75, "BlackBerry", "BlackBerry"),
    product("BonEcho", 30, "Firefox (BonEcho)", "Firefox (BonEcho)"),
    product("Brave", 20, "Brave", "Brave"),
    product("BrowserNG", 30, "Nokia Browser", "Nokia Browser"),
    product("BytedanceWebview", 10, "TikTok", "TikTok"),
    product("Camino", 30, "Camino", "Camino"),
    product(CHROME, 60, "Chrome", "Chrome Mobile"),
    product("Chromium", 50, "Chromium", "Chromium"),
    product("CriOS", 50, "Chrome Mobile iOS", "Chrome Mobile iOS"),
    product("Cypress", 15, "Cypress", "Cypress"),
    product("Dillo", 30, "Dillo", "Dillo"),
    product("DolphinBrowserCN", 20, "Dolphin", "Dolphin"),
    product("Dooble", 20, "Dooble", "Dooble"),
    product("DuckDuckGo", 20, "DuckDuckGo", "DuckDuckGo Mobile"),
    product("ELinks", 30, "ELinks", "ELinks"),
    product("Ecosia", 20, "Ecosia", "Ecosia"),
    product("Edg", 20, "Edge", "Edge Mobile"),
    product("EdgA", 20, "Edge Mobile", "Edge Mobile"),
    product("Edge", 20, "Edge", "Edge Mobile"),
    product("EdgiOS", 20, "Edge Mobile", "Edge Mobile"),
    product("Electron", 25, "Electron", "Electron"),
    product("Epiphany", 30, "Epiphany", "Epiphany"),
    product("FBAV", 10, "Facebook", "Facebook"),
    product("FBIOS", 11, "Facebook", "Facebook"),
    product("Falkon", 20, "Falkon", "Falkon"),
    product("Firebird", 30, "Firebird", "Firebird"),
    product("Firefox", 55, "Firefox", "Firefox Mobile"),
    product("Flock", 30, "Flock", "Flock"),
    product("Focus", 30, "Firefox Focus", "Firefox Focus"),
    product("FxiOS", 50, "Firefox iOS", "Firefox iOS"),
    product("GSA", 20, "Google", "Google"),
    product("Galeon", 30, "Galeon", "Galeon"),
    product("GranParadiso", 30, "Firefox", "Firefox"),
    product("HeadlessChrome", 20, "HeadlessChrome", "HeadlessChrome"),
    product("HeyTapBrowser", 20, "HeyTapBrowser", "HeyTapBrowser"),
    product("HuaweiBrowser", 20, "Huawei Browser", "Huawei Browser"),
    product("IBrowse", 30, "IBrowse", "IBrowse"),
    product("IEMobile", 55, "IE Mobile", "IE Mobile"),
    product("IceCat", 30, "IceCat", "IceCat"),
    product("IceDragon", 30, "IceDragon", "IceDragon"),
    product("Iceape", 30, "Iceape", "Iceape"),
    product("Iceweasel", 30, "Iceweasel", "Iceweasel"),
    product("Instagram", 10, "Instagram", "Instagram"),
    product("Iron", 20, "Iron", "Iron"),
    product("Jasmine", 30, "Jasmine", "Jasmine"),
    product("K-Meleon", 30, "K-Meleon", "K-Meleon"),
    product("K-Ninja", 30, "K-Ninja", "K-Ninja"),
    product("KAKAOTALK", 10, "KakaoTalk", "KakaoTalk"),
    product("Klar", 30, "Firefox Klar", "Firefox Klar"),
    product("Konqueror", 30, "Konqueror", "Konqueror"),
    product("LBBROWSER", 20, "LBBROWSER", "LBBROWSER"),
    product("Line", 10, "LINE", "LINE"),
    product("LinkedInApp", 10, "LinkedIn", "LinkedIn"),
    product("Links", 30, "Links", "Links"),
    product("Lynx", 30, "Lynx", "Lynx"),
    product("MQQBrowser", 20, "QQ Browser Mobile", "QQ Browser Mobile"),
    product("Maxthon", 20, "Maxthon", "Maxthon"),
    product("MicroMessenger", 10, "WeChat", "WeChat"),
    product("Midori", 30, "Midori", "Midori"),
    product("Minefield", 30, "Firefox (Minefield)", "Firefox (Minefield)"),
    product("MiuiBrowser", 20, "MiuiBrowser", "MiuiBrowser"),
    product("NAVER", 10, "NAVER", "NAVER"),
    product("Namoroka", 30, "Firefox (Namoroka)", "Firefox (Namoroka)"),
    product("Navigator", 30, "Netscape", "Netscape"),
    product("NetFront", 30, "NetFront", "NetFront"),
    product("Netscape", 30, "Netscape", "Netscape"),
    product("NintendoBrowser", 20, "NintendoBrowser", "NintendoBrowser"),
    product("NokiaBrowser", 30, "Nokia Browser", "Nokia Browser"),
    product("OPR", 20, "Opera", "Opera Mobile"),
    product("OPT", 20, "Opera Touch", "Opera Touch"),
    product("OPX", 20, "Opera GX", "Opera GX"),
    product("OPiOS", 20, "Opera Mini", "Opera Mini"),
    product("Obigo", 30, "Obigo", "Obigo"),
    product("OculusBrowser", 20, "Oculus Browser", "Oculus Browser"),
    product("OmniWeb", 30, "OmniWeb", "OmniWeb"),
    versioned("Opera", 40, "Opera", "Opera Mobile", "Version"),
    product("Opera Mini", 20, "Opera Mini", "Opera Mini"),
    versioned("Opera Mobi", 20, "Opera Mobile", "Opera Mobile", "Version"),
    versioned("Opera Tablet", 20, "Opera Tablet", "Opera Tablet", "Version"),
    product("PaleMoon", 20, "Pale Moon", "Pale Moon"),
    product("PhantomJS", 20, "PhantomJS", "PhantomJS"),
    product("Phoenix", 30, "Phoenix", "Phoenix"),
    product("Pinterest", 10, "Pinterest", "Pinterest"),
    product("Puffin", 20, "Puffin", "Puffin"),
    product("QQBrowser", 21, "QQ Browser", "QQ Browser Mobile"),
    product("QtWebEngine", 25, "QtWebEngine", "QtWebEngine"),
    product("QupZilla", 20, "QupZilla", "QupZilla"),
    versioned(SAFARI, 80, "Safari", "Mobile Safari", "Version"),
    product("SamsungBrowser", 20, "Samsung Internet", "Samsung Internet"),
    product("SeaMonkey", 30, "SeaMonkey", "SeaMonkey"),
    product("Shiretoko", 30, "Firefox (Shiretoko)", "Firefox (Shiretoko)"),
    product("Silk", 20, "Amazon Silk", "Amazon Silk"),
    product("Slack_SSB", 15, "Slack Desktop Client", "Slack Desktop Client"),
    product("Snapchat", 10, "Snapchat", "Snapchat"),
    product("Sunrise", 30, "Sunrise", "Sunrise"),
    product("Teams", 15, "Microsoft Teams", "Microsoft Teams"),
    product("Thunderbird", 30, "Thunderbird", "Thunderbird"),
    product("UBrowser", 20, "UC Browser", "UC Browser"),
    product("UCBrowser", 20, "UC Browser", "UC Browser"),
    product("UCWEB", 22, "UC Browser", "UC Browser"),
    product("Vivaldi", 20, "Vivaldi", "Vivaldi"),
    product("VivoBrowser", 20, "VivoBrowser", "VivoBrowser"),
    product("Waterfox", 20, "Waterfox", "Waterfox"),
    product("Whale", 20, "Whale", "Whale"),
    product("YaBrowser", 20, "Yandex Browser", "Yandex Browser"),
    product("aiohttp", 50, "aiohttp", "aiohttp"),
    product("coc_coc_browser", 20, "Coc Coc", "Coc Coc"),
    product("conkeror", 30, "Conkeror", "Conkeror"),
    product("iCab", 30, "iCab", "iCab"),
    product("musical_ly", 10, "TikTok", "TikTok"),
    product("rekonq", 30, "Rekonq", "Rekonq"),
    product("w3m", 30, "w3m", "w3m"),
];

/// Robots whose names do not say so, and those that are known by another name.
pub const ROBOTS: [(&str, &str); 41] = [
    ("APIs-Google", "APIs-Google"),
    ("AdsBot-Google", "AdsBot-Google"),
    ("BingPreview", "BingPreview"),
    ("Bloglines", "Bloglines"),
    ("ChatGPT-User", "ChatGPT-User"),
    ("Chrome-Lighthouse", "Chrome-Lighthouse"),
    ("Claude-User", "Claude-User"),
    ("Claude-Web", "Claude-Web"),
    ("CloudFlare-AlwaysOnline", "CloudFlare-AlwaysOnline"),
    ("DatadogSynthetics", "DatadogSynthetics"),
    ("Ezooms", "Ezooms"),
    ("FeedBurner", "FeedBurner"),
    ("Feedfetcher-Google", "Feedfetcher-Google"),
    ("Feedly", "Feedly"),
    ("Google favicon", "Google Favicon"),
    ("Google-Extended", "Google-Extended"),
    ("Google-InspectionTool", "Google-InspectionTool"),
    ("Google-Read-Aloud", "Google-Read-Aloud"),
    ("Google-Site-Verification", "Google-Site-Verification"),
    ("GoogleOther", "GoogleOther"),
    ("HubSpot", "HubSpot"),
    ("Mediapartners-Google", "Mediapartners-Google"),
    ("NewRelicPinger", "NewRelicPinger"),
    ("Nutch", "Nutch"),
    ("Perplexity-User", "Perplexity-User"),
    ("Pingdom", "Pingdom"),
    ("Qwantify", "Qwantify"),
    ("Site24x7", "Site24x7"),
    ("SkypeUriPreview", "SkypeUriPreview"),
    ("StatusCake", "StatusCake"),
    ("W3C_Validator", "W3C_Validator"),
    ("WhatsApp", "WhatsApp"),
    ("Yahoo! Slurp", "Yahoo! Slurp"),
    ("YandexImages", "YandexImages"),
    ("YandexMetrika", "YandexMetrika"),
    ("anthropic-ai", "anthropic-ai"),
    ("facebookcatalog", "FacebookBot"),
    ("facebookexternalhit", "FacebookBot"),
    ("ia_archiver", "ia_archiver"),
    ("meta-externalagent", "meta-externalagent"),
    ("proximic", "proximic"),
];

/// Libraries and tools that are known by another name than the one they send.
pub const LIBRARIES: [(&str, &str); 5] = [
    ("Python-urllib", "Python-urllib"),
    ("axios", "axios"),
    ("python-httpx", "Python HTTPX"),
    ("python-requests", "Python Requests"),
    ("python-urllib3", "Python-urllib3"),
];

/// What a product is, if it is one of these.
pub fn product_of(name: &[u8]) -> Option<&'static Product> {
    let at = PRODUCTS.binary_search_by(|product| product.token.as_bytes().cmp(name)).ok()?;
    PRODUCTS.get(at)
}

/// What a name stands for in a table of two columns.
pub fn find(table: &'static [(&str, &str)], name: &[u8]) -> Option<&'static str> {
    let at = table.binary_search_by(|(known, _)| known.as_bytes().cmp(name)).ok()?;
    table.get(at).map(|(_, family)| *family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_or_nothing_would_be_found() {
        assert!(PRODUCTS.is_sorted_by(|a, b| a.token < b.token));
        assert!(ROBOTS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(LIBRARIES.is_sorted_by(|a, b| a.0 < b.0));
    }
}
