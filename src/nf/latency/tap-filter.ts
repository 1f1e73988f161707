/**
 * The classic BPF program that chooses which packets a tap measures: a hash of what the NF leaves unchanged, so that
 * both ends choose the same packets without a word. One in 2^shift is taken.
 */

import type { BpfInstruction } from '../../linux/bpf-filter.js';
import type { NfProfile } from '../../model/nf-profile.js';

export type Invariant = NonNullable<NfProfile['latency']['invariant']>;

/** linux/bpf_common.h: class | size | mode, or class | operation | source. `_AT_X`: k bytes after X. */
const LD_W = 0x20;
const LD_H = 0x28;
const LD_B = 0x30;
const LD_W_AT_X = 0x40;
const LD_B_AT_X = 0x50;
const LD_IMM = 0x00;
const LD_MEM = 0x60;
const LDX_IMM = 0x01;
const LDX_MEM = 0x61;
/** X = 4 * (low 4 bits of byte k): an IPv4 header's length. */
const LDX_MSH = 0xb1;
const ST = 0x02;
const ADD = 0x04;
const ADD_X = 0x0c;
const SUB_X = 0x1c;
const MUL = 0x24;
const AND = 0x54;
const RSH = 0x74;
const JA = 0x05;
const JEQ = 0x15;
const JGE = 0x35;
const JSET = 0x45;
const RET = 0x06;
const TAX = 0x07;

/** Where the kernel shows what is not in the frame (SKF_AD_OFF), and there: which way the packet goes. */
const PACKET_TYPE = 0xfffff004;
const OUTGOING = 4;

const ETHERNET_BYTES = 14;
/** TPIDs: 802.1Q, 802.1ad, and what was used before it. The kernel takes the outer tag out of most frames, but no inner one. */
const TAGS = [0x8100, 0x88a8, 0x9100];
/** Packets with more of them are not measured. */
export const TAGS_MAX = 2;
export const TAG_BYTES = 4;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const TCP = 6;
const UDP = 17;
/** More fragments, or a fragment's offset. */
const FRAGMENT = 0x3fff;
export const isTag = (etherType: number): boolean => TAGS.includes(etherType);
/** Golden ratio: spreads small differences over the high bits. */
const SPREAD = 0x9e3779b1;
/** Payloads below this say too little to tell packets apart. */
export const PAYLOAD_MIN_BYTES = 8;
/** Shorter packets are padded to the least frame of Ethernet, and a tunnel would carry that padding behind them. */
export const TAIL_PACKET_MIN_BYTES = 46;

/** An instruction, jumping to labels if its condition holds or not (undefined: the next line), or a label. */
type Line = readonly [code: number, k: number, jt?: string | undefined, jf?: string] | string;

/** `outgoing`: take what leaves the interface instead of what arrives. `shift` 0..16; 0 takes every packet that fits. */
export function tapFilter(invariant: Invariant, outgoing: boolean, shift: number): BpfInstruction[] {
  const lines: Line[] = [
    [LD_W, PACKET_TYPE],
    outgoing ? [JEQ, OUTGOING, undefined, 'drop 0'] : [JEQ, OUTGOING, 'drop 0'],
  ];
  for (let tags = 0; tags <= TAGS_MAX; tags++) {
    const ip = ETHERNET_BYTES + tags * TAG_BYTES;
    lines.push([LD_H, ip - 2]);
    if (tags < TAGS_MAX) for (const tag of TAGS) lines.push([JEQ, tag, `tag ${tags + 1}`]);
    // Jumps reach 255 instructions, so each has an end of its own.
    lines.push(...labelled(tags, [...LINES[invariant](ip), ...take(shift), 'drop', [RET, 0]]));
    lines.push(`tag ${tags + 1}`);
  }
  return assemble(lines);
}

/** Takes one of 2^shift values of A. */
function take(shift: number): Line[] {
  const all: Line[] = [
    [MUL, SPREAD],
    [RET, 0xffffffff],
  ];
  // A shift by 32 is refused by the kernel.
  if (shift > 0) all.splice(1, 0, [RSH, 32 - shift], [JEQ, 0, undefined, 'drop']);
  return all;
}

/** The same program may stand there several times: its labels are told apart by a number. */
function labelled(number: number, lines: readonly Line[]): Line[] {
  const own = (label: string | undefined) => (label === undefined ? undefined : `${label} ${number}`);
  return lines.map((line) => {
    if (typeof line === 'string') return `${line} ${number}`;
    const [code, k, jt, jf] = line;
    return jf === undefined ? [code, k, own(jt)] : [code, k, own(jt), own(jf)!];
  });
}

// In each of these, A is the EtherType at first, and `ip` is where the IP header begins.

/** A = the identification of an IPv4 packet that is not a fragment. */
const IDENTIFICATION = (ip: number): Line[] => [
  [JEQ, IPV4, undefined, 'drop'],
  [LD_H, ip + 6],
  [JSET, FRAGMENT, 'drop'],
  [LD_H, ip + 4],
];

/** A = sum of the first and last 8 bytes of a TCP or UDP payload, as words. Offsets count from the IP header. */
const PAYLOAD_SUM = (ip: number): Line[] => [
  // M[0] = length of the IP packet, X = where the TCP or UDP header begins.
  [JEQ, IPV4, 'v4'],
  [JEQ, IPV6, undefined, 'drop'],
  [LD_H, ip + 4],
  [ADD, 40],
  [ST, 0],
  [LDX_IMM, 40],
  [LD_B, ip + 6],
  [JA, 0, 'transport'],
  'v4',
  [LD_H, ip + 6],
  [JSET, FRAGMENT, 'drop'],
  [LD_H, ip + 2],
  [ST, 0],
  [LDX_MSH, ip],
  [LD_B, ip + 9],
  'transport',
  [JEQ, UDP, 'udp'],
  [JEQ, TCP, undefined, 'drop'],
  [LD_B_AT_X, ip + 12],
  [AND, 0xf0],
  [RSH, 2],
  [JA, 0, 'payload'],
  'udp',
  [LD_IMM, 8],
  'payload',
  // X = where the payload begins.
  [ADD_X, 0],
  [TAX, 0],
  [LD_MEM, 0],
  [SUB_X, 0],
  // A packet that says to be shorter than its headers wraps around.
  [JGE, 0x10000, 'drop'],
  [JGE, PAYLOAD_MIN_BYTES, undefined, 'drop'],
  [LD_W_AT_X, ip],
  [ST, 1],
  [LD_W_AT_X, ip + 4],
  [ST, 2],
  [LDX_MEM, 0],
  [LD_W_AT_X, ip - 4],
  [ST, 3],
  [LD_W_AT_X, ip - 8],
  [LDX_MEM, 1],
  [ADD_X, 0],
  [LDX_MEM, 2],
  [ADD_X, 0],
  [LDX_MEM, 3],
  [ADD_X, 0],
];

/** A = sum of the last 8 bytes of an IP packet that is not a fragment, as words. */
const TAIL_SUM = (ip: number): Line[] => [
  [JEQ, IPV4, 'v4'],
  [JEQ, IPV6, undefined, 'drop'],
  [LD_H, ip + 4],
  [ADD, 40],
  [JA, 0, 'tail'],
  'v4',
  [LD_H, ip + 6],
  [JSET, FRAGMENT, 'drop'],
  [LD_H, ip + 2],
  'tail',
  [JGE, TAIL_PACKET_MIN_BYTES, undefined, 'drop'],
  [TAX, 0],
  [LD_W_AT_X, ip - 4],
  [ST, 0],
  [LD_W_AT_X, ip - 8],
  [LDX_MEM, 0],
  [ADD_X, 0],
];

const LINES: Record<Invariant, (ip: number) => Line[]> = {
  'ipv4-id': IDENTIFICATION,
  'payload-tail': PAYLOAD_SUM,
  'five-tuple-payload': PAYLOAD_SUM,
  'packet-tail': TAIL_SUM,
};

function assemble(lines: readonly Line[]): BpfInstruction[] {
  const labels = new Map<string, number>();
  const code: Exclude<Line, string>[] = [];
  for (const line of lines) {
    if (typeof line === 'string') labels.set(line, code.length);
    else code.push(line);
  }
  return code.map(([opcode, k, jt, jf], at) => {
    const distance = (label: string | undefined) => (label === undefined ? 0 : labels.get(label)! - at - 1);
    return opcode === JA ? [opcode, 0, 0, distance(jt)] : [opcode, distance(jt), distance(jf), k];
  });
}
