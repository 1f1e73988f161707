/**
 * The free ports of one protocol, in the order in which they were given back: a port rests as long as possible before
 * it is used again, and the first order is random (RFC 6056). Taking and giving are O(1).
 */
export class PortPool {
  readonly #ring: Uint16Array;
  #head = 0;
  available: number;

  constructor(low: number, high: number, random: () => number = Math.random) {
    const ring = Uint16Array.from({ length: high - low + 1 }, (_, i) => low + i);
    for (let i = ring.length - 1; i > 0; i--) {
      const other = Math.floor(random() * (i + 1));
      const port = ring[i]!;
      ring[i] = ring[other]!;
      ring[other] = port;
    }
    this.#ring = ring;
    this.available = ring.length;
  }

  /** A port, or -1 if none is free. */
  take(): number {
    if (this.available === 0) return -1;
    const port = this.#ring[this.#head]!;
    this.#head = (this.#head + 1) % this.#ring.length;
    this.available--;
    return port;
  }

  /** Only ports that were taken may be given back. */
  give(port: number): void {
    this.#ring[(this.#head + this.available) % this.#ring.length] = port;
    this.available++;
  }
}
