/**
 * Where no function may connect, whatever its name resolves to and whatever its allow-list says: this box itself, what
 * stands on its links only, and the metadata services of clouds, which hand out the box's own rights. Pure. The operator may
 * open single addresses of these (`egress.allow`); a name never leads there, as its owner may point it anywhere.
 */

import { BlockList, isIPv4 } from 'node:net';

const RANGES: ReadonlyArray<readonly [network: string, bits: number, why: string]> = [
  ['0.0.0.0', 8, 'it stands for this box itself'],
  ['127.0.0.0', 8, 'it is the loopback of this box'],
  ['169.254.0.0', 16, 'it is link-local, where clouds have their metadata service'],
  ['192.0.0.0', 24, 'it is reserved, and the metadata service of a cloud'],
  ['100.100.100.200', 32, 'it is the metadata service of a cloud'],
  ['168.63.129.16', 32, 'it is the metadata service of a cloud'],
  ['224.0.0.0', 4, 'it is a multicast group'],
  ['240.0.0.0', 4, 'it is reserved or broadcast'],
];

const BARRED = RANGES.map(([network, bits, why]) => {
  const block = new BlockList();
  block.addSubnet(network, bits);
  return { block, why };
});

/** In words; undefined: a function may connect there. `isOwn`: whether this box has an address; asked last, as it costs most. */
export function blockReason(address: string, isOwn: (address: string) => boolean): string | undefined {
  // Only dotted decimal: nothing that one parser reads as one address and another as another.
  if (!isIPv4(address)) return 'it is not an IPv4 address';
  const range = BARRED.find(({ block }) => block.check(address));
  if (range !== undefined) return range.why;
  return isOwn(address) ? 'it is an address of this box' : undefined;
}
