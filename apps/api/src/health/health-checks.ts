import {
  checkSchemaVersion,
  type Database,
  getQueueControl,
  getWorkerHealth,
  listLiveInstances,
  listProviderOutages,
  type ProviderOutage,
  type QueueControl,
} from "@pipeline/db";
import { createProbe, toAppError } from "@pipeline/runtime";
import type { ObjectStore } from "@pipeline/storage";
import {
  describeAlerts,
  type Difference,
  findDifferences,
  isFiring,
  showAlerts,
  type ShownAlert,
  type Watch,
} from "@pipeline/watch";

export const HEALTH_PARTS = [
  "database",
  "schema",
  "storage",
  "parser",
  "embedder",
  "workers",
  "queue",
  "services",
] as const;

/** A part that does not work, and why. */
export interface FailingPart {
  part: (typeof HEALTH_PARTS)[number];
  code: string;
  /** For operators; without secrets, as every message of ours. */
  detail: string;
}

export interface HealthReport {
  /** Empty when everything but the process itself, which has answered, works. */
  failing: FailingPart[];
  /** Of these, what would keep an upload sent now from becoming searchable. */
  missing: FailingPart[];
  /** Undefined where it could not be found out. */
  schemaVersion: number | undefined;
  workers: Awaited<ReturnType<typeof getWorkerHealth>> | undefined;
  /** Those that fire. */
  alerts: ShownAlert[];
  /** The same for processes that fit together; undefined where it is not known yet. */
  fingerprint: string | undefined;
}

/** The storage probe writes, reads and deletes an object. */
const STORAGE_KEEP_MS = 5_000;
/** Each question to a provider counts against our rate there. */
const PROVIDER_KEEP_MS = 60_000;

interface System {
  database: Database;
  storage: ObjectStore;
  checkParser?: (() => Promise<void>) | undefined;
  checkEmbedder?: (() => Promise<void>) | undefined;
  monitoring?: { watch: Watch };
}

interface HealthOptions {
  /** After which a part that was asked counts as out of order. */
  timeoutMs: number;
  /** Whether workers read documents themselves while the parsing provider is out of order. */
  hasParserFallback: boolean;
}

/** Asks every part at once; never throws. */
export function createHealthChecks(system: System, options: HealthOptions): () => Promise<HealthReport> {
  const { timeoutMs, hasParserFallback } = options;
  const { database, storage, checkParser = async () => {}, checkEmbedder = async () => {}, monitoring } = system;
  const watch = monitoring?.watch;
  const fresh = { timeoutMs, keepMs: 0 };
  const askSchema = createProbe(() => checkSchemaVersion(database), fresh);
  const askWorkers = createProbe(() => getWorkerHealth(database), fresh);
  const askQueue = createProbe(() => getQueueControl(database), fresh);
  const askStorage = createProbe(() => storage.check(), { timeoutMs, keepMs: STORAGE_KEEP_MS });
  const askParser = createProbe(checkParser, { timeoutMs, keepMs: PROVIDER_KEEP_MS });
  const askEmbedder = createProbe(checkEmbedder, { timeoutMs, keepMs: PROVIDER_KEEP_MS });
  const askInstances = createProbe(async () => findDifferences(await listLiveInstances(database)), fresh);
  const askOutages = createProbe(() => listProviderOutages(database), fresh);
  const askAlerts = createProbe(() => showAlerts(database, watch?.databaseAlert()), fresh);
  return async () => {
    const [schema, workers, queue, stored, parser, embedder, outages, differences, shown] = await Promise.all([
      outcomeOf(askSchema()),
      outcomeOf(askWorkers()),
      outcomeOf(askQueue()),
      outcomeOf(askStorage()),
      outcomeOf(askParser()),
      outcomeOf(askEmbedder()),
      outcomeOf(askOutages()),
      outcomeOf(askInstances()),
      outcomeOf(askAlerts()),
    ]);
    const failing = [
      ...schemaFault(schema),
      ...faultOf("storage", stored),
      ...faultOf("parser", parser),
      ...faultOf("embedder", embedder),
      ...describeOutages(outages.value ?? []),
      ...workerFault(workers),
      ...describePause(queue.value),
      ...describeDifferences(differences.value ?? []),
    ];
    return {
      failing,
      // Claiming that is paused is what somebody wants: uploads are taken, and what waits for readiness is to go on.
      missing: failing.filter(({ part }) => part !== "queue" && !(part === "parser" && hasParserFallback)),
      schemaVersion: schema.value,
      workers: workers.value,
      alerts: (shown.value?.alerts ?? describeAlerts([], watch?.databaseAlert())).filter(isFiring),
      fingerprint: watch?.view()?.fingerprint,
    };
  };
}

interface Outcome<T> {
  value?: T;
  fault?: Pick<FailingPart, "code" | "detail">;
}

async function outcomeOf<T>(work: Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await work };
  } catch (error) {
    const { code, message } = toAppError(error);
    return { fault: { code, detail: message } };
  }
}

function faultOf(part: FailingPart["part"], { fault }: Outcome<unknown>): FailingPart[] {
  return fault === undefined ? [] : [{ part, ...fault }];
}

/** A database that answers with the wrong version does answer. */
function schemaFault(outcome: Outcome<unknown>): FailingPart[] {
  return faultOf(outcome.fault?.code.startsWith("schema_") === true ? "schema" : "database", outcome);
}

function workerFault(outcome: Outcome<{ live_count: number }>): FailingPart[] {
  if (outcome.fault !== undefined) return faultOf("workers", outcome);
  const isAlive = outcome.value !== undefined && outcome.value.live_count > 0;
  return isAlive ? [] : [{ part: "workers", code: "no_live_worker", detail: "No worker sends heartbeats." }];
}

/** What the workers found out by asking for more than the free questions above tell: credits that are used up, for one. */
function describeOutages(outages: readonly ProviderOutage[]): FailingPart[] {
  return outages.map(({ provider, code, message, opened_at }) => ({
    // The other provider there is embeds.
    part: provider === "llamaparse" ? "parser" : "embedder",
    code,
    detail: `${message} Out of order since ${opened_at.toISOString()}.`,
  }));
}

/** That the queue cannot be asked is told by the database's part. */
function describePause(control: QueueControl | undefined): FailingPart[] {
  if (control === undefined || control.paused_at === null) return [];
  const since = `Claiming has been paused since ${control.paused_at.toISOString()}.`;
  return [{ part: "queue", code: "queue_paused", detail: `${since} Uploads are taken and wait.` }];
}

/** In what they differ and no more: anybody may read it, and the rest names hosts, directories and the project. */
function describeDifferences(differences: readonly Difference[]): FailingPart[] {
  return differences.map(({ field }) => ({
    part: "services",
    code: "services_differ",
    detail: `Processes differ in ${field}; \`/admin/alerts\` tells which has what.`,
  }));
}
