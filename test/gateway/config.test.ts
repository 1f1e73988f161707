import { expect } from 'chai';
import { resolveConfig } from '../../src/config/config.js';
import { CONFIG_SCHEMA, type UserConfig } from '../../src/config/config-schema.js';
import { compileSchema, parseCheckedYaml } from '../../src/model/checked-yaml.js';

describe('the configuration of HTTP', () => {
  const read = (http: string): UserConfig =>
    parseCheckedYaml<UserConfig>(`http: ${http}\n`, 'nemo.yaml', {
      code: 'BAD_CONFIG',
      what: 'the configuration',
      hint: '',
      validate: compileSchema<UserConfig>(CONFIG_SCHEMA),
    }).value;

  it('leaves functions on the origin of API and console unless it is told, and bounds connections', () => {
    const { http } = resolveConfig({}, [0, 1]);
    expect(http).to.deep.equal({
      host: '127.0.0.1',
      port: 8080,
      allowedHosts: [],
      allowedOrigins: [],
      maxConnections: 4096,
      maxConnectionsPerAddress: 1024,
      keepAliveTimeoutMs: 75_000,
    });
    expect(resolveConfig(read('{ keepAliveTimeout: 2m }'), [0]).http).to.include({
      keepAliveTimeoutMs: 120_000,
    });
  });

  it('takes an origin of their own for functions, pages that may ask, and other bounds', () => {
    const given = {
      functionsPort: 8081,
      functionsHost: 'functions.example',
      allowedOrigins: ['https://shop.example', 'http://localhost:3000'],
      maxConnections: 10,
    };
    expect(resolveConfig(read(JSON.stringify(given)), [0]).http).to.deep.include(given);
  });

  it('refuses ports for functions whose pages could not be told from the agent’s own', () => {
    const refused = { functionsPort: 80, allowedHosts: ['edge.example'] };
    expect(() => resolveConfig({ http: refused }, [0])).to.throw(/port 80 of edge\.example/);
    expect(() => resolveConfig({ http: { ...refused, functionsPort: 443 } }, [0])).to.throw(/port 443/);
    for (const http of [{ functionsPort: 80 }, { ...refused, functionsPort: 8081 }])
      expect(resolveConfig({ http }, [0]).http).to.include({ functionsPort: http.functionsPort });
  });

  for (const http of [
    '{ functionsPort: 70000 }',
    '{ functionsHost: "functions.example:80" }',
    '{ functionsHost: "https://functions.example" }',
    '{ allowedOrigins: ["shop.example"] }',
    '{ allowedOrigins: ["https://shop.example/"] }',
    '{ allowedOrigins: ["*"] }',
    '{ allowedOrigins: ["null"] }',
    '{ maxConnections: 0 }',
    '{ keepAliveTimeout: 75 }',
    '{ keepAliveTimeout: soon }',
  ]) {
    it(`refuses ${http}`, () => {
      expect(() => read(http)).to.throw(/nemo\.yaml:1/);
    });
  }
});
