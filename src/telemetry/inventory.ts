/**
 * What machine this is: processor, memory, network interfaces with their drivers, virtualisation. For people and for
 * reports, never for a decision. Collected once and loaded on demand: it runs programs and reads much of /sys.
 */

import { readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import si from 'systeminformation';

export interface HostInventory {
  schema: 'nemo.host/1';
  system: { manufacturer: string; model: string; virtual: boolean; hypervisor: string | null };
  os: { name: string; kernel: string; architecture: string };
  cpu: {
    manufacturer: string;
    model: string;
    cores: number;
    physicalCores: number;
    sockets: number;
    speedGhz: number;
    cacheBytes: { l1d: number; l2: number; l3: number };
  };
  memory: { totalBytes: number; swapBytes: number };
  interfaces: HostInterface[];
}

export interface HostInterface {
  name: string;
  mac: string;
  /** Null where the interface does not tell: virtual ones do not. */
  speedMbps: number | null;
  driver: string | null;
  virtual: boolean;
  state: string;
}

export async function readInventory(): Promise<HostInventory> {
  const [system, os, cpu, memory, networks] = await Promise.all([
    si.system(),
    si.osInfo(),
    si.cpu(),
    si.mem(),
    si.networkInterfaces(),
  ]);
  const list = Array.isArray(networks) ? networks : [networks];
  return {
    schema: 'nemo.host/1',
    system: {
      manufacturer: system.manufacturer,
      model: system.model,
      virtual: system.virtual,
      hypervisor: system.virtualHost || null,
    },
    os: { name: `${os.distro} ${os.release}`, kernel: os.kernel, architecture: os.arch },
    cpu: {
      manufacturer: cpu.manufacturer,
      model: cpu.brand,
      cores: cpu.cores,
      physicalCores: cpu.physicalCores,
      sockets: cpu.processors,
      speedGhz: cpu.speed,
      cacheBytes: { l1d: cpu.cache.l1d, l2: cpu.cache.l2, l3: cpu.cache.l3 },
    },
    memory: { totalBytes: memory.total, swapBytes: memory.swaptotal },
    interfaces: await Promise.all(list.map(describe)),
  };
}

async function describe(one: si.Systeminformation.NetworkInterfacesData): Promise<HostInterface> {
  const { iface: name, mac, speed, virtual, operstate: state } = one;
  const driver = await readlink(`/sys/class/net/${name}/device/driver`).catch(() => undefined);
  const known = typeof speed === 'number' && speed > 0;
  return {
    name,
    mac,
    speedMbps: known ? speed : null,
    driver: driver === undefined ? null : basename(driver),
    virtual,
    state,
  };
}
