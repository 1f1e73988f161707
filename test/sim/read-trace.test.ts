import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import type { NemoError } from '../../src/model/errors.js';
import { readPackages } from '../../src/sim/packages.js';
import { readTrace } from '../../src/sim/read-trace.js';

const AZURE = fileURLToPath(new URL('../../../data/azure2021-200.csv', import.meta.url));

describe('reading traces', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nemo-trace-'));
  after(() => rmSync(folder, { recursive: true }));
  const file = (name: string, content: string | Buffer): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const failure = async (path: string): Promise<NemoError> => {
    const thrown: unknown = await readTrace(path).then(
      () => undefined,
      (error: unknown) => error,
    );
    return thrown as NemoError;
  };

  it('reads the Azure trace of 2021: arrivals are ends less durations, in order, from 0', async () => {
    const trace = await readTrace(AZURE);
    expect(trace.arrivalsMs).to.have.length(199);
    expect(trace.functionNames).to.have.length(31);
    expect(trace.arrivalsMs[0]).to.equal(0);
    expect([...trace.arrivalsMs]).to.deep.equal([...trace.arrivalsMs].sort((a, b) => a - b));
    const half = await readTrace(AZURE, { scale: 2, limit: 50 });
    expect(half.durationsMs).to.have.length(50);
  });

  it('reads it packed, and divides times by the scale', async () => {
    const text = 'app,func,end_timestamp,duration\na,f,3,1\na,g,2.5,0.5\n';
    const trace = await readTrace(file('t.csv.gz', gzipSync(text)), { scale: 2 });
    expect([...trace.arrivalsMs]).to.deep.equal([0, 0]);
    expect([...trace.durationsMs]).to.deep.equal([500, 250]);
  });

  it('reads the trace of 2019: so many calls in each minute, as long as its percentiles say', async () => {
    const minutes = file(
      'i.csv',
      'HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f,http,2,0,1\no,a,g,timer,0,1,0\n',
    );
    const durations = file(
      'd.csv',
      'HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,percentile_Average_1,' +
        'percentile_Average_25,percentile_Average_50,percentile_Average_75,percentile_Average_99,percentile_Average_100\n' +
        'o,a,f,15,3,10,20,10,10,12,15,18,20,20\n',
    );
    const trace = await readTrace(minutes, { durations });
    const of = trace.functionNames.map((name) => name.at(-1));
    const calls = [...trace.functions].map((index) => of[index]);
    expect(calls).to.have.length(4);
    expect(calls.filter((name) => name === 'f')).to.have.length(3);
    for (const [i, name] of calls.entries()) {
      if (name === 'f') expect(trace.durationsMs[i]).to.be.within(10, 20);
      else expect(trace.durationsMs[i]).to.equal(1000);
    }
    expect(trace.arrivalsMs.at(-1)).to.be.within(60_000, 180_000);
  });

  it('names the line that is wrong', async () => {
    const header = 'app,func,end_timestamp,duration\n';
    expect((await failure(file('a.csv', `${header}a,f,1,1\na,f,x,1\n`))).message).to.contain('a.csv:3 ');
    expect((await failure(file('b.csv', 'time,url\n'))).message).to.contain('b.csv:1 ');
    const minutes = 'HashOwner,HashApp,HashFunction,Trigger,1,2\no,a,f,http,2,-1\n';
    expect((await failure(file('c.csv', minutes))).message).to.contain(
      'c.csv:2 has "-1" as its calls of minute 2',
    );
    expect((await failure(file('d.csv', header))).code).to.equal('BAD_REQUEST');
    expect((await failure(join(folder, 'none.csv'))).code).to.equal('NOT_FOUND');
  });

  it('reads what functions import, and names what is missing in the file', () => {
    const ajv = { loadMs: 24, kib: 2 };
    const good = { packages: { ajv }, functions: { a: ['ajv'], b: [] }, others: ['ajv'] };
    const one = { hash: 'ajv', loadMs: 24, bytes: 2048 };
    const path = file('p.json', JSON.stringify(good));
    expect(readPackages(path, ['a', 'b', 'c'])).to.deep.equal([[one], [], [one]]);
    for (const [name, content, told] of [
      ['q.json', '{', /q\.json: /],
      ['r.json', '{"others":["x"]}', /r\.json: it says no loadMs of the package x/],
      ['s.json', '{"others":"x"}', /s\.json: the packages of a function are a list/],
    ] as const) {
      expect(() => readPackages(file(name, content), ['a'])).to.throw(told);
    }
  });
});
