import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { fetchKernel } from '../../../src/engine/microvm/kernel.js';

describe('the kernel of machines', () => {
  it('leaves nothing of one that an agent was fetching when it was killed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nemo-kernel-'));
    try {
      mkdirSync(join(folder, 'kernel/boot'), { recursive: true });
      writeFileSync(join(folder, 'kernel/boot/vmlinuz-6.1.0'), '');
      mkdirSync(join(folder, 'kernel.new-x1/boot'), { recursive: true });
      const { image } = await fetchKernel(join(folder, 'kernel'));
      expect(image).to.equal(join(folder, 'kernel/boot/vmlinuz-6.1.0'));
      expect(existsSync(join(folder, 'kernel.new-x1'))).to.equal(false);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
