import { expect } from 'chai';
import type { StemKind } from '../../src/engine/engines.js';
import { VirtualClock } from '../../src/model/clock.js';
import { functionRef } from '../../src/model/function-ref.js';
import type { PackageRef } from '../../src/model/package.js';
import { none } from '../../src/policy/prewarm/none.js';
import { UsageHistory } from '../../src/policy/usage/usage.js';
import { isAhead } from '../../src/pool/stem-source.js';
import { preimportStems } from '../../src/preimport/preimport-stems.js';
import type { AheadReport } from '../../src/sandbox/engine.js';
import { PACKAGES } from '../../src/tunables/index.js';
import { InProcessBox, settled, spec, type TestSandbox } from '../dispatch/in-process-box.js';

/** The packages of a stem, as 'a+b'. */
function importedBy(kind: StemKind): string | undefined {
  return isAhead(kind) ? kind.ahead.map((name) => name.replace('@1', '')).join('+') : undefined;
}

const pack = (name: string): PackageRef => ({
  ...{ hash: name, name: `${name}@1`, bytes: 100 * 1024, entries: ['e.mjs'] },
});
const [A, B] = [pack('a'), pack('b')];
const CLEAN: AheadReport = { cpuMs: 10, bytes: 2 ** 20, reads: [], readsAll: false };
const MEMORY = { memoryBytes: 128 * 2 ** 20 };

describe('stems that have imported packages', () => {
  let box: InProcessBox;
  let clock: VirtualClock;
  /** Done when the planner looks at packages again. */
  const later = (work: () => Promise<unknown>): Promise<unknown> => {
    clock.moveTo(clock.nowMs() + 2_000);
    return work();
  };
  let told: Record<string, Partial<AheadReport>>;
  beforeEach(() => {
    clock = new VirtualClock();
    box = new InProcessBox({ clock, prewarm: 'template' });
    told = {};
    box.importing = (packages) => ({ ...CLEAN, ...told[packages.map(({ hash }) => hash).join('+')] });
  });
  afterEach(() => box.close());

  /** What stems there are once nothing more is to be made or ended. */
  async function stems(): Promise<string[]> {
    for (let i = 0; i < 6; i++) {
      box.planner.tick();
      await settled();
    }
    return box.pool.stems.ready.map(({ stemKind }) => importedBy(stemKind) ?? 'plain').sort();
  }
  /** The packages that the sandbox of a call had imported, or how else it began. */
  async function served(name: string): Promise<string> {
    box.call(name);
    await settled();
    const instance = [...box.pool.instances.values()].find((one) => one.functionKey === name)!;
    const { stemKind, origin } = instance;
    (instance.sandbox as TestSandbox).answer();
    await settled();
    return importedBy(stemKind) ?? origin;
  }

  it('serve the function that imports them, and the one that saves most goes first', async () => {
    box.deploy('one', { ...MEMORY, packages: [A] });
    box.deploy('two', { ...MEMORY, packages: [A, B] });
    expect(await stems()).to.deep.equal(['a', 'a+b', 'plain']);
    expect(await served('two')).to.equal('a+b');
    expect(await served('one')).to.equal('a');
  });

  it('are planned seldom where functions have very many packages, whatever becomes of stems meanwhile', () => {
    let plans = 0;
    const zygotes = () => {
      plans++;
      return [];
    };
    const source = preimportStems({ ...none.create({}), zygotes })!;
    const packages = Array.from({ length: PACKAGES.perFunctionMax }, (_, i) => pack(`p${i}`));
    const functions = Array.from({ length: 1_000 }, (_, i) => ({
      spec: spec(`f${i}`, { packages }),
      usage: new UsageHistory(),
    }));
    const restMs = functions.length * packages.length * PACKAGES.planRestMs;
    const kind = {
      key: 'k',
      engine: 'process',
      variant: '',
      ahead: ['p0'],
      group: '',
      packages: [pack('p0')],
    };
    for (const atMs of [0, 0.9, 1.1].map((part) => part * restMs)) {
      source.wanted(functions, atMs);
      source.failed(kind, atMs);
    }
    expect(plans).to.equal(2);
  });

  it('never serve a function of another namespace that names the same sharing group', async () => {
    box.deploy('one', { ...MEMORY, packages: [A], sharingGroup: 'pay' });
    expect(await stems()).to.deep.equal(['a', 'plain']);
    await box.pool.end(box.pool.stems.ready.find(({ stemKind }) => !isAhead(stemKind))!);
    const ref = functionRef('one', 'team');
    box.deploy(ref.key, { ...MEMORY, ref, packages: [A], sharingGroup: 'pay' });
    expect(await served(ref.key)).to.equal('cold');
    expect(await served('one')).to.equal('a');
  });

  it('never serve a function without all of these packages, of another sharing group, or with less memory', async () => {
    box.deploy('one', { ...MEMORY, packages: [A] });
    expect(await stems()).to.deep.equal(['a', 'plain']);
    await box.pool.end(box.pool.stems.ready.find(({ stemKind }) => !isAhead(stemKind))!);
    for (const [name, over] of [
      ['none', MEMORY],
      ['different', { ...MEMORY, packages: [B] }],
      ['foreign', { ...MEMORY, packages: [A], sharingGroup: 'other' }],
      ['small', { memoryBytes: 32 * 2 ** 20, packages: [A] }],
      ['elsewhere', { ...MEMORY, engine: 'other', packages: [A] }],
    ] as const) {
      box.deploy(name, { ...over, packages: 'packages' in over ? [...over.packages] : [] });
      expect(await served(name), name).to.equal('cold');
    }
    expect(await served('one')).to.equal('a');
  });

  it('do not serve a function that sets what they read of the environment', async () => {
    told.a = { reads: ['LEVEL'] };
    told.b = { readsAll: true };
    box.deploy('quiet', { ...MEMORY, packages: [A, B], env: {} });
    box.deploy('loud', { ...MEMORY, packages: [A], env: { LEVEL: 'debug' } });
    box.deploy('any', { ...MEMORY, packages: [B], env: { X: '1' } });
    box.deploy('other', { ...MEMORY, packages: [A], env: { X: '1' } });
    expect(await stems()).to.deep.equal(['a', 'a+b', 'plain']);
    expect(await served('loud')).to.equal('stem');
    expect(await served('any')).to.equal('cold');
    expect(await served('other')).to.equal('a');
    expect(await served('quiet')).to.equal('a+b');
  });

  it('are not kept of a package that leaves something behind, and others are made as ever', async () => {
    told.a = { effect: 'changes globalThis.x' };
    box.deploy('one', { ...MEMORY, packages: [A, B] });
    expect(await stems()).to.deep.equal(['b', 'plain']);
    expect(await served('one')).to.equal('b');
    const tries = box.sandboxes.filter(({ ahead }) => ahead?.effect !== undefined);
    expect(tries).to.have.length(1);
  });

  it('of packages that are harmless alone and not together are not kept either', async () => {
    told['a+b'] = { effect: 'changes Array.prototype' };
    box.deploy('one', { ...MEMORY, packages: [A, B] });
    expect(await stems()).to.deep.equal(['plain']);
    box.deploy('two', { ...MEMORY, packages: [A] });
    await later(async () => expect(await stems()).to.deep.equal(['a', 'plain']));
    expect(await served('one')).to.equal('a');
  });

  it('that end by themselves are not made again for a while, and go when nobody imports their packages', async () => {
    box.deploy('one', { ...MEMORY, packages: [A] });
    box.deploy('two', { ...MEMORY, packages: [B] });
    expect(await stems()).to.deep.equal(['a', 'b', 'plain']);
    box.live.find(({ id }) => box.pool.instances.get(id)!.stemKind.key.endsWith(':a'))!.die();
    expect(await stems()).to.deep.equal(['b', 'plain']);
    box.dispatcher.setFunction('two', undefined);
    await later(async () => expect(await stems()).to.deep.equal(['plain']));
  });

  it('are not made without their source: functions with packages take plain stems, as all others', async () => {
    await box.close();
    box = new InProcessBox({ clock, prewarm: 'template', plainStems: true });
    box.importing = () => CLEAN;
    box.deploy('one', { ...MEMORY, packages: [A] });
    box.deploy('two', { ...MEMORY, packages: [A, B] });
    expect(await stems()).to.deep.equal(['plain']);
    expect(await served('one')).to.equal('stem');
    await later(async () => expect(await stems()).to.deep.equal(['plain']));
    expect(await served('two')).to.equal('stem');
    expect(box.sandboxes.every(({ ahead }) => ahead === undefined)).to.equal(true);
  });

  it('are made by the policy template alone', async () => {
    await box.close();
    box = new InProcessBox({ prewarm: { policy: 'fixed', warmPerFunction: 0 } });
    box.deploy('one', { ...MEMORY, packages: [A] });
    expect(new Set(await stems())).to.deep.equal(new Set(['plain']));
  });
});
