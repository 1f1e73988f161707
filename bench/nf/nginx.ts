/** nginx as a server at the edge, one worker on the NF core. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunningNf } from '../../src/lab/testbed.js';
import type { HttpSetup } from './http-setup.js';
import { startProgram } from './programs.js';

/** One worker, bound to the core; `compress`: answers of 64 KB through gzip, so that a request costs something. */
export async function startNginx(
  { nf: namespace, folder }: HttpSetup,
  core: number,
  { compress = false } = {},
): Promise<RunningNf> {
  const file = join(folder, 'nginx.conf');
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const page = Array.from(
    { length: 1_000 },
    (_, i) => `${i} ${(i * 2_654_435_761) >>> 0} spare cycles, harvested`,
  );
  if (compress) writeFileSync(join(folder, 'page.txt'), page.join('\n'));
  const answer = compress
    ? `root ${folder}; gzip on; gzip_types text/plain; try_files /page.txt =404; default_type text/plain;`
    : 'return 200 "nginx answers\\n";';
  writeFileSync(
    file,
    `daemon off; user root; pid ${folder}/nginx.pid; error_log stderr notice;
     worker_processes 1; worker_cpu_affinity 1${'0'.repeat(core)};
     events { worker_connections 256; }
     http { access_log off; ${temp.join(' ')}
       server { listen 8080; location / { ${answer} } } }`,
  );
  return startProgram({
    namespace,
    command: 'nginx',
    args: ['-c', file],
    ready: /start worker process \d+/,
    stopSignal: 'SIGTERM',
  });
}
