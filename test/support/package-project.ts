/** Folders of functions that import packages, as npm would have laid them out. */

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** So much code that it is worth a stem: a table, so that little of it can be left out. */
export function bulk(kib = 80): string {
  const rows = Array.from({ length: kib * 16 }, (_, i) => `{"row": ${i}, "text": "${'x'.repeat(36)}"}`);
  return `export const table = [${rows.join(',\n')}];`;
}

/** True where the function's own code was not there yet. */
export const SEES_NO_FUNCTION = `import { existsSync } from 'node:fs';
export const ahead = !existsSync('/function/function.mjs');`;

export class Projects {
  private readonly folder = mkdtempSync(join(tmpdir(), 'nemo-test-packages-'));
  private count = 0;

  /** A folder with these files; `packages`: name -> ES module, each of its own version if it has one. */
  make(files: Record<string, string>, packages: Record<string, string> = {}): string {
    const root = join(this.folder, `p${this.count++}`);
    const all: Record<string, string> = { 'package.json': '{"type":"module"}', ...files };
    for (const [name, code] of Object.entries(packages)) {
      all[`node_modules/${name}/package.json`] = JSON.stringify({ name, version: '1.0.0', type: 'module' });
      all[`node_modules/${name}/index.js`] = code;
    }
    return this.write(root, all);
  }

  /** As `make`, where the packages of this project can be imported. */
  inThisProject(files: Record<string, string>): string {
    const root = this.make(files);
    const modules = fileURLToPath(new URL('../../../node_modules', import.meta.url));
    symlinkSync(modules, join(root, 'node_modules'));
    return root;
  }

  write(root: string, files: Record<string, string>): string {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), text);
    }
    return root;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
