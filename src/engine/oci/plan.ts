/** What is stored of a function of this engine, and how it is decided at deploy: all that can be known before a call. */

import { existsSync, readFileSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { badImage } from '../../images/faults.js';
import { checkVolume } from '../../images/image.js';
import type { ImportedImage } from '../../images/import.js';
import { layerParts } from '../../images/layer-path.js';
import type { ImageRequest } from '../../model/function-source.js';
import { OCI } from '../../tunables/index.js';
import { directoryInside, fileInside, isFileOfNemo, programInside, programKind } from './rootfs.js';

export interface ImagePlan {
  schema: 'nemo.image/1';
  image: string;
  layers: string[];
  /** Without links, as the working directory. */
  volumes: string[];
  cwd: string;
  /** The image lacks it. */
  makeCwd?: true;
  /** Its /etc/passwd, if its /etc is a folder to which one's own files can be added. */
  passwd?: string;
  env: string[];
  /** An HTTP server on `port`, or a module that the image's node runs. */
  run: { kind: 'http'; args: string[]; port: number } | { kind: 'node'; node: string; handler: string };
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const PORT = 8080;
const MACHINES: Record<string, number> = { x64: 62, arm64: 183 };

/** `root`: where the image is mounted. Throws BAD_FUNCTION. */
export function planImage(request: ImageRequest, imported: ImportedImage, root: string): ImagePlan {
  const { config, layers } = imported;
  const env = config.env.some((line) => line.startsWith('PATH='))
    ? config.env
    : [`PATH=${PATH}`, ...config.env];
  const path = env.find((line) => line.startsWith('PATH='))!.slice('PATH='.length);
  // Each is looked at, on the thread that answers calls.
  if (path.split(':').length > OCI.searchPathsMax)
    throw badImage(`PATH of the image has more than ${OCI.searchPathsMax} folders`, 'make it shorter');
  const directory = (path: string, what: string): string => {
    layerParts(path);
    const found = directoryInside(root, path);
    if (found === undefined || isFileOfNemo(found))
      throw badImage(`${path.slice(0, 200)}, ${what} of the image, is not a directory in it`);
    // Where its links lead, too: it is made there.
    layerParts(found);
    return found;
  };
  const cwd = directory(config.workingDir, 'the working directory');
  const volumes = [...new Set(config.volumes.map((path) => directory(path, 'a volume')))];
  for (const path of volumes) checkVolume(path);
  const made = existsSync(root + cwd) ? {} : ({ makeCwd: true } as const);
  const common = { image: request.image, layers, volumes, cwd, ...made, ...usersOf(root), env };
  const find = (name: string, what: string): string => {
    if (name.length > OCI.pathMaxBytes) throw badImage(`the name of ${what} of the image is too long`);
    const program = programInside(root, name, path, config.workingDir);
    if (program === undefined)
      throw badImage(`the image has no program ${name}, which is ${what}`, 'name one that is in the image');
    checkProgram(root, program);
    return program;
  };
  if (request.handler !== undefined) {
    const node = find('node', 'what runs its handler');
    const handler = posix.normalize(request.handler);
    if (fileInside(root, handler) === undefined)
      throw badImage(`the image has no file ${handler}`, 'name a module of the image as the handler');
    return { schema: 'nemo.image/1', ...common, run: { kind: 'node', node, handler } };
  }
  const args = [...config.entrypoint, ...config.cmd];
  if (args.length === 0)
    throw badImage('the image has no entry point', 'set ENTRYPOINT or CMD, or deploy it with a handler');
  find(args[0]!, 'its entry point');
  const port = request.port ?? (config.ports.length === 1 ? config.ports[0]! : PORT);
  return { schema: 'nemo.image/1', ...common, run: { kind: 'http', args, port } };
}

function usersOf(root: string): { passwd?: string } {
  if (directoryInside(root, '/etc') !== '/etc') return {};
  const file = fileInside(root, '/etc/passwd');
  const tooLong = file !== undefined && statSync(file).size > OCI.passwdMaxBytes;
  return tooLong ? {} : { passwd: file === undefined ? '' : readFileSync(file, 'utf8') };
}

function checkProgram(root: string, program: string): void {
  const { machine, interpreter } = programKind(fileInside(root, program)!);
  if (machine !== undefined && machine !== MACHINES[process.arch])
    throw badImage(
      `${program} in the image is for another processor (ELF machine ${machine})`,
      'build it for this one',
    );
  if (interpreter !== undefined && fileInside(root, interpreter) === undefined)
    throw badImage(`${program} in the image needs ${interpreter}, which is not in it`);
}

export function parsePlan(content: Buffer): ImagePlan {
  const plan = JSON.parse(content.toString()) as ImagePlan;
  if (plan.schema !== 'nemo.image/1')
    throw badImage('the image was deployed by another version', 'deploy it again');
  return plan;
}
