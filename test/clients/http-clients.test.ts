/** Clients that nobody here wrote, against a running agent: what each gets, byte by byte. */

import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Client } from 'undici';
import WebSocket from 'ws';
import { RealAgent } from '../support/real-agent.js';
import { bytesOf, ECHO, need, output, PYTHON, run } from './run-client.js';

const CALLS = 1_000;
const PAYLOAD = bytesOf(2_000_000);

describe('clients: HTTP', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'nemo-clients-'));
  const file = join(folder, 'payload');
  const got = join(folder, 'got');
  // At default scheduling: what is looked at is the wire.
  const agent = new RealAgent({ policy: 'naive' });
  let url: string;
  let host: string;
  let port: string;
  before(async () => {
    writeFileSync(file, PAYLOAD);
    await agent.start();
    ({ hostname: host, port } = new URL(agent.url));
    url = `${agent.url}/function/echo`;
    expect((await agent.deploy('echo', ECHO, { concurrency: 100 })).status).to.equal(201);
    // The first call starts a sandbox.
    expect((await agent.call('echo', 'warm')).body).to.equal('warm');
  });
  after(async () => {
    await agent.close();
    rmSync(folder, { recursive: true, force: true });
  });

  describe('curl', () => {
    const curl = (...args: string[]) => output('curl', ['-sS', '--fail', '--max-time', '20', ...args, url]);

    it('of HTTP/1.0, which knows no chunks', async () => {
      expect((await curl('-0', '-d', 'old')).toString()).to.equal('old');
    });

    it('of HTTP/1.1, and one that offers HTTP/2', async () => {
      expect((await curl('--http1.1', '-d', 'one')).toString()).to.equal('one');
      expect((await curl('--http2', '-d', 'two')).toString()).to.equal('two');
    });

    it('of HTTP/2 without asking is refused at once', async () => {
      const { code, out } = await run('curl', ['-sS', '--max-time', '20', '--http2-prior-knowledge', url]);
      // 28 is a timeout.
      expect(code).to.not.be.oneOf([0, 28]);
      expect(out).to.have.length(0);
    });

    it('that unpacks what is packed', async () => {
      expect((await curl('--compressed', '-d', 'plain')).toString()).to.equal('plain');
    });

    it('uploads of known length, after it has asked whether it may', async () => {
      expect((await curl('-H', 'Expect: 100-continue', '-T', file)).equals(PAYLOAD)).to.equal(true);
    });

    it('uploads of unknown length, from stdin', async () => {
      const sent = await output('curl', ['-sS', '--fail', '-X', 'POST', '-T', '-', url], PAYLOAD);
      expect(sent.equals(PAYLOAD)).to.equal(true);
    });

    it('uploads that are too long are refused before they are sent', async () => {
      const long = join(folder, 'long');
      writeFileSync(long, '');
      truncateSync(long, 99_000_000);
      const args = [
        '-sS',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code} %{size_upload}',
        '-H',
        'Expect: 100-continue',
      ];
      expect((await run('curl', [...args, '-T', long, url])).out.toString()).to.equal('413 0');
    });

    it('HEAD, and other methods', async () => {
      expect((await curl('-I')).toString()).to.match(/^HTTP\/1.1 200 OK\r\n/);
      for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
        expect((await curl('-X', method, '-d', method)).toString()).to.equal(method);
      }
    });
  });

  it('netcat, which ends its half when it has asked', async function () {
    need(this, 'nc');
    const request = `POST /function/echo HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 4\r\n\r\nhalf`;
    expect((await output('nc', ['-N', host, port], request)).toString()).to.match(
      /^HTTP\/1.1 200 [\s\S]*\r\n\r\nhalf$/,
    );
  });

  it('ab, which keeps connections of HTTP/1.0', async () => {
    const told = (await output('ab', ['-q', '-k', '-n', String(CALLS), '-c', '8', url])).toString();
    expect(told).to.match(new RegExp(`Complete requests: +${CALLS}\n`));
    expect(told).to.match(/Failed requests: +0\n/);
    expect(told).to.match(new RegExp(`Keep-Alive requests: +${CALLS}\n`));
    expect(told).to.not.contain('Non-2xx');
  });

  it('wrk, as fast as it can', async () => {
    const told = (await output('wrk', ['-t1', '-c8', '-d1s', url])).toString();
    expect(told).to.match(/[1-9]\d* requests in/);
    expect(told).to.not.match(/Non-2xx|Socket errors/);
  });

  it("Python's http.client: 1,000 calls on one connection", async () => {
    const script = `
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)
c.connect()
first, right = c.sock, 0
for i in range(${CALLS}):
    c.request('POST', '/function/echo', body=b'\\x00\\xff%d' % i)
    right += c.getresponse().read() == b'\\x00\\xff%d' % i
print(right, c.sock is first)
c.request('POST', '/function/echo', body=iter([b'in ', b'two ', b'parts']), encode_chunked=True, headers={'Transfer-Encoding': 'chunked'})
print(c.getresponse().read().decode())`;
    const said = await output(PYTHON, ['-c', script, host, port]);
    expect(said.toString()).to.equal(`${CALLS} True\nin two parts\n`);
  });

  it("Python's requests: a session, a file, a stream", async () => {
    const script = `
import requests, sys
url, path = sys.argv[1:]
sent = open(path, 'rb').read()
with requests.Session() as s:
    print(all(s.post(url, data='%d' % i).text == '%d' % i for i in range(50)))
    print(s.post(url, data=open(path, 'rb')).content == sent)
    print(s.post(url, data=(sent[i:i + 65536] for i in range(0, len(sent), 65536))).content == sent)
    print(s.post(url, json={'a': 'ü'}).json())
    print(s.post(url + '-missing').json()['error']['code'])`;
    const said = await output(PYTHON, ['-c', script, url, file]);
    expect(said.toString()).to.equal("True\nTrue\nTrue\n{'a': 'ü'}\nNOT_FOUND\n");
  });

  it("Java's HttpClient, which offers HTTP/2", async function () {
    need(this, 'java', 'javac');
    const source = join(folder, 'Ask.java');
    writeFileSync(source, JAVA);
    expect((await output('java', ['-Xmx128m', source, url])).toString()).to.equal('100\nHTTP_1_1\n');
  });

  describe('node', () => {
    it('fetch', async () => {
      const sent = new Uint8Array(PAYLOAD);
      const reply = await fetch(url, { method: 'POST', body: sent });
      expect(Buffer.from(await reply.arrayBuffer()).equals(PAYLOAD)).to.equal(true);
      const stream = new Blob([sent]).stream();
      const streamed = await fetch(url, { method: 'POST', body: stream, duplex: 'half' } as RequestInit);
      expect(Buffer.from(await streamed.arrayBuffer()).equals(PAYLOAD)).to.equal(true);
    });

    it('http.Agent: 1,000 calls on eight connections', async () => {
      const pool = new HttpAgent({ keepAlive: true, maxSockets: 8 });
      const sockets = new Set<unknown>();
      const one = (text: string) =>
        new Promise<boolean>((resolve, reject) => {
          const asked = httpRequest(url, { method: 'POST', agent: pool }, (reply) => {
            let said = '';
            reply.on('data', (part) => (said += part)).on('end', () => resolve(said === text));
          });
          asked.on('socket', (socket) => sockets.add(socket)).on('error', reject);
          asked.end(text);
        });
      const right = await Promise.all(Array.from({ length: CALLS }, (_, i) => one(`number ${i}`)));
      pool.destroy();
      expect(right.filter(Boolean)).to.have.length(CALLS);
      expect(sockets.size).to.equal(8);
    });

    it('undici, which sends the next before it has the answer', async () => {
      const client = new Client(agent.url, { pipelining: 10 });
      const texts = Array.from({ length: 100 }, (_, i) => `pipelined ${i}`);
      const got = await Promise.all(
        texts.map(async (body) => {
          const { body: said } = await client.request({ path: '/function/echo', method: 'PUT', body });
          return said.text();
        }),
      );
      await client.close();
      expect(got).to.deep.equal(texts);
    });
  });

  describe('websockets: the feed', () => {
    it('of ws', async () => {
      const socket = new WebSocket(`${agent.url.replace('http', 'ws')}/feed`);
      const frame = await new Promise<string>((resolve, reject) => {
        socket.on('message', (data) => resolve(String(data))).on('error', reject);
      });
      socket.close();
      expect(JSON.parse(frame)).to.have.property('schema');
    });

    for (const [module, script] of [
      [
        'websocket',
        `import websocket, sys\nw = websocket.create_connection(sys.argv[1], timeout=20)\nprint(w.recv())\nw.close()`,
      ],
      [
        'websockets',
        `import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1], max_size=2**24) as w:
        frame = await asyncio.wait_for(w.recv(), 20)
        await asyncio.wait_for(await w.ping(), 20)
        print(frame)
asyncio.run(main())`,
      ],
    ] as const)
      it(`of Python's ${module}`, async () => {
        const said = await output(PYTHON, ['-c', script, `${agent.url.replace('http', 'ws')}/feed`]);
        expect(JSON.parse(said.toString())).to.have.property('schema');
      });
  });

  it('curl, a file to a file', async () => {
    await output('curl', ['-sS', '--fail', '--data-binary', `@${file}`, '-o', got, url]);
    expect((await output('cmp', [file, got])).length).to.equal(0);
  });
});

const JAVA = `import java.net.URI;
import java.net.http.*;
public class Ask {
  public static void main(String[] args) throws Exception {
    HttpClient client = HttpClient.newHttpClient();
    int right = 0;
    HttpResponse<String> last = null;
    for (int i = 0; i < 100; i++) {
      HttpRequest ask = HttpRequest.newBuilder(URI.create(args[0])).POST(HttpRequest.BodyPublishers.ofString("n" + i)).build();
      last = client.send(ask, HttpResponse.BodyHandlers.ofString());
      if (last.body().equals("n" + i)) right++;
    }
    System.out.println(right);
    System.out.println(last.version());
  }
}
`;
