// Builds `dist/` from `src/`: one script, one style sheet, the page, the icon, and each of them compressed beside it.
//
// The same sources give the same bytes: no dates, no absolute paths, names fixed (the page asks for `app.js?v=<hash>`, so
// that a browser may keep what it has for ever). `--check` builds in memory and compares with what is committed; compressed
// files are compared by what they hold, because another zlib may pack the same bytes differently.

import { build, context } from 'esbuild';
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, brotliDecompressSync, constants, gunzipSync, gzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, 'dist');
/** The whole page, compressed, must stay under this. */
const BUDGET = 130 * 1024;

/** Whose code is bundled; their licences are shipped beside it. */
const INSIDE = ['preact', '@preact/signals', '@preact/signals-core', 'uplot'];

const options = {
  absWorkingDir: here,
  entryPoints: { app: 'src/main.tsx', style: 'src/style/app.css' },
  outdir: 'dist',
  bundle: true,
  minify: true,
  format: 'iife',
  target: ['es2022', 'chrome111', 'firefox113', 'safari16.4'],
  jsx: 'automatic',
  jsxImportSource: 'preact',
  legalComments: 'none',
  charset: 'utf8',
  logLevel: 'warning',
  write: false,
};

/** Everything that belongs into `dist/`, by name. */
async function assemble(result) {
  const files = new Map();
  for (const file of result.outputFiles) {
    files.set(file.path.endsWith('.js') ? 'app.js' : 'app.css', Buffer.from(file.contents));
  }
  const notices = await Promise.all(INSIDE.map(async (name) => `${name}\n\n${await readFile(join(here, 'node_modules', name, 'LICENSE'), 'utf8')}`));
  files.set('licenses.txt', Buffer.from(`Code of others inside app.js and app.css.\n\n${notices.join('\n\n')}`));
  files.set('icon.svg', await readFile(join(here, 'src/icon.svg')));
  const page = (await readFile(join(here, 'src/index.html'), 'utf8')).replace(/\{\{(\S+)\}\}/g, (_, name) => {
    const hash = createHash('sha256').update(files.get(name)).digest('hex').slice(0, 12);
    return `/assets/${name}?v=${hash}`;
  });
  files.set('index.html', Buffer.from(page));
  for (const [name, bytes] of [...files]) {
    files.set(`${name}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }));
    files.set(`${name}.gz`, gzipSync(bytes, { level: 9 }));
  }
  return files;
}

const unpack = (name, bytes) => (name.endsWith('.br') ? brotliDecompressSync(bytes) : name.endsWith('.gz') ? gunzipSync(bytes) : bytes);

async function check(files) {
  const differences = [];
  for (const [name, bytes] of files) {
    const committed = await readFile(join(dist, name)).catch(() => null);
    if (!committed || !unpack(name, committed).equals(unpack(name, bytes))) differences.push(name);
  }
  for (const name of await readdir(dist).catch(() => [])) if (!files.has(name)) differences.push(`${name} (left over)`);
  if (differences.length) {
    console.error(`dist/ is not what the sources give: ${differences.join(', ')}. Run \`npm run build\` and commit it.`);
    process.exit(1);
  }
  console.log('dist/ is what the sources give.');
}

async function write(files) {
  await rm(dist, { recursive: true, force: true });
  await mkdir(dist, { recursive: true });
  for (const [name, bytes] of files) await writeFile(join(dist, name), bytes);
}

function report(files) {
  let total = 0;
  for (const name of ['index.html', 'app.css', 'app.js', 'icon.svg']) {
    const packed = files.get(`${name}.br`).length;
    total += packed;
    console.log(`${name.padEnd(11)} ${String(files.get(name).length).padStart(7)} bytes, ${String(packed).padStart(6)} compressed`);
  }
  console.log(`${'all'.padEnd(11)} ${String(total).padStart(30)} compressed`);
  if (total > BUDGET) {
    console.error(`The page outgrew its ${BUDGET} bytes.`);
    process.exit(1);
  }
}

if (process.argv.includes('--watch')) {
  const rebuild = {
    name: 'write-dist',
    setup(hook) {
      hook.onEnd(async (result) => {
        if (result.errors.length === 0) await write(await assemble(result));
      });
    },
  };
  const watching = await context({ ...options, minify: false, plugins: [rebuild] });
  await watching.watch();
} else {
  const files = await assemble(await build(options));
  if (process.argv.includes('--check')) await check(files);
  else await write(files);
  report(files);
}
