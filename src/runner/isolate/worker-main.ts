/** The program of an isolate's thread: its function is one ES module. */

import { utf8 } from '../frames.js';
import { Modules } from './modules.js';
import { runThread } from './thread.js';

// It comes with the first Response, and makes its agent of connections then: an event emitter, whose class a function may
// have changed by that time.
process.getBuiltinModule('node:http');

runThread({
  evaluate: (_meta, code, own) => new Modules(own).evaluate(utf8(code)),
});
