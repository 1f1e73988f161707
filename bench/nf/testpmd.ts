/** DPDK's test forwarder between n0 and n1. */

import type { StartNf } from '../../src/lab/testbed.js';
import { startProgram } from './programs.js';

/** Its prompt's thread on core 0, one forwarding thread on the NF core. */
export const startTestpmd: StartNf = ({ namespace, cpu }) =>
  startProgram({
    namespace,
    // Its output to a pipe would stay in its buffer.
    command: 'stdbuf',
    args: [
      ...['-oL', 'dpdk-testpmd'],
      ...['--no-huge', '-m', '512', '--no-pci', '-l', `0,${cpu}`, '--file-prefix', `nemo-${process.pid}`],
      ...['--vdev=net_af_packet0,iface=n0', '--vdev=net_af_packet1,iface=n1', '--'],
      ...['--forward-mode=io', '--auto-start', '--nb-cores=1', '--total-num-mbufs=20000'],
    ],
    ready: /Press enter to exit/,
  });
