// The page's reading of the query language, as tables: `npm test`.

import { strict as assert } from 'node:assert';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const load = async (file) => {
  const entry = join(dirname(fileURLToPath(import.meta.url)), '../src', file);
  const built = await build({ entryPoints: [entry], bundle: true, write: false, format: 'esm', logLevel: 'error' });
  return import(`data:text/javascript;base64,${Buffer.from(built.outputFiles[0].contents).toString('base64')}`);
};
const [language, { finder, marked }] = [await load('language.ts'), await load('explore/rowmodel.ts')];
const kinds = (text) => language.pieces(text).filter((piece) => piece.kind !== 'space').map((piece) => `${piece.kind} ${piece.text}`);

test('pieces cover the text, whatever it is', () => {
  for (const text of ['', ' ', '"', '\\', 'a:"b', '|||', '-', '!x', '[1 TO', 'é:ü "☃" | stats count() by bin(5m)', ':::', 'a\\ b', '(((', '{"a":1}']) {
    assert.equal(language.pieces(text).map((piece) => piece.text).join(''), text);
  }
});

test('pieces are what the box takes them for', () => {
  assert.deepEqual(kinds('status:[400 TO 499] and -path:/a:b*'), ['field status', 'operator :', 'bracket [', 'number 400', 'logic TO', 'number 499', 'bracket ]', 'logic and', 'logic -', 'field path', 'operator :', 'word /a:b*']);
  assert.deepEqual(kinds('a || "b|c" | stats count() by x'), ['word a', 'logic ||', 'string "b|c"', 'pipe |', 'command stats', 'command count', 'bracket (', 'bracket )', 'logic by', 'word x']);
  assert.deepEqual(kinds('_time>=2026-01-01T10:00:00Z x-y!=z'), ['field _time', 'operator >=', 'word 2026-01-01T10:00:00Z', 'field x-y', 'operator !=', 'word z']);
});

test('the predicate ends at the first pipe that is none of a string', () => {
  assert.equal(language.predicate('a "x | y" || b | stats count()'), 'a "x | y" || b');
  assert.equal(language.isTable('a | stats count()'), true);
  assert.equal(language.isTable('a | sort b | fields c'), true);
  assert.equal(language.isTable('a | sort b'), false);
});

test('conditions are put in, replaced, and keep what stands beside them', () => {
  for (const [query, field, value, keep, result] of [
    ['', 'verb', 'GET', true, 'verb:=GET'],
    ['*', 'request', '/a "b" \\', true, 'request:="/a \\"b\\" \\\\"'],
    ['a or b | stats count()', 'n', 5, true, '(a or b) n:5 | stats count()'],
    ['a || b', 'n', 5, true, '(a || b) n:5'],
    ['(a) or (b)', 'n', 5, true, '((a) or (b)) n:5'],
    ['(a or b) c', 'n', 5, true, '(a or b) c n:5'],
    ['verb:=GET x', 'verb', 'GET', false, 'x -verb:=GET'],
    ['-verb:=GET', 'verb', 'GET', true, 'verb:=GET'],
    ['verb:=GET', 'verb', 'GET', true, 'verb:=GET'],
    ['', 'my field', 'or', true, '"my field":="or"'],
    ['', 'x', null, true, 'not x:*'],
    ['', 'x', null, false, 'x:*'],
  ]) assert.equal(language.narrowed(query, field, value, keep), result);
});

test('a clause goes only where it has to hold by itself', () => {
  for (const [query, field, value, keep, result] of [
    ['response:200 or response:503', 'response', 200, true, '(response:200 or response:503) response:200'],
    ['response:200 or response:503', 'response', 503, false, '(response:200 or response:503) -response:503'],
    ['response:200 || a | sort b', 'response', 200, true, '(response:200 || a) response:200 | sort b'],
    ['a response:200 OR b', 'response', 200, false, '(a response:200 OR b) -response:200'],
    ['_topic:web (response:404 or response:503 or response:200)', 'response', 503, true, '_topic:web (response:404 or response:503 or response:200) response:503'],
    ['(a response:503 b) c', 'response', 503, false, '(a response:503 b) c -response:503'],
    ['a:(b app:=shop c)', 'app', 'shop', false, 'a:(b app:=shop c) -app:=shop'],
    ['not response:503 auth:bob', 'response', 503, true, 'not response:503 auth:bob response:503'],
    ['a NOT response:503', 'response', 503, true, 'a NOT response:503 response:503'],
    ['-response:503 a', 'response', 503, true, 'a response:503'],
    ['not -response:503 a', 'response', 503, true, 'not -response:503 a response:503'],
    ['-(response:503) a', 'response', 503, false, '-(response:503) a -response:503'],
    ['x:="two  spaces" user:=bob', 'user', 'bob', false, 'x:="two  spaces" -user:=bob'],
    ['message:"say app:=shop now"', 'app', 'shop', false, 'message:"say app:=shop now" -app:=shop'],
    ["'say app:=shop now' b", 'app', 'shop', false, "'say app:=shop now' b -app:=shop"],
    ['a   app:=shop   b', 'app', 'shop', false, 'a   b -app:=shop'],
    ['a and app:=shop and b', 'app', 'shop', false, 'a and b -app:=shop'],
    ['app:=shop && b', 'app', 'shop', false, 'b -app:=shop'],
    ['a and app:=shop', 'app', 'shop', false, 'a -app:=shop'],
    ['app:=shop and app:=shop', 'app', 'shop', false, '-app:=shop'],
    ['-app:=shop a -app:=shop', 'app', 'shop', true, 'a app:=shop'],
    ['app:=shopping app:=shop* app:=shop"x" (a)app:=shop app:=shop(b)', 'app', 'shop', false, 'app:=shopping app:=shop* app:=shop"x" (a)app:=shop app:=shop(b) -app:=shop'],
    ['x: app:=shop y', 'app', 'shop', false, 'x: app:=shop y -app:=shop'],
    ['x:[1 TO n:5 ] y', 'n', 5, false, 'x:[1 TO n:5 ] y -n:5'],
    ['request:="/a b|c" y', 'request', '/a b|c', false, 'y -request:="/a b|c"'],
    ['not x:*  a', 'x', null, false, 'a x:*'],
    ['or:=y n:5', 'n', 5, false, 'or:=y -n:5'],
    ['n:5 "a | b" | where n:5  or c | eval x = "n:5  |" | limit 3', 'n', 5, false, '"a | b" -n:5 | where n:5  or c | eval x = "n:5  |" | limit 3'],
    ['(a | b) n:5 | sort n', 'n', 5, false, '(a | b) -n:5 | sort n'],
  ]) assert.equal(language.narrowed(query, field, value, keep), result, query);
});

test('what the pipes make of rows', () => {
  for (const [query, rowByRow, howMany] of [
    ['a "| sort b" (c | d)', true, false],
    ['a | where b:c | eval d = round(e / 2) | extract "<f> | sort" | rename f as g | lookup h.json on g | fields _time', true, false],
    ["a | WHERE b:'c | sort d' | search e", true, false],
    ['a | sort b', false, false],
    ['a | where b | dedup c', false, false],
    ['a |limit 300', false, true],
    ['a | sort b | Head 5', false, true],
    ['a | stats count()', false, true],
    ['a | ', false, false],
  ]) assert.deepEqual([language.isRowByRow(query), language.saysHowMany(query)], [rowByRow, howMany], query);
});

test('errors are underlined where the box points, in bytes', () => {
  assert.equal(language.charAt('é:x (', 3), 2);
  assert.deepEqual(language.errorSpan('a (b', 2), [2, 3]);
  assert.deepEqual(language.errorSpan('verb:', 5), [4, 5]);
});

test('positions go to the box and back', () => {
  for (const [text, at, byte] of [['é:x (', 2, 3], ['abc', 3, 3], ['☃ a', 2, 4]]) {
    assert.equal(language.byteAt(text, at), byte);
    assert.equal(language.charAt(text, byte), at);
  }
});

test('what makes other rows cannot be followed', () => {
  for (const text of ['a | stats count()', 'a | timeseries by app', 'a | rare b', 'a | patterns', 'a | dedup b', 'a | where b:c']) assert.equal(language.isPlain(text), false, text);
  assert.equal(language.isPlain('a "x | y" || b'), true);
  assert.equal(language.isTable('a | eval b = 1 | patterns 5'), true);
  assert.equal(language.isTable('a | dedup b'), false);
});

test('groups of the last stats', () => {
  assert.deepEqual(language.groupedBy('* | stats count(), p99(x) as slow by app, bin(_time, 5m) | sort -count()'), ['app', 'bin(_time,5m)']);
  assert.deepEqual(language.groupedBy('* | stats count()'), []);
  assert.equal(language.groupedBy('* | fields a'), null);
});

test('a line of stats leads to the rows that it counts', () => {
  for (const [query, keys, rows] of [
    ['* | stats count() by app', [['app', 'shop']], 'app:=shop'],
    ['a or b | stats count() by app, n', [['app', null], ['n', 5]], '(a or b) not app:* n:5'],
    ['a | where n>5 | stats count() by app | sort app', [['app', 'shop']], 'a | where n>5 | where app:=shop'],
    ['* | eval kb = round(bytes / 1024) | stats count() by kb', [['kb', 7]], '* | eval kb = round(bytes / 1024) | where kb:7'],
    ['* | stats count() by a, b | stats count() by a', [['a', 'x']], '* | stats count() by a, b | where a:=x'],
  ]) assert.equal(language.rowsBehind(query, keys), rows);
});

test('what is marked in the message', () => {
  for (const [query, message, ...hits] of [
    ['timeout "connection reset" -noise not x:drop bytes>5000', 'Timeout: connection reset, noise drop 5000', 'Timeout', 'connection reset'],
    ['verb:GET path:/a*', 'GET /about /b', 'GET', '/a'],
    ['web', 'web.example/x.webp cobweb web', 'web', 'web'],
    ['web*', 'x.webp cobweb', 'web'],
    ['*web or ünder', 'cobweb webp wunder ünder', 'web', 'ünder'],
    ['"*x*"', '*x* x', '*x*'],
    ['a\\*', 'a* ab', 'a*'],
    ['_topic:web _partition:10 10', 'web 10', '10'],
    ['a?c /', 'abc /'],
  ]) assert.deepEqual(marked(message, finder(language.needles(query))).filter((_, at) => at % 2), hits, query);
});
