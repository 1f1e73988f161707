/** An image for the bench of engines: this host's node and its libraries, a function, and the same as an HTTP server. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { FunctionSource } from '../src/model/function-source.js';

const FILES = {
  'app/index.mjs': 'export default () => undefined;',
  'app/server.mjs': `import { createServer } from 'node:http';
createServer((request, response) => request.resume().on('end', () => response.end())).listen(process.env.PORT);`,
};

/** Writes an OCI layout with one layer into `folder`, which must be there. */
export function writeNodeImage(folder: string): void {
  const root = join(folder, 'root');
  const put = (path: string, write: (to: string) => void) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    write(join(root, path));
  };
  const node = realpathSync(process.execPath);
  const listing = execFileSync('ldd', [node], { encoding: 'utf8' });
  const libraries = [...listing.matchAll(/(?:=>\s*)?(\/\S+)\s+\(0x/g)].map((match) => match[1]!);
  put('usr/bin/node', (to) => copyFileSync(node, to));
  for (const path of libraries) put(path, (to) => copyFileSync(realpathSync(path), to));
  for (const [path, content] of Object.entries(FILES)) put(path, (to) => writeFileSync(to, content));
  const layer = execFileSync('tar', ['-cf', '-', '-C', root, '.'], { maxBuffer: 2 ** 30 });
  mkdirSync(join(folder, 'blobs', 'sha256'), { recursive: true });
  const blob = (content: Buffer | object, mediaType: string) => {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
    const hash = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(folder, 'blobs', 'sha256', hash), bytes);
    return {
      mediaType: `application/vnd.oci.image.${mediaType}`,
      digest: `sha256:${hash}`,
      size: bytes.length,
    };
  };
  const layers = [blob(layer, 'layer.v1.tar')];
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const config = blob(
    {
      ...{ os: 'linux', architecture },
      config: { Cmd: ['node', '/app/server.mjs'] },
      rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
    },
    'config.v1+json',
  );
  const manifest = blob({ schemaVersion: 2, config, layers }, 'manifest.v1+json');
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }));
}

/** Of a layout that `writeNodeImage` wrote: what the `oci` engine is given to deploy. */
export function imageSource(folder: string, handler: boolean): FunctionSource<'image'> {
  return { kind: 'image', image: folder, ...(handler ? { handler: '/app/index.mjs' } : {}) };
}
