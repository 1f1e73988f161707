import { expect } from 'chai';
import { isRepeatable, NOT_ACCEPTED, wasNotTaken } from '../../../src/engine/oci/repeats.js';

const failed = (code: string): Error => Object.assign(new Error(code), { code });

describe('a request to an image’s server whose connection broke', () => {
  it('was not taken where none was accepted, whatever it carried', () => {
    for (const body of [null, Buffer.alloc(1), Buffer.alloc(1 << 20)])
      expect(wasNotTaken(body, failed(NOT_ACCEPTED))).to.equal(true);
  });

  it('was not taken if it was reset with all of it unread, which only a short one tells', () => {
    for (const code of ['ECONNRESET', 'EPIPE']) {
      expect(wasNotTaken(null, failed(code))).to.equal(true);
      expect(wasNotTaken(Buffer.alloc(4096), failed(code))).to.equal(true);
      expect(wasNotTaken(Buffer.alloc(4097), failed(code))).to.equal(false);
    }
    expect(wasNotTaken(null, failed('UND_ERR_SOCKET'))).to.equal(false);
  });

  it('may be repeated if it does the same twice, and the connection was closed', () => {
    for (const code of ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']) {
      for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])
        expect(isRepeatable(method, failed(code)), method).to.equal(true);
      for (const method of ['POST', 'PATCH'])
        expect(isRepeatable(method, failed(code)), method).to.equal(false);
    }
    expect(isRepeatable('GET', failed('UND_ERR_HEADERS_OVERFLOW'))).to.equal(false);
  });
});
