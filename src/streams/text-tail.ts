/** The last of what a program prints, however much that is. */

export class TextTail {
  private readonly decoder = new TextDecoder();
  private kept = '';

  constructor(private readonly maxChars: number) {}

  readonly add = (bytes: Uint8Array): void => {
    this.kept += this.decoder.decode(bytes, { stream: true });
    // Not with every piece: what is cut off has to be worth the copy.
    if (this.kept.length > 2 * this.maxChars) this.kept = this.kept.slice(-this.maxChars);
  };

  get text(): string {
    return this.kept.slice(-this.maxChars);
  }
}
