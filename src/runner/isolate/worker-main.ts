/** The program of an isolate's thread: its function is one ES module. */

import { utf8 } from '../frames.js';
import { Modules } from './modules.js';
import { runThread } from './thread.js';

runThread({
  evaluate: (_meta, code, own) => new Modules(own).evaluate(utf8(code)),
});
