import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { endProcess } from '../../src/linux/tied-process.js';
import { printable, printableJson, printableLines } from '../../src/model/printable.js';
import { FUZZ_TIMEOUT_MS, fuzz } from '../support/fuzz.js';
import { CLI, RealAgent } from '../support/real-agent.js';
import { until } from '../support/waiting.js';

/** A new title, a cleared screen (7 and 8 bits), a bell, the other direction of writing, nothing at all, a forged line. */
const HOSTILE =
  '\x1b]0;pwned\x07\x1b[2J\x9b2J\u202egnp.exe\u2066\u200b\u2028\ufeff\nnemo: all is well\x08\x7f';
/** What this program itself sends to a terminal: colours. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: what this program sends itself
const COLOURS = /\x1b\[\d+m/g;
const STEERS = /(?![\r\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

const CODE = `
  const hostile = ${JSON.stringify(HOSTILE)};
  export default (event, { path }) => {
    console.log('log ' + hostile);
    console.error('err ' + hostile);
    if (event?.fail) throw new Error('thrown ' + hostile);
    return new Response('body ' + hostile);
  };`;

/** A command as in a terminal: what the terminal gets, with lines that end as everywhere. */
async function inTerminal(args: string[]): Promise<string> {
  const line = [process.execPath, CLI, ...args].map((one) => `'${one.replaceAll("'", `'\\''`)}'`).join(' ');
  const child = spawn('script', ['-qefc', line, '/dev/null'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const chunks: Buffer[] = [];
  child.stdout!.on('data', (chunk) => chunks.push(chunk));
  await once(child, 'close');
  return Buffer.concat(chunks).toString().replaceAll('\r\n', '\n');
}

describe('escape to the terminal', function () {
  this.timeout(60_000);
  let agent: RealAgent;

  before(async () => {
    agent = await new RealAgent().start();
    expect((await agent.deploy('evil', CODE)).status).to.be.below(300);
    await agent.call('evil');
    await agent.call('evil', '{"fail":1}');
    await until(async () => (await agent.logs('evil')).length >= 5);
  });
  after(() => agent?.close());

  for (const [what, args, seen] of [
    ['logs', ['logs', 'evil'], 'log \\x1b]0;pwned\\x07'],
    ['logs as JSON', ['logs', 'evil', '--json'], 'log \\u001b]0;pwned\\u0007'],
    ["a function's answer", ['invoke', 'evil'], 'body \\x1b]0;pwned\\x07'],
    ["a function's answer as JSON", ['invoke', 'evil', '--json'], 'body \\u001b]0;pwned\\u0007'],
    ["a function's error", ['invoke', 'evil', '-d', '{"fail":1}'], 'thrown \\x1b]0;pwned\\x07'],
    ["a function's error as JSON", ['invoke', 'evil', '-d', '{"fail":1}', '--json'], 'thrown '],
    ['traces', ['trace', 'evil'], 'FUNCTION_ERROR'],
    ['the live view', ['top', '--once'], 'evil'],
    ['the feed', ['top', '--once', '--json'], 'evil'],
    ['the NFs', ['nf', 'ls'], 'no NF'],
    ['a description', ['describe', 'evil'], 'evil'],
    ['a name that is not there', ['logs', `x${HOSTILE}`], 'x\\x1b'],
    ['an address', ['ls', '--agent', `gopher://${HOSTILE}`], '\\x1b'],
  ] as const) {
    it(`is not there in ${what}`, async () => {
      const shown = await inTerminal([
        ...args,
        ...(args.includes('--agent' as never) ? [] : ['--agent', agent.url]),
      ]);
      expect(shown).to.contain(seen);
      const rest = shown.replace(COLOURS, '');
      expect(STEERS.exec(rest)?.[0], JSON.stringify(rest)).to.equal(undefined);
      if (!what.includes('answer')) expect(rest).not.to.match(/^nemo: all is well/m);
    });
  }

  it('gives a body to a file or a program as it is', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      CLI,
      'invoke',
      'evil',
      '--agent',
      agent.url,
    ]);
    expect(stdout).to.equal(`body ${HOSTILE}`);
  });
});

describe('what `nemo nf ls` says without an agent', () => {
  it('shows what would steer the terminal in the path of a user’s program', async () => {
    const base = mkdtempSync('/var/tmp/nemo-terminal-');
    const folder = join(base, HOSTILE);
    const program = join(folder, 'haproxy');
    mkdirSync(folder);
    copyFileSync('/bin/sleep', program);
    chownSync(folder, 65534, 65534);
    const child = spawn(program, ['60'], { stdio: 'ignore' });
    try {
      await once(child, 'spawn');
      const shown = await inTerminal(['nf', 'ls', '--agent', 'http://127.0.0.1:1']);
      expect(shown).to.contain('nemo-terminal-').and.contain('\\x9b2J');
      const rest = shown.replace(COLOURS, '');
      expect(STEERS.exec(rest)?.[0], JSON.stringify(rest)).to.equal(undefined);
    } finally {
      await endProcess(child);
      rmSync(base, { recursive: true });
    }
  }).timeout(60_000);
});

describe('text for a terminal', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({
      unit: fc.constantFrom('\x1b', '\x9b', '[', '2', 'J', '\u202e', '\ud800', '\r', '\n', '\t', '\\'),
    }),
    fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)),
  );

  it('has nothing that steers: hostile messages', function () {
    this.timeout(FUZZ_TIMEOUT_MS);
    fuzz(text, (hostile) => {
      const lines = printableLines(hostile).replace(/[\n\t]/g, '');
      return !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(printable(hostile) + lines);
    });
  });

  it('of letters stays as it is: hostile messages', function () {
    this.timeout(FUZZ_TIMEOUT_MS);
    fuzz(
      fc.string({ unit: fc.constantFrom('a', 'ß', '漢', '😀', ' ', '\\', '-') }),
      (harmless) => printable(harmless) === harmless,
    );
  });

  it('of JSON is the same JSON: hostile messages', function () {
    this.timeout(FUZZ_TIMEOUT_MS);
    fuzz(fc.dictionary(text, text), (value) => {
      const line = printableJson(JSON.stringify(value));
      return !STEERS.test(line) && JSON.stringify(JSON.parse(line)) === JSON.stringify(value);
    });
  });
});
