/**
 * What the kernel says of faults of this processor by which one program reads what another has in the caches and buffers
 * of a core (/sys/devices/system/cpu/vulnerabilities; Documentation/admin-guide/hw-vuln of the kernel).
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const DIRECTORY = '/sys/devices/system/cpu/vulnerabilities';

/** Name -> the kernel's line, for example "Mitigation: PTE Inversion; VMX: conditional cache flushes, SMT vulnerable". */
export type Vulnerabilities = Readonly<Record<string, string>>;

/** Empty where the kernel does not report any. */
export function readVulnerabilities(directory = DIRECTORY): Vulnerabilities {
  const found: Record<string, string> = {};
  try {
    for (const name of readdirSync(directory).sort()) {
      found[name] = readFileSync(join(directory, name), 'utf8').trim();
    }
  } catch {
    // The kernel does not have this directory, or a container hides it.
  }
  return found;
}

/** `open`: nothing is done about them; `smt`: only programs on SMT siblings can still use them. Pure. */
export function openVulnerabilities(all: Vulnerabilities): { open: string[]; smt: string[] } {
  const open: string[] = [];
  const smt: string[] = [];
  for (const [name, line] of Object.entries(all)) {
    if (/^(vulnerable|processor vulnerable)/i.test(line)) open.push(name);
    else if (/SMT vulnerable/i.test(line)) smt.push(name);
  }
  return { open, smt };
}
