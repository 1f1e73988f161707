import { expect } from 'chai';
import fc from 'fast-check';
import { NemoError } from '../../src/model/errors.js';
import {
  functionRef,
  isFunctionName,
  isNamespace,
  keyInPath,
  parseFunctionText,
  splitFunctionText,
} from '../../src/model/function-ref.js';

const name = fc.stringMatching(/^[a-z0-9][-a-z0-9_.]{0,62}$/);
const namespace = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
/** What is nearly a name, what is hostile, and what is long. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('a', 'Z', '0', '/', ':', '.', '-', '_', '@', '%', '\0', '\n', 'é') }),
  fc.tuple(fc.string(), fc.constantFrom('/', ':', '//', '::'), fc.string()).map((parts) => parts.join('')),
  fc.constantFrom('../x/y', 'a/b/c', ':', '', '/', 'a/', '/a', '.', '..', 'a/..', '../a', 'default/', 'ﬁ'),
  fc.constantFrom('a', 'a/', '/a', ':', 'a:').map((part) => part.repeat(10_000)),
);

function refusal(of: string): NemoError | undefined {
  try {
    parseFunctionText(of);
    return undefined;
  } catch (thrown) {
    expect(thrown).to.be.instanceOf(NemoError);
    return thrown as NemoError;
  }
}

describe('text that names a function', () => {
  it('means the default namespace and the newest version unless it says otherwise', () => {
    const hello = { namespace: 'default', name: 'hello', key: 'hello' };
    for (const same of ['hello', 'default/hello', 'hello:live', 'default/hello:live'])
      expect(parseFunctionText(same), same).to.deep.equal(hello);
    const other = { namespace: 'team-a', name: 'hello', key: 'team-a/hello' };
    for (const same of ['team-a/hello', 'team-a/hello:live'])
      expect(parseFunctionText(same), same).to.deep.equal(other);
  });

  it('is read back from every key', () => {
    fc.assert(
      fc.property(namespace, name, fc.nat(), (ns, of, version) => {
        const { key, ...ref } = functionRef(of, ns, version);
        expect(ref).to.deep.equal({ namespace: ns, name: of, version });
        expect(parseFunctionText(key)).to.deep.equal({ namespace: ns, name: of, key });
        expect(parseFunctionText(`${ns}/${of}:live`).key).to.equal(key);
      }),
    );
  });

  it('has a key of its own for each function, in maps and in paths', () => {
    fc.assert(
      fc.property(namespace, name, namespace, name, (ns1, name1, ns2, name2) => {
        const same = ns1 === ns2 && name1 === name2;
        const [first, second] = [functionRef(name1, ns1).key, functionRef(name2, ns2).key];
        expect(first === second).to.equal(same);
        expect(keyInPath(first) === keyInPath(second)).to.equal(same);
        expect(keyInPath(first)).to.match(/^[a-z0-9][-a-z0-9_.@]*$/);
      }),
    );
  });

  it('is refused with an error that names it, whatever else it is', () => {
    fc.assert(
      fc.property(text, (hostile) => {
        const { namespace: ns = 'default', name: of, alias = 'live' } = splitFunctionText(hostile);
        const error = refusal(hostile);
        expect(error === undefined).to.equal(isNamespace(ns) && isFunctionName(of) && alias === 'live');
        if (error === undefined) return;
        expect(error.code).to.equal('NOT_FOUND');
        expect(error.message.length).to.be.lessThan(250);
        const named = alias === 'live' || !isFunctionName(of) || !isNamespace(ns) ? hostile : alias;
        expect(error.message).to.contain(`'${named.slice(0, 80)}'`);
      }),
      { numRuns: 1_000 },
    );
  });

  it('says which alias there is', () => {
    const error = refusal('team/hello:canary')!;
    expect(error.message).to.equal("the function 'team/hello' has no alias 'canary'");
    expect(error.hint).to.contain('team/hello:live');
    expect(refusal('hello:')!.message).to.contain("no alias ''");
    expect(refusal('hello:live:live')!.message).to.contain("no alias 'live:live'");
  });
});
