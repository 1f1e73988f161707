/** The engines that come with NEMO. The first is the one that functions get which ask for none. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Confined } from '../confinement/confined/confined.js';
import type { SetApart } from '../confinement/start-apart.js';
import type { StorageQuota } from '../host/storage-quota.js';
import type { RegistryAccess } from '../images/registry-rules.js';
import type { CgroupDriver } from '../linux/cgroup/driver.js';
import type { NetworkManager } from '../network/network-manager.js';
import type { EngineEntry } from '../sandbox/engine.js';
import { DEFAULT_STORES } from '../snapshots/stores.js';
import { ISOLATE, MICROVM, OCI, WASM } from '../tunables/index.js';
import type { MicrovmConfig } from './microvm/engine.js';
import { microvmVariant } from './microvm/variant.js';
import { StoredLayers } from './oci/stored-layers.js';
import { EXEC_VARIANT } from './process/programs.js';
import { sharingVariant } from './sharing.js';

export const ENGINE_DEFAULT = 'process';

export interface EngineContext {
  /** Sandboxes' files live below it; every user must be able to pass through the directories above it. */
  directory: string;
  /** What outlives the agent: unpacked images; stored functions are in its `bundles`. */
  stateDir: string;
  egress: NetworkManager;
  confined: Confined;
  storage: StorageQuota;
  /** Folders of this host, and registries, that images are taken from. Default: none, and public ones. */
  images?: { imageDirs: readonly string[]; registries: RegistryAccess };
  driver: CgroupDriver;
  functionCores: readonly number[];
  housekeepingCores: readonly number[];
  /** Where functions are kept off the SMT siblings of others. */
  setApart?: SetApart | undefined;
  /** Default: as an empty configuration. */
  microvm?: MicrovmConfig;
  /** Something of an engine that an operator should know: what is being made, and that it will take a while. */
  onNote?: (line: string) => void;
}

export function builtinEngines(context: EngineContext): EngineEntry[] {
  const { directory, stateDir, egress, confined, storage, driver, housekeepingCores, setApart } = context;
  const layers = new StoredLayers({ storeDir: storage.imageDir, bundleDir: storage.bundleDir });
  // Also where nobody has asked for the engine yet.
  storage.makeRoom = () => layers.sweep(OCI.unusedLayerShortMs);
  // A call may fall back to a housekeeping core.
  const cores = [...new Set([...context.functionCores, ...housekeepingCores])];
  return [
    {
      kind: ENGINE_DEFAULT,
      about: 'a process tree each: namespaces, system call filter, cgroup',
      runs: ['module', 'program'],
      egress: true,
      packages: true,
      // A program needs the host's libraries and interpreters, which a JavaScript function does not see.
      variant: ({ source }) => (source.kind === 'program' ? EXEC_VARIANT : ''),
      async open() {
        const { ProcessEngine } = await import('./process/engine.js');
        return new ProcessEngine({
          ...{ directory: join(directory, ENGINE_DEFAULT), confined, egress, setApart },
        });
      },
    },
    {
      kind: 'isolate',
      about: 'a V8 isolate each, in a sandboxed process of its own or of its sharing group',
      runs: ['module'],
      variant: sharingVariant,
      ownBytes: { sandbox: ISOLATE.stemBytes, process: ISOLATE.hostBytes },
      async open() {
        const { IsolateEngine } = await import('./isolate/engine.js');
        return new IsolateEngine({
          ...{ directory: join(directory, 'isolate'), driver, confined, cores, housekeepingCores, setApart },
        });
      },
    },
    {
      kind: 'wasm',
      about:
        'a WebAssembly module (WASI preview 1), in a sandboxed process of its own or of its sharing group',
      runs: ['wasm'],
      variant: sharingVariant,
      ownBytes: { sandbox: ISOLATE.stemBytes + WASM.heapBytes, process: ISOLATE.hostBytes },
      async open() {
        const { WasmEngine } = await import('./wasm/engine.js');
        return new WasmEngine({
          ...{ directory: join(directory, 'wasm'), driver, confined, cores, housekeepingCores, setApart },
        });
      },
    },
    {
      kind: 'oci',
      about: 'a container each, from an image: runc, read-only root, no capability',
      runs: ['image'],
      variant: ({ codeHash }) => codeHash,
      async open() {
        const { OciEngine } = await import('./oci/engine.js');
        return new OciEngine({
          directory: join(directory, 'oci'),
          storeDir: storage.imageDir,
          bundleDir: storage.bundleDir,
          ...{ confined, storage, layers, setApart },
          access: {
            ...(context.images ?? { imageDirs: [], registries: { logins: undefined, hosts: [] } }),
            uploadDir: storage.uploadDir,
          },
        });
      },
    },
    {
      kind: 'microvm',
      about: 'a virtual machine each, with its own kernel, from a snapshot',
      runs: ['module'],
      variant: ({ memoryBytes }) => microvmVariant(memoryBytes),
      ownBytes: { sandbox: MICROVM.hostBytes, process: 0 },
      keeps: () => existsSync(join(stateDir, 'microvm')),
      async open() {
        const { MicrovmEngine } = await import('./microvm/engine.js');
        return new MicrovmEngine({
          ...{ accelerator: 'auto', kernel: undefined, stores: DEFAULT_STORES, ...context.microvm },
          directory: join(directory, 'microvm'),
          stateDir: join(stateDir, 'microvm'),
          ...{ driver, confined, housekeepingCores, setApart, onNote: context.onNote ?? (() => {}) },
        });
      },
    },
  ];
}
