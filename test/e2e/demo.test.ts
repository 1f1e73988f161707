/** The demo as a new user runs it in a terminal, Ctrl-C included: that reaches every process of the terminal's group. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { DemoSummary } from '../../src/lab/demo/summary.js';
import { CLI, type Ended, nemo } from '../support/real-agent.js';

describe('the demo', function () {
  this.timeout(60_000);
  let folder: string;
  const running: ChildProcess[] = [];
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'nemo-demo-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));
  afterEach(() => {
    for (const child of running.splice(0)) child.kill('SIGKILL');
  });

  /** In a group of its own, which gets Ctrl-C once `text` has been printed. */
  const untilCtrlC = async (args: string[], text: string | RegExp): Promise<Ended> => {
    const child = spawn(process.execPath, [CLI, 'demo', '--port', '0', ...args], { detached: true });
    running.push(child);
    let [out, err, asked] = ['', '', false];
    const look = (): void => {
      if (asked || `${out}${err}`.search(text) < 0) return;
      asked = true;
      process.kill(-child.pid!, 'SIGINT');
    };
    child.stdout.on('data', (more) => {
      out += more;
      look();
    });
    child.stderr.on('data', (more) => {
      err += more;
      look();
    });
    const [code] = await once(child, 'close');
    return { code, out, err };
  };

  it('sums up at Ctrl-C what it has shown until then', async () => {
    const file = join(folder, 'summary.json');
    // A picture every five seconds; the second has calls in it.
    const { code, out, err } = await untilCtrlC(['--json', file], /^cpu +[1-9]/m);
    expect(code, err).to.equal(0);
    expect(out)
      .to.match(/^console: http:\/\/127\.0\.0\.1:\d+$/m)
      .and.match(/^ {2}NF SLO +p99 <= 1000 us: /m)
      .and.match(/^ {2}invocations +[1-9]\d* answered, 0 failed$/m)
      .and.not.match(/NaN|undefined|null/);
    const summary = JSON.parse(readFileSync(file, 'utf8')) as DemoSummary;
    expect(summary.schema).to.equal('nemo.demo/1');
    expect(summary.nf.sent).to.be.greaterThan(0);
    expect(summary.functions.invocations).to.be.greaterThan(0);
    expect(summary.core.harvestedRatio).to.be.greaterThan(0);
  });

  it('has nothing to sum up before a function ran, and says so', async () => {
    const { code, out, err } = await untilCtrlC([], 'two network namespaces');
    expect(code, err).to.equal(130);
    expect(err)
      .to.contain('before any function ran')
      .and.not.match(/\[[A-Z_]+\]|\n\s+at /);
    expect(out).to.equal('');
  });

  it('names a port in use and a file that cannot be written before it builds anything', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const taken = await nemo(['demo', '--port', String(port)]);
    other.close();
    expect(taken.code).to.equal(1);
    expect(taken.err).to.contain('PORT_IN_USE').and.contain(String(port)).and.not.contain('namespaces');
    const lost = await nemo(['demo', '--json', join(folder, 'no', 'x.json')]);
    expect(lost.code).to.equal(1);
    expect(lost.err).to.match(/^nemo: --json .*BAD_CONFIG/);
  });
});
