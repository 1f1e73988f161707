/**
 * A process with a slice gate, to be killed and stopped. Arguments: core, its NF's pid, a file that lists the
 * threads of a function. Prints a line when the gate is open.
 */

import { Gate } from '../../src/control/gate.js';
import { Slot } from '../../src/control/messages.js';
import { Board, Core } from '../../src/model/board.js';

const [core, nfPid, tasksPath, sloUs] = process.argv.slice(2) as [string, string, string, string];
const board = Board.create(Number(core) + 1);
board.set(Number(core), Core.sloUs, Number(sloUs));
const slots = new SharedArrayBuffer(4);
new Int32Array(slots)[0] = Slot.busy;
const gate = new Gate({ core: Number(core), donorCore: 0, board, slots, nfPid: Number(nfPid) });
gate.on('failed', (reason) => {
  process.stdout.write(`failed ${reason}\n`);
  process.exit(2);
});
gate.on('ready', () => process.stdout.write('open\n'));
gate.setSandboxes([{ slot: 0, tasksPath }]);
