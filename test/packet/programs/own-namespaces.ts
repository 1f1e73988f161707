/** Makes linked namespaces with a process inside, says what it made, and waits to be killed. */

import { connect, createNamespace } from '../../../src/linux/netns.js';

const [a, b] = await Promise.all([createNamespace(), createNamespace()]);
await connect(a, 'left0', b, 'right0');
const inside = a.spawn('sleep', ['1000'], { stdio: 'ignore' });
await new Promise((resolve) => inside.once('spawn', resolve));
console.log(JSON.stringify({ pids: [a.pid, b.pid, inside.pid] }));
