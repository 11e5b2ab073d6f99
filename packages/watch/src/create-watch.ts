import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import {
  type Agreement,
  type AlertRow,
  beatInstance,
  type Database,
  endInstance,
  forgetAlertMessages,
  forgetInstances,
  getInstallation,
  holdAlertWatch,
  type InstanceIdentity,
  leaveAlertWatch,
  listLiveInstances,
  type ServiceName,
} from "@pipeline/db";
import type { Logger } from "@pipeline/runtime";
import { findDifferences, type Difference } from "./compare-instances.ts";
import { deliverMessages } from "./deliver-messages.ts";
import { evaluateAlerts } from "./evaluate-alerts.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { createLatencyWindow, type LatencyWindow } from "./latency-window.ts";
import { createOutage } from "./outage.ts";

export interface WatchOptions {
  database: Database;
  log: Logger;
  service: ServiceName;
  build: string;
  agreement: Agreement;
  /** Today's budget of everybody, in US dollars. */
  budgetUsdPerDay: number | undefined;
  /** Where alerts are told; undefined: by this process nowhere. */
  webhookUrl: string | undefined;
  /** Milliseconds of a clock that never goes back. */
  clock?: () => number;
}

/** What this process knows about those that it works with, since its last round. */
export interface WatchView {
  /** The same for processes that fit together. */
  fingerprint: string;
  /** The newest migration of the schema, whatever this process's code needs. */
  schema_version: number;
  differences: Difference[];
}

/** Tells that this process runs, looks whether all that run fit together, and, one process at a time, at the alerts. */
export interface Watch {
  readonly agreement: Agreement;
  /** What the API served lately; told with every round. */
  readonly traffic: LatencyWindow;
  start(): void;
  /** One round, without what is to be sent. Never throws: a database that does not answer is told by `look`. */
  tick(): Promise<void>;
  /** Sends what is to be told about alerts, if this process has a webhook. Never throws. */
  deliver(): Promise<void>;
  /** One look at whether the database answers. */
  look(): Promise<void>;
  /** Undefined before the first round that reached the database. */
  view(): WatchView | undefined;
  /** Whether the database answers, as this process sees it. */
  databaseAlert(): AlertRow;
  stop(): Promise<void>;
}

const ROUND_MS = 10_000;
const LOOK_MS = 5_000;
const DELIVER_MS = 5_000;
/** Three rounds: a process that is slow is not gone. */
const LIFE_MS = 35_000;
const FORGET_EVERY_MS = 3_600_000;
/** On a database that does not answer nobody waits longer to say goodbye. */
const GOODBYE_MS = 2_000;

export function createWatch(options: WatchOptions): Watch {
  const { database, log, agreement, webhookUrl, clock = () => performance.now() } = options;
  const identity = identify(options);
  const origin = { environment: agreement.environment, schema: database.schemaName };
  const traffic = createLatencyWindow(clock);
  let isHolder = false;
  let view: WatchView | undefined;
  const outage = createOutage({ origin, webhookUrl, isFirst: () => isHolder, clock, log });
  const forget = atMostEvery(FORGET_EVERY_MS, clock, () => forgetOld(database));

  const round = async (): Promise<void> => {
    await beatInstance(database, {
      ...identity,
      traffic: identity.service === "api" ? traffic.read() : null,
      lifeMs: LIFE_MS,
    });
    outage.reached();
    const seen = await readView(database, agreement);
    outage.reached();
    tellChange(log, { before: view, seen, agreement });
    view = seen;
    isHolder = await holdAlertWatch(database, { holder: identity.instance_id, leaseMs: LIFE_MS });
    if (isHolder) await watchAlerts(options, identity.instance_id);
    if (isHolder) await forget();
    outage.reached();
  };
  const tick = (): Promise<void> => logFailure(round, log);
  const deliver = (): Promise<void> => logFailure(() => deliverTo(webhookUrl, options), log);
  const rounds = createLoop(tick, ROUND_MS);
  // Apart, so that a slow webhook neither looks like a database that is away nor lets this process look gone.
  const loops = [createLoop(deliver, DELIVER_MS), createLoop(() => outage.look(), LOOK_MS)];
  return {
    agreement,
    traffic,
    start: () => {
      for (const loop of [rounds, ...loops]) loop.start();
    },
    tick,
    deliver,
    look: () => outage.look(),
    view: () => view,
    databaseAlert: () => outage.alert(),
    stop: async () => {
      const left = rounds.stop().then(() => leave(options, identity.instance_id));
      const stopped = Promise.all([left, ...loops.map((loop) => loop.stop())]);
      await Promise.race([stopped, delay(GOODBYE_MS, undefined, { ref: false })]);
    },
  };
}

async function deliverTo(webhookUrl: string | undefined, { database, log }: WatchOptions): Promise<void> {
  if (webhookUrl !== undefined) await deliverMessages(database, { webhookUrl, log });
}

async function logFailure(work: () => Promise<void>, log: Logger): Promise<void> {
  try {
    await work();
  } catch (error) {
    log.error({ err: error }, "watch failed");
  }
}

function identify({ service, build, agreement, budgetUsdPerDay }: WatchOptions): InstanceIdentity {
  return {
    ...agreement,
    instance_id: randomUUID(),
    service,
    hostname: hostname(),
    pid: process.pid,
    build,
    budget_usd_per_day: budgetUsdPerDay ?? null,
  };
}

async function readView(database: Database, agreement: Agreement): Promise<WatchView> {
  const installation = await getInstallation(database);
  const instances = await listLiveInstances(database);
  return {
    fingerprint: fingerprintOf(installation, { ...agreement, schema: database.schemaName }),
    schema_version: installation.schema_version,
    differences: findDifferences(instances),
  };
}

/** Whoever looks keeps what is to be told; whoever has a webhook tells it. */
async function watchAlerts({ database, log, agreement }: WatchOptions, holder: string): Promise<void> {
  const changes = await evaluateAlerts(database, {
    holder,
    origin: { environment: agreement.environment, schema: database.schemaName },
  });
  for (const { rule, alert, kind } of changes) {
    const { value, threshold } = alert;
    log[kind === "cleared" ? "info" : "error"]({ alert: rule.name, value, threshold }, `alert ${kind}`);
  }
}

async function forgetOld(database: Database): Promise<void> {
  await forgetAlertMessages(database);
  await forgetInstances(database);
}

interface Change {
  before: WatchView | undefined;
  seen: WatchView;
  agreement: Agreement;
}

/** Once for each change, not at every round. */
function tellChange(log: Logger, { before, seen, agreement }: Change): void {
  const { fingerprint, schema_version, differences } = seen;
  if (before === undefined) log.info({ fingerprint, schema_version }, "watch begins");
  if (schema_version !== (before?.schema_version ?? agreement.schema_version)) {
    log.error({ schema_version, needed: agreement.schema_version }, "schema changed under running code");
  }
  tellDifferences(log, before?.differences ?? [], differences);
}

function tellDifferences(log: Logger, before: readonly Difference[], now: readonly Difference[]): void {
  if (JSON.stringify(now) === JSON.stringify(before)) return;
  if (now.length > 0) log.error({ details: now.map(({ detail }) => detail) }, "services differ");
  else log.info("services agree again");
}

/** Others see at once that this process is gone, and one of them takes the alerts over. */
async function leave({ database, log }: WatchOptions, instanceId: string): Promise<void> {
  try {
    await endInstance(database, instanceId);
    await leaveAlertWatch(database, instanceId);
  } catch (error) {
    // Both run out by themselves.
    log.warn({ err: error }, "watch did not say goodbye");
  }
}

function atMostEvery(intervalMs: number, clock: () => number, work: () => Promise<void>): () => Promise<void> {
  let dueAt = Number.NEGATIVE_INFINITY;
  return async () => {
    if (clock() < dueAt) return;
    dueAt = clock() + intervalMs;
    await work();
  };
}

interface Loop {
  start(): void;
  /** Resolves when the work in hand is done. */
  stop(): Promise<void>;
}

/** Works, then pauses; never keeps the process from ending. */
function createLoop(work: () => Promise<void>, pauseMs: number): Loop {
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> = Promise.resolve();
  let isStopped = false;
  const run = (): void => {
    working = work().finally(() => {
      if (!isStopped) timer = setTimeout(run, pauseMs).unref();
    });
  };
  return {
    start: run,
    stop: async () => {
      isStopped = true;
      clearTimeout(timer);
      await working;
    },
  };
}
