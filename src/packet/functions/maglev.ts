/**
 * Maglev's lookup table: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI '16,
 * section 3.4. Every backend fills the table in an order of its own, in turns, so that shares differ by one entry at
 * most and a change of backends moves few other entries. A backend is its name: the order of the list does not matter.
 */

/** Prime, as the permutations need; the paper's larger size, for up to some 650 backends at 1 % evenness. */
export const MAGLEV_SIZE = 65_537;

/** For each of `size` (prime) slots the index of its backend in `names` (1..32767 of them, all different). */
export function maglevTable(names: readonly string[], size: number = MAGLEV_SIZE): Int16Array {
  const table = new Int16Array(size).fill(-1);
  // By name, so that the turns do not depend on the order in which the backends were given.
  const turns = names.map((_, i) => i).sort((a, b) => (names[a]! < names[b]! ? -1 : 1));
  const skip = Int32Array.from(names, (name) => (hashText(name, 0x9e3779b9) % (size - 1)) + 1);
  const position = Int32Array.from(names, (name) => hashText(name, 0x85ebca6b) % size);
  for (let filled = 0; ; ) {
    for (const backend of turns) {
      let slot = position[backend]!;
      while (table[slot] !== -1) slot = (slot + skip[backend]!) % size;
      table[slot] = backend;
      position[backend] = (slot + skip[backend]!) % size;
      if (++filled === size) return table;
    }
  }
}

/** FNV-1a over UTF-16 units, then MurmurHash3's finish: similar names must not get similar permutations. */
function hashText(text: string, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
