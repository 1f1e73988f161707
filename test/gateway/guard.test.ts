import { expect } from 'chai';
import { Guard } from '../../src/gateway/guard.js';

describe('guard', () => {
  it('on a wildcard address takes every literal address but no foreign name', () => {
    const guard = new Guard({ host: '0.0.0.0' });
    for (const host of ['10.1.2.3:8080', '[2001:db8::1]:8080', 'localhost']) {
      expect(guard.hostAllowed(host), host).to.equal(true);
    }
    for (const host of ['evil.example', '10.1.2.3.evil.example', '[zz]', undefined]) {
      expect(guard.hostAllowed(host), String(host)).to.equal(false);
    }
  });

  it('on one address takes this one, local names and configured ones', () => {
    const guard = new Guard({ host: '10.1.2.3', allowedHosts: ['Edge.Example'] });
    for (const host of ['10.1.2.3', '127.0.0.1:80', '[::1]', 'EDGE.example:443']) {
      expect(guard.hostAllowed(host), host).to.equal(true);
    }
    for (const host of ['10.1.2.4', 'edge.example.evil', 'x@localhost', 'localhost/', ' localhost']) {
      expect(guard.hostAllowed(host), host).to.equal(false);
    }
  });

  it('gives the same verdict when it is asked again, and forgets instead of growing', () => {
    const guard = new Guard({ host: '127.0.0.1' });
    for (let i = 0; i < 2_000; i++) expect(guard.hostAllowed(`h${i}.evil`)).to.equal(false);
    for (let i = 0; i < 2; i++) expect(guard.hostAllowed('localhost')).to.equal(true);
  });

  it('takes the own page, whatever its port, but no other page of this machine', () => {
    const guard = new Guard({ host: '127.0.0.1', allowedHosts: ['edge.example'] });
    expect(guard.originAllowed(undefined, 'localhost:8080')).to.equal(true);
    expect(guard.originAllowed('http://localhost:8080', 'localhost:8080')).to.equal(true);
    expect(guard.originAllowed('https://edge.example', 'localhost:8080')).to.equal(true);
    for (const origin of [
      'http://localhost:3000',
      'http://127.0.0.1:8080',
      'null',
      '',
      'http://evil/localhost:8080',
    ]) {
      expect(guard.originAllowed(origin, 'localhost:8080'), origin).to.equal(false);
    }
  });

  it('takes no page of another server of the host on port 80 or 443, unless its name was given to the agent', () => {
    const guard = new Guard({
      host: '10.1.2.3',
      allowedHosts: ['edge.example', 'functions.example'],
      functionsHost: 'functions.example',
    });
    for (const [origin, host, own] of [
      ['http://10.1.2.3', '10.1.2.3:8080', false],
      ['https://10.1.2.3', '10.1.2.3:8080', false],
      ['https://10.1.2.3', '10.1.2.3', false],
      ['http://10.1.2.3', '10.1.2.3', true],
      ['https://10.1.2.3:8443', '10.1.2.3:8443', true],
      ['https://edge.example', 'edge.example', true],
      ['http://edge.example', '10.1.2.3:8080', true],
      ['http://edge.example:81', '10.1.2.3:8080', false],
      ['http://functions.example', '10.1.2.3:8080', false],
    ] as const) {
      expect(guard.originAllowed(origin, host), `${origin} at ${host}`).to.equal(own);
    }
  });
});
