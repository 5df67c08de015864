// The page in a real browser: `node tests/browser/page.mjs [BASE_URL]`, exit code 0 when everything holds.
//
// BASE_URL is a box that holds access-log rows in topic `web` (fields clientip, verb, request, response, bytes, agent …), of any
// time; without it the page's own mock is started. What the page shows is compared with what the API says, asked from here.
// `CHROMIUM` names the browser, `SHOTS` a folder for pictures, `EXPECT_ROWS` the exact number of rows in `web`.

import { strict as assert } from 'node:assert';
import { readFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';

const ARGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'];
const WEB = '_topic:web';
const PATIENCE_MS = 15_000;
/** A trial in a slow build, on a busy machine. */
const TRIAL_MS = 90_000;
/** A box that has nothing to say of its dead letters answers with 404. */
const NO_DEAD = [/404 \(/];

let server = null;
let base = process.argv[2];
if (!base) {
  const { mock } = await import('../../src/web/ui/dev/mock.mjs');
  server = mock(6_000, { flowing: false });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  base = `http://127.0.0.1:${server.address().port}`;
}
base = base.replace(/\/+$/, '');

const address = (params) => `${base}/?${new URLSearchParams(params)}`;
async function api(path, params) {
  const response = await fetch(`${base}/api/v1/${path}?${new URLSearchParams(params)}`);
  return { status: response.status, text: await response.text() };
}
const apiJson = async (path, params) => JSON.parse((await api(path, params)).text);
const apiTotal = async (q) => (await apiJson('histogram', { q, buckets: 10 })).total;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGS });
const complaints = [];
let allowed = [];

async function open(params, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, colorScheme: 'light', ...options });
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: base }).catch(() => {});
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on('pageerror', (error) => complaints.push(`exception: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error' && !allowed.some((pattern) => pattern.test(message.text()))) complaints.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(base) && !/^(data|blob):/.test(request.url())) complaints.push(`foreign request: ${request.url()}`);
  });
  await page.goto(address(params));
  return page;
}
const settled = (page) => page.waitForFunction(() => document.querySelector('[data-total]') && !document.querySelector('.toolbar .spinner') && !document.querySelector('.stale'));
const shownTotal = async (page) => {
  await settled(page);
  return Number(await page.locator('[data-total]').getAttribute('data-total'));
};
async function searchFor(page, text) {
  await page.locator('#query').fill(text);
  await page.locator('#query').press('Enter');
  await page.waitForFunction((q) => (new URLSearchParams(location.search).get('q') ?? '') === q, text);
}
const picture = async (page, name) => {
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}.png` });
};
const until = async (what, test) => {
  for (const end = Date.now() + PATIENCE_MS; ; ) {
    if (await test()) return;
    assert.ok(Date.now() < end, `in vain waited for: ${what}`);
    await new Promise((next) => setTimeout(next, 50));
  }
};

const tests = {
  async 'rows, total and chart agree with the API'() {
    const page = await open({ q: WEB, last: 'all' });
    const total = await shownTotal(page);
    assert.equal(total, await apiTotal(WEB));
    if (process.env.EXPECT_ROWS) assert.equal(total, Number(process.env.EXPECT_ROWS));
    assert.ok(total > 1_000, `only ${total} rows`);
    const first = JSON.parse((await api('query', { q: WEB, limit: 1 })).text.split('\n')[0]);
    await page.waitForSelector('.row');
    const line = await page.locator('.row .row-text').first().innerText();
    assert.ok(line.includes(first.message.slice(0, 40)), `first row is ${line}`);
    const inPage = await page.locator('.row').count();
    assert.ok(inPage >= 15 && inPage < 120, `${inPage} rows are in the page; only those in view should be`);
    assert.ok(Number(await page.locator('[data-bars]').getAttribute('data-bars')) > 5, 'bars');
    const painted = await page.evaluate(() => {
      const canvas = document.querySelector('.chart canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const bar = getComputedStyle(document.documentElement).getPropertyValue('--bar').trim();
      const want = [1, 3, 5].map((at) => parseInt(bar.slice(at, at + 2), 16));
      let hits = 0;
      for (let at = 0; at < data.length; at += 4) if (want.every((value, part) => Math.abs(data[at + part] - value) < 6) && data[at + 3] > 200) hits++;
      return hits;
    });
    assert.ok(painted > 200, `the chart has ${painted} pixels of bars`);
    await picture(page, 'search-light');
    return page;
  },

  async 'a search keeps matching rows, lives in the address, and back goes back'() {
    const page = await open({ q: WEB, last: 'all' });
    const before = await shownTotal(page);
    const q = `${WEB} verb:POST`;
    await searchFor(page, q);
    const total = await shownTotal(page);
    assert.equal(total, await apiTotal(q));
    assert.ok(total > 0 && total < before);
    for (const text of await page.locator('.row .row-text').allInnerTexts()) assert.match(text, /POST/);
    assert.ok((await page.locator('.row mark').count()) > 0, 'the word is marked');
    await page.goBack();
    await until('the first query again', async () => (await shownTotal(page)) === before);
    assert.equal(await page.locator('#query').inputValue(), WEB);
    return page;
  },

  async 'a row opens to its fields, its lineage and its JSON'() {
    const page = await open({ q: `${WEB} verb:GET response:200`, last: 'all' });
    await settled(page);
    await page.locator('.row').first().click();
    const detail = page.locator('[data-detail]').first();
    await detail.waitFor();
    const first = JSON.parse((await api('query', { q: `${WEB} verb:GET response:200`, limit: 1 })).text.split('\n')[0]);
    for (const name of ['clientip', 'verb', 'request', 'response', 'agent']) {
      assert.equal((await detail.locator(`tr[data-field="${name}"] .value`).innerText()).trim(), String(first[name]), name);
    }
    const lineage = (name) => detail.locator(`[data-lineage-value="${name}"]`).innerText();
    assert.equal(await lineage('topic'), first._topic);
    assert.equal(await lineage('partition'), String(first._partition));
    assert.equal(await lineage('offset'), String(first._offset));
    assert.equal(await lineage('n'), String(first._n));
    assert.equal(await lineage('generation'), String(first._generation));
    await detail.getByRole('button', { name: 'Copy JSON' }).click();
    await page.getByText('JSON copied').waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText().catch(() => null));
    if (copied !== null) assert.equal(JSON.parse(copied)._offset, first._offset);
    await picture(page, 'row-open');
    await detail.getByRole('button', { name: 'Rows around this one' }).click();
    await detail.locator('[data-around] li.own').waitFor();
    const around = await apiJson('context', { topic: first._topic, partition: first._partition, offset: first._offset, n: first._n, before: 5, after: 5 });
    assert.equal(await detail.locator('[data-around] li').count(), around.before.length + 1 + around.after.length);
    await detail.locator('[data-around] button', { hasText: 'More' }).click();
    await page.waitForFunction((count) => document.querySelectorAll('[data-around] li').length > count, around.before.length + 1 + around.after.length);
    await picture(page, 'rows-around');
    return page;
  },

  async 'top values of a field, and only this, and not this'() {
    const page = await open({ q: WEB, last: 'all' });
    const total = await shownTotal(page);
    await page.locator('[data-field-item="response"] .field-button').click();
    const top = page.locator('[data-field-item="response"] .top');
    await top.locator('li').first().waitFor();
    const said = await apiJson('top', { q: WEB, field: 'response', limit: 8 });
    assert.deepEqual(await top.locator('.top-value').allInnerTexts(), said.values.map(({ value }) => String(value)));
    assert.equal((await top.locator('.top-count').first().innerText()).replace(/,/g, ''), String(said.values[0].count));
    const widths = await top.locator('.bar i').evaluateAll((bars) => bars.map((bar) => bar.getBoundingClientRect().width));
    assert.ok(widths[0] > widths.at(-1), 'bars show the counts');
    await picture(page, 'top-values');
    const value = said.values[1].value;
    await top.locator('li').nth(1).hover();
    await top.locator('li').nth(1).getByRole('button', { name: /^Show only/ }).click();
    await until('the narrower total', async () => (await shownTotal(page)) === said.values[1].count);
    assert.match(await page.locator('#query').inputValue(), new RegExp(`response:=?"?${value}`));
    await page.locator('.row').first().click();
    const row = page.locator('[data-detail] tr[data-field="response"]').first();
    await row.getByRole('button', { name: 'Leave this value out' }).click();
    await until('the rest', async () => (await shownTotal(page)) === total - said.values[1].count);
    await page.locator('.row').first().click();
    await page.locator('[data-detail] tr[data-field="verb"]').first().getByRole('button', { name: 'Top values' }).click();
    await page.locator('[data-detail] [data-top="verb"] li').first().waitFor();
    return page;
  },

  async 'stats are a table whose figures add up'() {
    const page = await open({ q: `${WEB} verb:* | stats count() by verb | sort -count()`, last: 'all' });
    const table = page.locator('[data-stats] table');
    await table.waitFor();
    const cells = await table.locator('tbody tr').evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText.trim())));
    const heads = await table.locator('thead th').allInnerTexts();
    const at = heads.findIndex((name) => name.startsWith('count()'));
    assert.ok(at >= 0, `heads are ${heads}`);
    const sum = cells.reduce((all, row) => all + Number(row[at].replace(/,/g, '')), 0);
    assert.equal(sum, await apiTotal(`${WEB} verb:*`));
    assert.equal(await shownTotal(page), sum, 'the chart counts the rows before the pipes');
    assert.ok(cells.some((row) => row.includes('GET')));
    await picture(page, 'stats');
    await table.locator('tbody tr', { hasText: 'POST' }).getByRole('button', { name: 'Rows' }).click();
    await page.waitForSelector('.row');
    assert.equal(await shownTotal(page), await apiTotal(`${WEB} verb:POST`));
    return page;
  },

  async 'a query that cannot be read is underlined where it is wrong'() {
    allowed = [/400 \(/];
    const page = await open({ q: WEB, last: 'all' });
    await settled(page);
    const q = 'response:>=500 and (verb:GET';
    const { status, text } = await api('query', { q, limit: 1 });
    assert.equal(status, 400);
    const { message, position } = JSON.parse(text).error;
    await searchFor(page, q);
    await page.locator('.squiggle').first().waitFor();
    assert.equal(await page.locator('#query').getAttribute('aria-invalid'), 'true');
    assert.ok((await page.locator('.state.failed').first().innerText()).includes(message));
    const marked = await page.locator('.squiggle').first().innerText();
    assert.ok(q.slice(position).startsWith(marked) || position >= q.length, `“${marked}” is underlined, wrong is byte ${position}`);
    await picture(page, 'query-error');
    await searchFor(page, WEB);
    await until('no underline', async () => (await page.locator('.squiggle').count()) === 0);
    await page.waitForSelector('.row');
    return page;
  },

  async 'dragging over the chart zooms, and the picker takes it back'() {
    const page = await open({ q: WEB, last: 'all' });
    const before = await shownTotal(page);
    const over = await page.locator('.chart .u-over').boundingBox();
    await page.mouse.move(over.x + over.width * 0.2, over.y + 30);
    await page.mouse.down();
    await page.mouse.move(over.x + over.width * 0.45, over.y + 34, { steps: 4 });
    await page.mouse.up();
    await page.waitForFunction(() => new URLSearchParams(location.search).has('from'));
    const inside = await shownTotal(page);
    assert.ok(inside < before, `${inside} of ${before}`);
    const { searchParams } = new URL(page.url());
    const said = await apiJson('histogram', { q: WEB, from: searchParams.get('from'), to: searchParams.get('to'), buckets: 10 });
    assert.equal(inside, said.total);
    await page.locator('.timepicker > .button').click();
    await page.locator('[data-span="all"]').click();
    await until('everything again', async () => (await shownTotal(page)) === before);
    return page;
  },

  async 'older rows are loaded below, none twice'() {
    const page = await open({ q: WEB, last: 'all', limit: '100' });
    await settled(page);
    await page.locator('#rows').evaluate((node) => node.scrollTo(0, node.scrollHeight));
    await page.getByRole('button', { name: 'Load older rows' }).click();
    await page.waitForFunction(() => Number(document.querySelector('[role=listitem]')?.getAttribute('aria-setsize')) > 150);
    await page.locator('#rows').evaluate((node) => node.scrollTo(0, node.scrollHeight));
    const ids = new Set();
    for (let at = 0; at < 40; at++) {
      for (const id of await page.locator('.row-item').evaluateAll((rows) => rows.map((row) => `${row.getAttribute('aria-posinset')} ${row.dataset.id}`))) ids.add(id);
      const end = await page.locator('#rows').evaluate((node) => { node.scrollTo(0, node.scrollTop - 500); return node.scrollTop === 0; });
      await page.waitForTimeout(40);
      if (end) break;
    }
    const origins = [...ids].map((id) => id.split(' ').slice(1).join(' '));
    assert.equal(new Set(origins).size, origins.length, 'an origin is shown twice');
    assert.ok(origins.length > 150, `${origins.length} rows were seen while scrolling`);
    return page;
  },

  async 'live rows come in by themselves'() {
    const word = `browser${Date.now()}`;
    const page = await open({ q: word, live: '1' });
    await page.locator('.live-state.open').waitFor();
    const posted = await fetch(`${base}/api/v1/ingest/browser-test`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: `hello from the browser test ${word}\n` });
    assert.equal(posted.status, 200);
    await page.locator('.row', { hasText: word }).waitFor();
    assert.equal(await page.locator('.row').count(), 1);
    await picture(page, 'live');
    return page;
  },

  async 'light, dark, and the toggle is remembered'() {
    const shade = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3);
    const page = await open({ q: WEB, last: 'all' }, { colorScheme: 'dark' });
    await settled(page);
    assert.ok((await shade(page)) < 60, 'dark when the system is');
    await picture(page, 'search-dark');
    await page.locator('.theme').click();
    assert.ok((await shade(page)) > 200, 'light when asked');
    await page.reload();
    await settled(page);
    assert.ok((await shade(page)) > 200, 'and still after a reload');
    return page;
  },

  async 'the box: topics, partitions, chain, listeners'() {
    const page = await open({ view: 'box' });
    const { topics } = await apiJson('topics', {});
    const web = topics.find((topic) => topic.name === 'web');
    await page.locator('[data-topic="web"]').click();
    const open_ = page.locator('.topic-open');
    assert.equal(await open_.locator('.partitions tbody tr:not(.error-row)').count(), web.partitions.length);
    const chain = await open_.locator('[data-chain]').innerText();
    for (const entry of web.chain) {
      assert.ok(chain.includes(entry.filter), `${entry.filter} in ${chain}`);
      if (entry.when) assert.ok(chain.includes(entry.when), `${entry.when} in ${chain}`);
    }
    const { listeners } = await apiJson('status', {});
    assert.equal(await page.locator('[data-listeners] li').count(), listeners.length);
    await page.locator('[data-outputs]').waitFor();
    await page.locator('[data-group="_lane"]').waitFor();
    await page.waitForFunction(() => /[0-9]/.test(document.querySelector('.tile strong')?.textContent ?? ''));
    await picture(page, 'box');
    await page.getByRole('button', { name: 'Search its rows' }).click();
    await page.waitForFunction(() => location.search.includes('_topic'));
    return page;
  },

  async 'a file that is no filter is refused with a sentence'() {
    allowed = [/4[0-9]{2} \(/];
    const page = await open({ view: 'filters' });
    const { filters } = await apiJson('filters', {});
    await page.locator(`[data-filter="${filters[0].name}"]`).waitFor();
    const put = async (name, bytes) => {
      await page.locator('[data-wasm]').setInputFiles({ name, mimeType: 'application/wasm', buffer: Buffer.from(bytes) });
      await page.locator('dialog form button[type=submit]').click();
      await page.locator('dialog [role=alert]').waitFor();
      const sentence = await page.locator('dialog [role=alert]').innerText();
      assert.ok(sentence.length > 15, sentence);
      await page.keyboard.press('Escape');
      await until('the dialog is gone', async () => (await page.locator('dialog').count()) === 0);
      return sentence;
    };
    assert.match(await put('notes.wasm', 'these are notes'), /no WebAssembly module/);
    await put('browser-test-broken.wasm', [0, 0x61, 0x73, 0x6d]);
    assert.equal((await apiJson('filters', {})).filters.length, filters.length, 'nothing was put in');
    return page;
  },

  async 'a slow or failing API holds up nothing else, and an overtaken answer is not shown'() {
    allowed = [/500 \(/];
    const page = await open({ view: 'box' });
    await page.route('**/api/v1/fields*', async (route) => { await new Promise((later) => setTimeout(later, 2_500)); await route.continue().catch(() => {}); });
    await page.route('**/api/v1/histogram*', (route) => route.fulfill({ status: 500, contentType: 'application/json', body: '{"error":{"message":"The store is closing."}}' }));
    await page.route('**/api/v1/query?q=slowly*', async (route) => { await new Promise((later) => setTimeout(later, 1_500)); await route.fulfill({ status: 200, body: '{"_topic":"x","_offset":1,"message":"too late"}\n' }).catch(() => {}); });
    await page.locator('[data-view="search"]').click();
    await page.locator('.timepicker > .button').click();
    await page.locator('[data-span="all"]').click();
    await page.waitForSelector('.row', { timeout: 2_000 });
    await page.getByText('The store is closing.').waitFor();
    await searchFor(page, 'slowly');
    await searchFor(page, WEB);
    await page.waitForTimeout(1_800);
    assert.equal(await page.getByText('too late').count(), 0);
    await page.unroute('**/api/v1/histogram*');
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.locator('.chart canvas').waitFor();
    return page;
  },

  async 'keys alone are enough, and everything has a name'() {
    const page = await open({ q: WEB, last: 'all' });
    await settled(page);
    await page.keyboard.press('/');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'query');
    await page.locator('#query').fill(`${WEB} ver`);
    await page.locator('#hints [role=option]', { hasText: 'verb' }).waitFor();
    await page.keyboard.press('Tab');
    assert.equal(await page.locator('#query').inputValue(), `${WEB} verb:`);
    await page.locator('#hints [role=option]', { hasText: 'GET' }).waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    assert.match(await page.locator('#query').inputValue(), /verb:[A-Z]+ $/);
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.locator('[data-detail]').waitFor();
    const nameless = await page.evaluate(() => [...document.querySelectorAll('button, input, select, textarea, [role=button]')]
      .filter((node) => !(node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.length || node.title)).map((node) => node.outerHTML.slice(0, 90)));
    assert.deepEqual(nameless, []);
    return page;
  },

  async 'narrow: nothing sticks out, the fields are a drawer'() {
    allowed = NO_DEAD;
    const page = await open({ q: WEB, last: 'all' }, { viewport: { width: 390, height: 800 } });
    await settled(page);
    const sticking = () => page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.querySelector('main').scrollWidth) - innerWidth);
    assert.ok((await sticking()) <= 0, 'search sticks out');
    await picture(page, 'narrow');
    await page.getByRole('button', { name: 'Fields', exact: true }).click();
    await page.locator('[data-field-item="verb"] .field-button').click();
    await page.locator('[data-field-item="verb"] .top li').first().waitFor();
    await page.getByRole('button', { name: 'Close the fields' }).click();
    await page.locator('.row').first().click();
    await page.locator('[data-lineage]').first().waitFor();
    assert.ok((await sticking()) <= 0, 'an open row sticks out');
    await page.locator('[data-view="box"]').click();
    await page.locator('[data-topic="web"]').waitFor();
    assert.ok((await sticking()) <= 0, 'the box sticks out');
    await picture(page, 'narrow-box');
    await page.locator('[data-view="filters"]').click();
    await page.locator('[data-chain-topic="web"] button').click();
    await page.locator('[data-generations-of="web"]').waitFor();
    assert.ok((await sticking()) <= 0, 'the filters stick out');
    await page.locator('[data-chain-detail]').getByRole('button', { name: 'Try a change' }).click();
    await page.locator('[data-trial-form] textarea').waitFor();
    assert.ok((await sticking()) <= 0, 'a trial’s form sticks out');
    await picture(page, 'narrow-filters');
    return page;
  },

  async 'a row is explained: as it came, each filter’s step, where it ended'() {
    const q = `${WEB} verb:GET response:200`;
    const page = await open({ q, last: 'all' });
    await settled(page);
    await page.locator('.row').first().click();
    const first = JSON.parse((await api('query', { q, limit: 1 })).text.split('\n')[0]);
    const said = await apiJson(`explain/web/${first._partition}/${first._offset}`, {});
    await page.locator('[data-lineage]').first().getByRole('button', { name: 'Explain' }).click();
    const shown = page.locator('[data-explain]');
    await shown.waitFor();
    assert.equal((await shown.locator('.raw pre').innerText()).trim(), said.record.payload.text.trim());
    assert.deepEqual(await shown.locator('[data-step]').evaluateAll((steps) => steps.map((step) => [step.dataset.step, step.dataset.outcome])), said.steps.map((step) => [step.filter, step.outcome]));
    for (const [name, value] of Object.entries(said.steps[0].added)) assert.ok((await shown.locator('[data-step]').first().innerText()).includes(String(value).slice(0, 100)), `${name} was added`);
    assert.match(await shown.locator('[aria-label="Where it ended"]').innerText(), /stored/);
    await picture(page, 'explain');
    await page.keyboard.press('Escape');
    await until('the explanation is gone', async () => (await page.locator('dialog').count()) === 0);
    assert.match(await page.evaluate(() => document.activeElement.textContent), /Explain/, 'the focus is back where it was');
    return page;
  },

  async 'a trial says what a change would do; it is promoted, replayed, rolled back'() {
    allowed = [...NO_DEAD, /400 \(/];
    const page = await open({ view: 'filters' });
    const before = (await apiJson('topics', {})).topics.find((topic) => topic.name === 'web');
    await page.locator('[data-chain-topic="web"] button').click();
    const detail = page.locator('[data-chain-detail]');
    const words = await detail.locator('[data-chain]').innerText();
    for (const entry of before.chain) assert.ok(words.includes(entry.filter) && words.includes(entry.when ?? ''), `${entry.filter} in ${words}`);
    await page.locator('[data-generation-row]').first().waitFor();
    assert.equal(await page.locator('[data-generation-row]').count(), (await apiJson('topics/web/generations', {})).generations.length);

    await detail.getByRole('button', { name: 'Try a change' }).click();
    const form = page.locator('[data-trial-form]');
    const attempt = async (chain) => {
      await form.locator('textarea').fill(typeof chain === 'string' ? chain : JSON.stringify(chain));
      await form.getByRole('button', { name: 'Begin the trial' }).click();
    };
    await attempt('[ {"filter": ]');
    assert.match(await form.getByRole('alert').innerText(), /not JSON/);
    await attempt([{ filter: 'no-such-filter' }]);
    await until('the box’s own sentence', async () => /no-such-filter/.test(await form.getByRole('alert').innerText().catch(() => '')));
    // Health checks are kept, 404s dropped, and a stranger's tag looks like HTML.
    const tag = `<img src=x onerror="document.title=${Date.now()}">`;
    await attempt([before.chain[0], { filter: 'tag', when: 'response:503', config: { add: [tag] } }, { filter: 'drop', when: 'response:404' }].map(({ filter, when, config }) => ({ filter, when: when ?? undefined, config: config ?? undefined })));
    const report = page.locator('[data-report]');
    await report.waitFor();
    await page.locator('[data-report][data-state="done"]').waitFor({ timeout: TRIAL_MS });
    const id = await report.getAttribute('data-report');
    assert.equal(new URL(page.url()).searchParams.get('trial'), id, 'a report has an address');
    const said = await apiJson(`trials/${id}`, {});
    const counts = {};
    for (const node of await report.locator('[data-count]').all()) counts[await node.getAttribute('data-count')] = Number((await node.innerText()).replace(/,/g, ''));
    for (const [kind, shown] of Object.entries(counts)) assert.equal(shown, said.report[kind], kind);
    assert.equal(Object.values(counts).reduce((sum, one) => sum + one, 0), said.report.records);
    assert.ok(counts.changed > 0 && counts.newly_dropped > 0 && counts.newly_kept > 0, JSON.stringify(counts));
    assert.deepEqual((await report.locator('[data-field-diff]').evaluateAll((items) => items.map((item) => item.dataset.fieldDiff))).sort(), Object.keys(said.report.fields).sort());
    const changed = report.locator('[data-field-diff="tags"]');
    assert.ok((await changed.innerText()).includes(tag), 'the new value is shown as the text it is');
    assert.equal(await page.locator('main img').count(), 0);
    const example = said.report.examples.find(({ kind }) => kind === 'newly_dropped');
    const shownExample = report.locator('[data-example="newly_dropped"]').first();
    assert.equal((await shownExample.locator('.raw pre').innerText()).trim(), example.raw.text.trim());
    await picture(page, 'trial');
    await page.reload();
    await page.locator('[data-report][data-state="done"]').waitFor();

    await report.getByRole('button', { name: 'Promote' }).click();
    await page.locator('dialog [data-confirm]').click();
    await page.getByText(/web is at generation/).first().waitFor();
    const live = async () => apiJson('topics/web/chain', {});
    assert.deepEqual((await live()).chain.map((entry) => [entry.filter, entry.when]), said.candidate.chain.map((entry) => [entry.filter, entry.when]));
    assert.equal((await live()).generation, before.generation + 1);

    const replays = (await apiJson('replays', {})).replays.length;
    await page.locator('[data-replays]').getByRole('button', { name: 'Replay records' }).click();
    const replay = page.locator('[data-replay-form]');
    await replay.locator('select').first().selectOption('web');
    await replay.getByRole('button', { name: 'Everything' }).click();
    await replay.getByRole('button', { name: 'See what it would do' }).click();
    await page.locator('[data-plan]').waitFor();
    assert.ok(Number(await page.locator('[data-plan]').getAttribute('data-plan')) >= said.report.records, `the plan says ${await page.locator('[data-plan]').innerText()}`);
    assert.equal((await apiJson('replays', {})).replays.length, replays, 'looking starts nothing');
    await replay.getByRole('button', { name: 'Start the replay' }).click();
    await until('it is in the list', async () => (await page.locator('[data-replay]').count()) === replays + 1);
    await page.locator('[data-replay][data-state="done"]').first().waitFor({ timeout: TRIAL_MS });
    assert.equal(await page.locator('[data-replays] .note-row').count(), 0, 'there is nothing to note');
    // What only some replays have to say is put into the box's own answer.
    const answers = (url) => url.pathname.endsWith('/api/v1/replays');
    await page.route(answers, async (asked) => {
      const response = await asked.fetch();
      const json = await response.json();
      Object.assign(json.replays.at(-1), { routed: 1234, rebuilt: 1, out_of_reach: [{ partition: 0, first: 0, next: 5 }] });
      await asked.fulfill({ response, json });
    });
    await page.reload();
    await until('the notes', async () => (await page.locator('[data-replays] .note-row').count()) === 3);
    const noted = await page.locator('[data-replays]').innerText();
    for (const part of [/1,234 records that filters only send to other topics have no row/, /1 record came from rows/, /its rows stay as they are/]) assert.match(noted, part);
    await picture(page, 'replay');
    await page.unroute(answers);
    assert.ok((await apiTotal(`${WEB} request:"/f5.txt"`)) > 0, 'rows that were dropped are there');

    await page.locator('[data-chain-topic="web"]').waitFor();
    if ((await page.locator('[data-chain-detail]').count()) === 0) await page.locator('[data-chain-topic="web"] button').click();
    await page.locator(`[data-generation-row="${before.generation}"]`).getByRole('button', { name: 'Roll back' }).click();
    await page.locator('dialog [data-confirm]').click();
    await page.getByText(/has the chain of generation/).first().waitFor();
    assert.deepEqual((await live()).chain.map((entry) => [entry.filter, entry.when, entry.config]), before.chain.map((entry) => [entry.filter, entry.when, entry.config]));
    await until('the view says so', async () => Number(await page.locator('[data-chain-topic="web"] [data-generation]').getAttribute('data-generation')) === (await live()).generation);
    return page;
  },

  async 'a module is put to be tried, and nothing that runs changes until its version is promoted'() {
    allowed = NO_DEAD;
    const page = await open({ view: 'filters' });
    const before = await apiJson('topics/web/chain', {});
    await page.locator('[data-trials]').getByRole('button', { name: 'Try a change' }).click();
    const form = page.locator('[data-trial-form]');
    await form.locator('select').first().selectOption('web');
    await form.getByRole('button', { name: 'A filter’s version' }).click();
    await form.locator('[data-trial-wasm]').setInputFiles({ name: 'drop.wasm', mimeType: 'application/wasm', buffer: await readFile(new URL('../../filters/dist/drop.wasm', import.meta.url)) });
    await page.locator('dialog input').first().fill('access-log');
    await page.locator('dialog button[type=submit]').click();
    await until('it is chosen', async () => (await page.locator('dialog').count()) === 0);
    const newest = String(Math.max(...(await apiJson('filters/access-log/versions', {})).versions.map(({ version }) => version)));
    await until('its version is chosen', async () => (await form.locator('[data-trial-version]').inputValue()) === newest);
    assert.equal(await form.locator('[data-trial-filter]').inputValue(), 'access-log');
    assert.deepEqual(await apiJson('topics/web/chain', {}), before);
    await form.getByRole('button', { name: 'Begin the trial' }).click();
    const report = page.locator('[data-report]');
    await page.locator('[data-report][data-state="done"]').waitFor({ timeout: TRIAL_MS });
    const said = (await apiJson(`trials/${await report.getAttribute('data-report')}`, {})).report;
    assert.equal(await report.locator('[data-count="newly_dropped"]').innerText(), said.newly_dropped.toLocaleString('en'));
    assert.ok(said.newly_dropped > 100, 'a filter that drops everything was tried');
    await report.getByRole('button', { name: 'Discard' }).click();
    await until('it is forgotten', async () => (await report.count()) === 0);
    await page.locator('[data-filter="access-log"] button').click();
    const versions = page.locator('[data-versions="access-log"]');
    await versions.locator(`[data-version="${newest}"]`).getByRole('button', { name: 'Promote' }).waitFor();
    assert.match(await versions.locator('[data-version="0"]').innerText(), /current/);
    await picture(page, 'versions');
    return page;
  },

  async 'a time without rows says where there are some'() {
    const page = await open({ q: `${WEB} nosuchwordanywhere`, last: 'all' });
    await page.locator('[data-empty]').waitFor();
    assert.match(await page.locator('[data-empty]').innerText(), /Nothing matches/);
    await page.getByRole('button', { name: 'Clear the query', exact: true }).first().click();
    await page.waitForSelector('.row');
    await page.goto(address({ q: WEB, from: '1999-01-01T00:00:00Z', to: '1999-01-02T00:00:00Z' }));
    await page.locator('[data-empty] [data-all]').click();
    assert.equal(await shownTotal(page), await apiTotal(WEB));
    return page;
  },
};

let failed = 0;
const only = process.env.ONLY;
for (const [name, test] of Object.entries(tests)) {
  if (only && !name.includes(only)) continue;
  const started = Date.now();
  complaints.length = 0;
  allowed = [];
  try {
    const page = await test();
    await page.context().close();
    assert.deepEqual(complaints, [], 'the browser complained');
    console.log(`ok    ${name} (${Date.now() - started} ms)`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}\n      ${String(error.message).split('\n').slice(0, 12).join('\n      ')}`);
    for (const context of browser.contexts()) {
      if (process.env.SHOTS && context.pages()[0]) await context.pages()[0].screenshot({ path: `${process.env.SHOTS}/failed-${failed}.png` });
      await context.close();
    }
  }
}
await browser.close();
server?.close();
server?.closeAllConnections();
console.log(failed ? `${failed} failed` : 'all well');
process.exit(failed ? 1 : 0);
