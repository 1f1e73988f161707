/**
 * Images laid out for sandboxes to mount: those that have sandboxes, and a few that had some lately. Each deploy is an
 * image of its own, so what nobody uses goes: its plan from memory, its folders from the run directory.
 */

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { NemoError } from '../../model/errors.js';
import { endingOf } from '../../model/function-source.js';
import { OCI } from '../../tunables/index.js';
import { type ImagePlan, parsePlan } from './plan.js';
import { layOutRootfs } from './rootfs.js';

/** Of stored plans. */
export const IMAGE_ENDING = endingOf({ kind: 'image' });
/** Of a hash: in the options of a mount, which have to fit into one page. */
const NAME_CHARS = 32;

export interface LaidOutImage {
  plan: ImagePlan;
  /** Where its sandboxes mount it. */
  directory: string;
}

export class LaidOutImages {
  /** By variant, the one that was used last at the end. */
  private readonly known = new Map<string, LaidOutImage & { users: number }>();

  constructor(private readonly options: { storeDir: string; bundleDir: string }) {}

  /** For one sandbox; `leave` when that is gone. SANDBOX_START if a layer is. */
  take(variant: string, runDir: string): LaidOutImage {
    const image = this.known.get(variant) ?? { ...this.layOut(variant, runDir), users: 0 };
    image.users++;
    this.known.delete(variant);
    this.known.set(variant, image);
    return image;
  }

  leave(variant: string): void {
    const image = this.known.get(variant);
    if (image === undefined) return;
    image.users--;
    const unused = [...this.known].filter(([, { users }]) => users === 0);
    for (const [name, { directory }] of unused.slice(0, -OCI.unusedImagesMax)) {
      this.known.delete(name);
      // Nothing is mounted there: mounts are in the namespaces of sandboxes, and end with them.
      rmSync(directory, { recursive: true, force: true });
    }
  }

  private layOut(variant: string, runDir: string): LaidOutImage {
    const { storeDir, bundleDir } = this.options;
    const plan = parsePlan(readFileSync(join(bundleDir, `${variant}.${IMAGE_ENDING}`)));
    const lost = plan.layers.find((name) => !existsSync(join(storeDir, name)));
    if (lost !== undefined) {
      throw new NemoError('SANDBOX_START', `layer ${lost} of the image ${plan.image} is gone`, {
        hint: 'deploy the image again',
      });
    }
    const directory = join(runDir, `image-${variant.slice(0, NAME_CHARS)}`);
    try {
      const { volumes, passwd, makeCwd, cwd } = plan;
      layOutRootfs(directory, { volumes, etc: { passwd }, folders: makeCwd ? [cwd] : [] });
    } catch (thrown) {
      // On a full disk, say: a part of it would be in the way of the next try.
      rmSync(directory, { recursive: true, force: true });
      throw thrown;
    }
    return { plan, directory };
  }
}
