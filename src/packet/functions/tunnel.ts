/**
 * An encrypting layer-2 tunnel: direction 0 puts the whole frame, AES-GCM sealed, into UDP over IPv4 or IPv6;
 * direction 1 checks, opens and restores it. Two boxes with the same key and mirrored local/remote make a tunnel.
 *
 *   Ethernet | IP | UDP | session 8 | sequence 8 | sealed frame | tag 16      (sealed with session + sequence as AAD)
 *
 * A nonce is never used twice: each start takes a new session (wall clock, then random bits), whose own key comes from
 * the configured one by HKDF, and counts from 0 in it. A receiver follows the newest session only. Easy to get wrong:
 * a sealed frame is `overheadBytes` longer; what exceeds the slot or `maxFrameBytes` is dropped and counted. Node's
 * crypto makes objects for each packet: this function alone allocates.
 *
 * Configuration: key (32 or 64 hex digits), local, remote, port, maxFrameBytes, localMac, remoteMac, replayWindow.
 */

import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { buildFrame, headerBytes } from '../build.js';
import { internetChecksum, onesSum } from '../checksum.js';
import { Headers, L4_UDP, OK, parseHeaders, writeU16 } from '../headers.js';
import { ConfigReader } from './config.js';
import { type Direction, DROP, type NetworkFunction } from './function.js';
import { ReplayWindow } from './replay-window.js';

const SESSION_BYTES = 8;
/** Session and sequence: what travels in the clear. */
const CLEAR_BYTES = 16;
const TAG_BYTES = 16;
/** Published, so it protects nothing: it lets the function run without a configuration. */
const EXAMPLE_KEY = '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f';

export class Tunnel implements NetworkFunction {
  readonly name = 'tunnel';
  readonly counters = {
    forwarded: 0,
    dropped: 0,
    /** Direction 1: does not parse. Direction 0 takes any frame as it is. */
    broken: 0,
    sealed: 0,
    opened: 0,
    tooBig: 0,
    notTunnel: 0,
    /** Forged, damaged, of another key. */
    badTag: 0,
    replayed: 0,
    /** Of a session before the newest. */
    oldSession: 0,
  };
  readonly overheadBytes: number;
  readonly #headers = new Headers();
  readonly #key: Buffer;
  readonly #maxFrameBytes: number;
  readonly #port: number;
  readonly #v4: boolean;
  readonly #addresses: { local: Int32Array; remote: Int32Array };
  /** Outer headers, whose lengths and checksums are filled in the frame, then session and sequence. */
  readonly #outer: Uint8Array;
  /** The part of `#outer` after the headers. */
  readonly #clear: Uint8Array;
  readonly #outerBytes: number;
  readonly #sendKey: Buffer;
  #sendSequence = 0;
  readonly #sendNonce = Buffer.alloc(12);
  readonly #receiveNonce = Buffer.alloc(12);
  readonly #receiveSession = Buffer.alloc(SESSION_BYTES);
  #receiveKey: Buffer | undefined;
  readonly #window: ReplayWindow;

  constructor(config: unknown) {
    const reader = new ConfigReader('tunnel', config);
    const key = reader.text('key', EXAMPLE_KEY);
    if (!/^([0-9a-f]{32}|[0-9a-f]{64})$/i.test(key)) reader.fail('key', '32 or 64 hexadecimal digits');
    this.#key = Buffer.from(key, 'hex');
    const localText = reader.text('local', '198.51.100.1');
    const remoteText = reader.text('remote', '198.51.100.2');
    const local = reader.address('local', localText);
    const remote = reader.address('remote', remoteText);
    if (local.version !== remote.version)
      reader.fail('remote', `an IPv${local.version} address, as local is one`);
    this.#v4 = local.version === 4;
    this.#addresses = { local: local.words, remote: remote.words };
    this.#port = reader.integer('port', 4789, 1, 65535);
    this.#maxFrameBytes = reader.integer('maxFrameBytes', 1514, 128, 65535);
    const windowBits = reader.integer('replayWindow', 1024, 32, 65536);
    if ((windowBits & (windowBits - 1)) !== 0) reader.fail('replayWindow', 'a power of two');
    this.#window = new ReplayWindow(windowBits);
    const macs = { sourceMac: reader.mac('localMac'), destinationMac: reader.mac('remoteMac') };
    reader.end();

    this.#outerBytes = headerBytes('udp', local.version);
    this.overheadBytes = this.#outerBytes + CLEAR_BYTES + TAG_BYTES;
    const session = randomBytes(SESSION_BYTES);
    session.writeUIntBE(Date.now(), 0, 6);
    this.#sendKey = this.#sessionKey(session);
    this.#outer = buildFrame({
      protocol: 'udp',
      source: localText,
      destination: remoteText,
      sourcePort: this.#port,
      destinationPort: this.#port,
      payload: Buffer.concat([session], CLEAR_BYTES),
    });
    this.#clear = this.#outer.subarray(this.#outerBytes);
    if (macs.sourceMac !== undefined) this.#outer.set(macs.sourceMac, 6);
    if (macs.destinationMac !== undefined) this.#outer.set(macs.destinationMac, 0);
  }

  process(frame: Uint8Array, length: number, direction: Direction, _nowMs: number): number {
    const result = direction === 0 ? this.#seal(frame, length) : this.#open(frame, length);
    if (result === DROP) this.counters.dropped++;
    else this.counters.forwarded++;
    return result;
  }

  #seal(frame: Uint8Array, length: number): number {
    const total = length + this.overheadBytes;
    if (length > frame.length || total > frame.length || total > this.#maxFrameBytes) {
      this.counters.tooBig++;
      return DROP;
    }
    const body = this.#outerBytes + CLEAR_BYTES;
    writeNonce(this.#sendNonce, this.#sendSequence++);
    const cipher = createCipheriv(this.#algorithm(), this.#sendKey, this.#sendNonce);
    this.#outer.set(this.#sendNonce.subarray(4), this.#outerBytes + SESSION_BYTES);
    cipher.setAAD(this.#clear);
    const sealed = cipher.update(frame.subarray(0, length));
    cipher.final();
    frame.set(this.#outer, 0);
    frame.set(sealed, body);
    frame.set(cipher.getAuthTag(), body + length);
    this.#finishOuter(frame, total);
    this.counters.sealed++;
    return total;
  }

  #open(frame: Uint8Array, length: number): number {
    const h = this.#headers;
    const code = parseHeaders(frame, length, h);
    if (code > OK && code !== 1) {
      this.counters.broken++;
      return DROP;
    }
    const sealedAt = h.payloadOffset + CLEAR_BYTES;
    const sealedEnd = h.payloadEnd - TAG_BYTES;
    if (code !== OK || !this.#fromRemote(h) || sealedEnd - sealedAt < 14) {
      this.counters.notTunnel++;
      return DROP;
    }
    const session = frame.subarray(h.payloadOffset, h.payloadOffset + SESSION_BYTES);
    const order = this.#receiveKey === undefined ? 1 : Buffer.compare(session, this.#receiveSession);
    if (order < 0) {
      this.counters.oldSession++;
      return DROP;
    }
    const sequence = readSequence(frame, h.payloadOffset + SESSION_BYTES);
    if (sequence < 0 || (order === 0 && !this.#window.fresh(sequence))) {
      this.counters.replayed++;
      return DROP;
    }
    const key = order === 0 ? this.#receiveKey! : this.#sessionKey(session);
    writeNonce(this.#receiveNonce, sequence);
    const decipher = createDecipheriv(this.#algorithm(), key, this.#receiveNonce);
    decipher.setAAD(frame.subarray(h.payloadOffset, sealedAt));
    decipher.setAuthTag(frame.subarray(sealedEnd, h.payloadEnd));
    const opened = decipher.update(frame.subarray(sealedAt, sealedEnd));
    try {
      decipher.final();
    } catch {
      this.counters.badTag++;
      return DROP;
    }
    if (order > 0) {
      this.#receiveKey = key;
      this.#receiveSession.set(session);
      this.#window.clear();
    }
    this.#window.accept(sequence);
    frame.set(opened, 0);
    this.counters.opened++;
    return opened.length;
  }

  #fromRemote(h: Headers): boolean {
    if (h.l4Kind !== L4_UDP || h.destinationPort !== this.#port || (h.version === 4) !== this.#v4)
      return false;
    for (let word = 0; word < 4; word++) {
      if (h.tuple[word] !== this.#addresses.remote[word] || h.tuple[word + 4] !== this.#addresses.local[word])
        return false;
    }
    return true;
  }

  /** Lengths and checksums of the outer headers. UDP over IPv4 goes without (RFC 6935's reasons hold: GCM protects). */
  #finishOuter(frame: Uint8Array, total: number): void {
    const l4 = this.#outerBytes - 8;
    writeU16(frame, l4 + 4, total - l4);
    writeU16(frame, l4 + 6, 0);
    if (this.#v4) {
      writeU16(frame, 16, total - 14);
      writeU16(frame, 24, 0);
      writeU16(frame, 24, internetChecksum(frame, 14, 34));
    } else {
      writeU16(frame, 18, total - l4);
      // Addresses, length and protocol stand for the pseudo header.
      const pseudo = onesSum(frame, 22, 54, total - l4 + 17);
      writeU16(frame, l4 + 6, internetChecksum(frame, l4, total, pseudo) || 0xffff);
    }
  }

  #sessionKey(session: Uint8Array): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#key, session, 'nemo tunnel 1', this.#key.length));
  }

  #algorithm(): 'aes-128-gcm' | 'aes-256-gcm' {
    return this.#key.length === 16 ? 'aes-128-gcm' : 'aes-256-gcm';
  }
}

/** 96 bits: four zero bytes, then the sequence number. Each session has a key of its own. */
function writeNonce(nonce: Buffer, sequence: number): void {
  nonce.writeUInt32BE(Math.floor(sequence / 0x100000000), 4);
  nonce.writeUInt32BE(sequence >>> 0, 8);
}

/** -1 if it is beyond 2^52, which no sender reaches. */
function readSequence(frame: Uint8Array, at: number): number {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset + at, 8);
  const high = bytes.readUInt32BE(0);
  return high < 0x100000 ? high * 0x100000000 + bytes.readUInt32BE(4) : -1;
}
