/**
 * The composition root: builds the parts of the agent from a resolved configuration, wires them, and starts and
 * stops them in order. No other file knows more than its neighbours.
 */

import { join } from 'node:path';
import type { AgentConfig } from '../config/config.js';
import { Confined } from '../confinement/confined/confined.js';
import { CONSOLE_FOLDER } from '../console/assets.js';
import { Control } from '../control/control.js';
import { TakenCores } from '../control/taken-cores.js';
import { Dispatcher } from '../dispatch/dispatcher.js';
import { failuresTo } from '../dispatch/observer.js';
import { builtinEngines, ENGINE_DEFAULT } from '../engine/builtin.js';
import { Engines } from '../engine/engines.js';
import { unmountBelow } from '../engine/oci/rootfs.js';
import { createGateway, type Gateway } from '../gateway/server.js';
import { StorageQuota } from '../host/storage-quota.js';
import { closeOnExec } from '../linux/close-on-exec.js';
import { setApart } from '../linux/core-scheduling.js';
import { realClock } from '../model/clock.js';
import { asNemoError, NemoError } from '../model/errors.js';
import { logger } from '../model/logger.js';
import type { Platform } from '../model/platform.js';
import { VERSION } from '../model/version.js';
import { openNetwork } from '../network/catalogue.js';
import { LADDER } from '../policy/conflict/ladder.js';
import { none } from '../policy/prewarm/none.js';
import { Housekeeping } from '../pool/housekeeping.js';
import { Planner } from '../pool/planner.js';
import { Pool } from '../pool/pool.js';
import { preimportStems } from '../preimport/preimport-stems.js';
import { ImageUploads } from '../provision/image-uploads.js';
import { createRegistry } from '../provision/registry.js';
import { openStore } from '../store/open-store.js';
import { logFailure } from '../telemetry/log-book.js';
import { SandboxUsage } from '../telemetry/sandbox-usage.js';
import { Snapshot } from '../telemetry/snapshot.js';
import { openSources } from '../triggers/catalogue.js';
import { AGENT, GATEWAY } from '../tunables/index.js';
import { takeHost } from './agent-host.js';
import { openNfs } from './open-nfs.js';
import { openRecords } from './records.js';
import { type Closers, endAll, inTime } from './stopping.js';

export interface Agent {
  readonly url: string;
  /** Where functions have a port of their own: that one. */
  readonly functionsUrl: string | undefined;
  /** What this host cannot do, in words. */
  readonly warnings: readonly string[];
  /** Lets accepted calls end, then stops everything and puts NFs back as they were. Idempotent. */
  stop(): Promise<void>;
}

/** Starts everything or nothing. NOT_ROOT, AGENT_RUNNING, PORT_IN_USE, BAD_PROFILE, STORE, UNSUPPORTED. */
export async function startAgent(config: AgentConfig): Promise<Agent> {
  // Whoever started it may have left files open. Libraries start programs too.
  closeOnExec();
  const closers: Closers = [];
  try {
    return await build(config, closers);
  } catch (thrown) {
    // Why it did not start is what is to be told.
    await endAll(closers).catch(() => undefined);
    throw thrown;
  }
}

async function build(config: AgentConfig, closers: Closers): Promise<Agent> {
  // That it ends for a fault is said in any case.
  logger.level = config.logLevel === 'silent' ? 'fatal' : config.logLevel;
  const { policy } = config;
  const { driver, memory, coreScheduling, protection, claims, warnings } = await takeHost(config, closers);
  const { log, events, logs, calls, traces, forget } = await openRecords(
    config,
    (name) => registry.get(name) !== undefined,
    closers,
  );
  const egress = openNetwork('relay', config.egressAllow);
  closers.push(() => egress.close());
  const quota = new StorageQuota({ stateDir: config.stateDir, maxBytes: config.storageMaxBytes });
  const { housekeepingCores } = config;
  const confined = new Confined({ directory: join(config.runDir, 'confined'), driver, housekeepingCores });
  closers.push(() => confined.close());
  const directory = join(config.runDir, 'sandboxes');
  // What an agent that was killed left, of engines too that nobody asks for now.
  await unmountBelow(directory);
  const engines = new Engines(
    builtinEngines({
      ...{ directory, egress, confined, storage: quota, driver, ...config },
      // Where siblings are allowed, their owner wants them used.
      setApart: coreScheduling === 'on' && !config.allowSmtSiblings ? setApart : undefined,
      onNote: (message) => void log.emit({ kind: 'engine', severity: 'info', message }),
    }),
  );
  closers.push(() => engines.close());
  const { ok, reason = '', hint = '' } = await engines.check(ENGINE_DEFAULT);
  if (!ok) throw new NemoError('MISSING_PACKAGE', reason, { hint });
  const { store, warnings: storeWarnings } = await openStore(config.store);
  closers.push(() => store.close());
  warnings.push(...storeWarnings);
  const registry = await createRegistry({
    ...{ store, quota, bundleDir: quota.bundleDir },
    prepare: (engine, source) => engines.prepare(engine, source),
    runs: (spec) => engines.runs(spec),
    onWarning: (message) => events.warn(message),
  });
  closers.push(() => registry.close());
  warnings.push(...registry.warnings);

  const control = await Control.start({
    coreCount: Math.max(...config.functionCores, ...config.housekeepingCores) + 1,
    controlCore: config.housekeepingCores[0]!,
    functionCores: config.functionCores,
    conflict: policy.conflict,
    ladder: policy.ladder,
    predict: policy.predict,
    shareRatio: policy.shareRatio,
    runningPerCore: policy.runningPerCore,
  });
  closers.push(() => control.stop());

  const prewarm = policy.prewarm ? config.pool.prewarm : none.create({});
  const pool = new Pool({
    engines,
    driver,
    control,
    scheduling: policy.scheduling,
    stemSource: preimportStems(prewarm),
    memoryMaxBytes: memory.limitsBytes,
    makeRoom: (bytes, kind) => planner.makeRoom(bytes, kind),
    bundlePath: (spec) => registry.bundlePath(spec),
    packagePath: (hash) => registry.packagePath(hash),
    onLog: (line) => logs.append(line),
    onEnded: (worker, exit) => {
      dispatcher.sandboxEnded(worker);
      if (!stopping) events.sandboxEnded(worker, exit);
    },
  });
  const failed = (functionName: string, error: NemoError, sandboxId: string | undefined): void => {
    events.callFailed(functionName, error, sandboxId);
    logFailure(logs, functionName, error, sandboxId);
  };
  const dispatcher = new Dispatcher({
    control,
    pool,
    policy,
    functionCores: config.functionCores,
    fallbackCore: config.housekeepingCores[0]!,
    selection: config.pool.selection,
    observers: [traces, calls, failuresTo(failed)],
    onChanged: (fn) => planner.changed(fn),
  });
  const planner = new Planner({
    control,
    pool,
    dispatcher,
    functionCores: config.functionCores,
    prewarm,
    keepAlive: config.pool.keepAlive,
    onEvicted: (functionName, sandboxId, why) => events.sandboxEvicted(functionName, sandboxId, why),
    onWarning: (message) => events.warn(message),
    onNote: (message) => void log.emit({ kind: 'engine', severity: 'info', message }),
  });
  const housekeeping = new Housekeeping({
    clock: realClock,
    control,
    pool,
    planner,
    functions: () => dispatcher.functions.values(),
    onEvicted: (functionName, sandboxId, why) => events.sandboxEvicted(functionName, sandboxId, why),
    onWarning: (message) => events.warn(message),
  });
  for (const spec of registry.list()) dispatcher.setFunction(spec.ref.key, spec);
  await engines.retain(registry.list());
  registry.onChange((name, spec) => {
    engines.retain(registry.list()).catch((thrown) => events.warn(asNemoError(thrown).message));
    dispatcher.setFunction(name, spec);
    events.functionChanged(name, spec !== undefined);
    if (spec === undefined) forget(name);
    planner.tick();
  });
  const takenCores = new TakenCores({
    control,
    onTaken: (core) => dispatcher.coreChanged(core, true),
    onLeft: (core) => dispatcher.coreChanged(core, false),
    onWarning: (message) => events.warn(message),
  });
  control.on('level', ({ core, to }) => dispatcher.coreChanged(core, LADDER[to]!.offCore));
  events.follow(
    control,
    pool.instances,
    ({ functionKey: functionName, id: sandboxId }, core, awayMs, cause) => {
      if (!dispatcher.blames.blame(functionName, core, awayMs, cause, performance.now())) return;
      const text = `nemo: slowed packets on core ${core}: ${cause}`;
      logs.append({ functionName, sandboxId, timeMs: Date.now(), stream: 'stderr', text });
    },
  );

  if (protection.restoredAtStart > 0) {
    events.warn(
      `${protection.restoredAtStart} NF threads got their scheduling back that an earlier agent had changed`,
    );
  }
  const nfs = await openNfs(config, {
    ...{ control, driver, events: log, claims, protection, coreScheduling },
    onExcluded: (core) => dispatcher.coreChanged(core, true),
  });
  closers.push(() => nfs.stop());
  // Sandboxes end before the NF's protection does.
  closers.push(() => pool.close());
  closers.push(() => {
    planner.stop();
    housekeeping.stop();
  });

  const usage = new SandboxUsage();
  closers.push(() => usage.close());
  const snapshot = new Snapshot({
    board: control.board,
    policy: policy.name,
    version: VERSION,
    functionCores: config.functionCores,
    housekeepingCores: config.housekeepingCores,
    functions: () => dispatcher.functions.values(),
    blameOf: (name, nowMs) => dispatcher.blames.record(name, nowMs),
    workers: () => pool.instances.values(),
    stems: () => pool.stems.ready,
    nfs: () => nfs.feed(),
    takenBy: (core) => takenCores.why(core),
    recentEvents: () => log.since(0, 100),
    usage,
    slowReaders: () => gateway?.feed.slowReaders ?? 0,
    warnings: () => warnings,
  });
  const uploads = await ImageUploads.open(quota);
  closers.push(() => uploads.close());
  const platform: Platform = {
    registry,
    uploads,
    logs,
    events: log,
    traces,
    invoke: (call, sink) => dispatcher.invoke(call, sink),
    refused: (key, call, error) => dispatcher.refused(key, call, error),
    frame: () => snapshot.frame(),
    engines: () => engines.list(),
  };
  let stopping = false;
  let gateway: Gateway | undefined;
  nfs.start();
  planner.start();
  housekeeping.start();
  gateway = await createGateway(platform, {
    ...config.http,
    timeouts: { keepAliveTimeoutMs: config.http.keepAliveTimeoutMs },
    limits: {
      connectionsMax: config.http.maxConnections,
      connectionsPerAddressMax: config.http.maxConnectionsPerAddress,
    },
    bodyMaxBytes: GATEWAY.bodyMaxBytes,
    consoleDir: CONSOLE_FOLDER,
    logLevel: config.logLevel,
    calls,
  });
  const sources = await openSources(config, { agentName: config.name, platform, store });
  for (const message of warnings) events.warn(message);
  log.emit({ kind: 'agent-started', severity: 'info', message: `agent started, policy ${policy.name}` });

  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    stopping = true;
    log.emit({ kind: 'agent-stopping', severity: 'info', message: 'the agent is stopping' });
    const callers = [
      () => dispatcher.drain(AGENT.drainMs),
      () => gateway!.close(),
      ...sources.map((source) => () => source.close()),
    ];
    closers.push(async () => void (await Promise.all(callers.map((end) => inTime(end)))));
    await endAll(closers);
  };
  control.on('failed', (error) => {
    // Without its loop the agent cannot guard the NF: functions end, the NF gets back what it had.
    logger.fatal({ err: error }, `the control thread failed: ${error.message}`);
    process.exitCode = 2;
    stopped ??= stop();
    void stopped.finally(() => process.exit(2));
  });
  return {
    url: gateway.url,
    functionsUrl: gateway.functionsUrl,
    warnings,
    stop() {
      stopped ??= stop();
      return stopped;
    },
  };
}
