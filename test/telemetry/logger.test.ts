import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const LOGGER = new URL('../../src/model/logger.js', import.meta.url).href;

/** What a process that runs this code says on stderr. */
async function stderrOf(code: string): Promise<string> {
  const source = `import { logger } from '${LOGGER}';\n${code}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'inherit', 'pipe'],
    cwd: fileURLToPath(new URL('.', import.meta.url)),
  });
  const [said] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  return said;
}

describe('the log', () => {
  it('is a line of JSON on stderr, in which nothing steers a terminal', async () => {
    const message = 'it says \u001b[2J\u202e';
    const said = await stderrOf(`logger.warn({ err: new Error('why') }, ${JSON.stringify(message)});`);
    expect(said).to.match(/^[\x20-\x7e]+\n$/);
    expect(JSON.parse(said))
      .to.deep.include({ level: 40, msg: message })
      .and.to.have.nested.property('err.message', 'why');
  });

  it('says warnings and worse unless it is told another level', async () => {
    const said = await stderrOf(
      `logger.info('not'); logger.error('this'); logger.level = 'silent'; logger.fatal('not')`,
    );
    expect(
      said
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).msg),
    ).to.deep.equal(['this']);
  });
});
