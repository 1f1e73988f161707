/** Functions that speak on their sandbox's own socket in place of their runner. */

/** `frame(type, callId, body, kind, status, meta)`, `times(bytes, n)`, `flood(fd, bytes, most)` to send without end. */
export const SENDER = `import { writeSync } from 'node:fs';
const frame = (type, id, body = '', kind = 0, status = 0, meta = '') => {
  const text = Buffer.from(meta);
  const header = Buffer.alloc(20);
  header.writeUInt32LE(Buffer.byteLength(body), 0);
  header.writeUInt32LE(text.length, 4);
  header.writeUInt32LE(id, 8);
  header[12] = type;
  header[13] = kind;
  header.writeUInt16LE(status, 14);
  return Buffer.concat([header, text, Buffer.from(body)]);
};
const times = (bytes, n) => Buffer.concat(Array(n).fill(bytes));
const flood = (fd, bytes, most = bytes.length) => {
  let at = 0;
  const go = () => {
    for (let i = 0; i < 100; i++) {
      try {
        at += writeSync(fd, bytes, at, Math.min(most, bytes.length - at));
      } catch (error) {
        if (error.code !== 'EAGAIN') return;
        break;
      }
      if (at >= bytes.length) at = 0;
    }
    setImmediate(go);
  };
  go();
  return new Promise(() => {});
};
`;
