// Believable rows for the mock: an access log of three days, a shop's application log, and a few dead letters.
// The same seed gives the same rows; only the time they end at moves.

let seed = 20150517;
function random() {
  seed = (seed + 0x6d2b79f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
}
const pick = (list) => list[Math.floor(random() ** 1.6 * list.length)];
const weighted = (pairs) => {
  let at = random() * pairs.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [value, weight] of pairs) if ((at -= weight) < 0) return value;
  return pairs[0][0];
};

const CLIENTS = ['66.249.73.135', '46.105.14.53', '130.237.218.86', '75.97.9.59', '50.16.19.13', '209.85.238.199', '68.180.224.225', '100.43.83.137', '208.115.111.72', '198.46.149.143', '83.149.9.216', '24.236.252.67', '93.114.45.13', '2001:db8::51:7'];
const PATHS = ['/favicon.ico', '/style2.css', '/reset.css', '/images/jordan-80.png', '/images/web/2009/banner.png', '/blog/tags/puppet?flav=rss20', '/projects/xdotool/', '/', '/robots.txt', '/blog/geekery/ssl-latency.html', '/cart/checkout', '/api/orders', '/search?q=band+saw', '/item/48213', '/presentations/monitoring-2013/images/search.png', '/f5.txt'];
const AGENTS = ['Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0.1700.107 Safari/537.36', 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0.1700.77 Safari/537.36', 'UniversalFeedParser/4.2-pre-314-svn +http://feedparser.org/', 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)', 'Mozilla/5.0 (X11; Linux x86_64; rv:27.0) Gecko/20100101 Firefox/27.0', 'curl/7.35.0'];
const REFERRERS = ['-', '-', 'http://www.example.org/', 'http://semicomplete.example/presentations/monitoring-2013/', 'https://www.google.com/'];
const HOSTS = ['web1', 'web2', 'web3'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const two = (number) => String(number).padStart(2, '0');

export function accessRow(ms, offset) {
  const verb = weighted([['GET', 950], ['POST', 38], ['HEAD', 10], ['OPTIONS', 1]]);
  const request = pick(PATHS);
  const response = weighted([[200, 880], [304, 44], [404, 32], [301, 18], [206, 8], [500, 4], [503, 6], [403, 3], [416, 1]]);
  const bytes = response === 304 ? undefined : Math.floor(120 + random() ** 4 * 220_000);
  const clientip = pick(CLIENTS);
  const agent = pick(AGENTS);
  const referrer = pick(REFERRERS);
  const date = new Date(ms);
  const stamp = `${two(date.getUTCDate())}/${MONTHS[date.getUTCMonth()]}/${date.getUTCFullYear()}:${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} +0000`;
  return {
    _time: date.toISOString(), _topic: 'web', _partition: offset % 2, _offset: Math.floor(offset / 2), _n: 0, _generation: 3,
    message: `${clientip} - - [${stamp}] "${verb} ${request} HTTP/1.1" ${response} ${bytes ?? '-'} "${referrer}" "${agent}"`,
    clientip, verb, request, httpversion: '1.1', response, ...(bytes === undefined ? {} : { bytes }), ...(referrer === '-' ? {} : { referrer }), agent,
    app: 'shop', host: HOSTS[offset % 3], took_ms: Math.floor(4 + random() ** 3 * 900),
    ...(response === 503 ? { tags: ['zabbix-sender'] } : {}),
  };
}

const SHOP = [
  ['info', 'order placed', { order: 918230, 'basket.items': 3, 'basket.total': 59.9 }],
  ['info', 'payment accepted', { provider: 'sepa', took_ms: 182 }],
  ['warn', 'payment provider slow, connection reset, trying again', { provider: 'card', took_ms: 4100, attempt: 2 }],
  ['error', 'could not reserve stock\n  at Stock.reserve (stock.js:88)\n  at Order.place (order.js:41)', { order: 918231, retryable: true }],
];
export function shopRow(ms, offset) {
  const [level, message, more] = pick(SHOP);
  return { _time: new Date(ms).toISOString(), _topic: 'shop', _partition: 0, _offset: offset, _n: 0, _generation: 1, message, level, ...more, trace_id: Math.floor(random() * 1e15).toString(16), user_id: `u-${Math.floor(random() * 400)}` };
}

/** All rows, newest first. */
export function makeRows(total, now = Date.now()) {
  const times = [];
  for (let at = 0; at < total; at++) {
    // Busy by day, quiet by night, and half of it in the last two hours so that a short look has something to see.
    const back = random() < 0.5 ? random() * 2 * 36e5 : random() * 72 * 36e5;
    const hour = new Date(now - back).getUTCHours();
    if (random() > 0.35 + 0.65 * Math.sin((hour / 24) * Math.PI) && back > 36e5) continue;
    times.push(now - back);
  }
  times.sort((a, b) => a - b);
  const rows = times.map((ms, at) => (at % 12 === 7 ? shopRow(ms, Math.floor(at / 12)) : accessRow(ms, at)));
  return rows.reverse();
}
