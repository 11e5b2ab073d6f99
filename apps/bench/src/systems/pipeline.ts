import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import {
  type Claim,
  createClaimer,
  confirmUpload,
  createCheckpointBatcher,
  createNotifier,
  type Database,
  endSession,
  heartbeat,
  listenForWork,
  migrate,
  openSession,
  promoteDueJobs,
  registerUpload,
  STAGES,
} from "@pipeline/db";
import { documentId } from "@pipeline/runtime";
import { openBenchDatabase } from "../postgres/bench-database.ts";
import { createHandler } from "./handler.ts";
import {
  type Backlog,
  POOL_SIZE,
  type Producer,
  type QueueSystem,
  type RunningWorker,
  type Work,
} from "./queue-system.ts";
import { runInLanes } from "./run-in-lanes.ts";

/** Jobs that the worker has in hand at once. */
const IN_HAND = 2_000;
/** As the worker's own settings: heartbeat at a third of the lease, polling as the safety net, a look at what is due. */
const LEASE_MS = 12_000;
const POLL_MS = 5_000;
const PROMOTE_MS = 200;
/** Users that a backlog is spread over. */
const USER_COUNT = 50;

/** This project's queue: its own claims, checkpoints and group commit, around handlers that do nothing. */
export function createPipelineSystem(): QueueSystem {
  return {
    prepare: (url) => withDatabase(url, async (database) => void (await migrate(database))),
    fill: (url, backlog) => withDatabase(url, (database) => fill(database, backlog)),
    openProducer,
    startWorker,
    unfinishedSql: "select count(*) as unfinished from upload_pipeline.upload_jobs where state <> 'done'",
  };
}

async function withDatabase(url: string, work: (database: Database) => Promise<void>): Promise<void> {
  const database = openBenchDatabase(url, { poolSize: 1 });
  try {
    await work(database);
  } finally {
    await database.close();
  }
}

/** Two statements, as an operator inserts documents by hand; a shorter walk starts at a later status. */
async function fill(database: Database, { docs, stages }: Backlog): Promise<void> {
  await database.run(
    `insert into ${database.schema}.documents (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path)
     select gen_random_uuid(), md5('user ' || i % $2::int)::uuid, 'letter.txt', 'text/plain', 12, 'file ' || i, 'somewhere'
     from generate_series(1, $1::int) i`,
    [docs, USER_COUNT],
  );
  await database.run(
    `insert into ${database.schema}.upload_jobs (document_id, status) select document_id, $1 from ${database.schema}.documents`,
    [STAGES.at(-stages)?.from ?? "uploaded"],
  );
}

/** Uploads are promised before the clock runs; enqueueing is what makes a document claimable. */
async function openProducer(url: string, { docs }: Backlog): Promise<Producer> {
  const database = openBenchDatabase(url, { poolSize: POOL_SIZE });
  const notifier = createNotifier(database, { onError: reportError });
  const promised = await runInLanes({ count: docs, laneCount: POOL_SIZE }, () => promiseUpload(database));
  return {
    enqueue: async () => {
      const upload = promised.pop();
      if (!upload) throw new Error("More documents were enqueued than announced.");
      const { user_id, document_id, job_id } = upload;
      await confirmUpload(database, { user_id, document_id, correlation_id: job_id });
      notifier.wake();
      return job_id;
    },
    close: async () => {
      await notifier.close();
      await database.close();
    },
  };
}

async function promiseUpload(database: Database): Promise<{ job_id: string; user_id: string; document_id: string }> {
  const [job_id, user_id, file_sha256] = [randomUUID(), randomUUID(), randomUUID()];
  const document_id = documentId(user_id, file_sha256);
  await database.transaction((tx) =>
    registerUpload(tx, {
      document_id,
      job_id,
      user_id,
      filename: "letter.txt",
      mime: "text/plain",
      bytes_len: 12,
      file_sha256,
      raw_path: "somewhere",
      metadata: {},
      correlation_id: job_id,
      uploadSeconds: 3_600,
      firstProbeMs: 3_600_000,
    }),
  );
  return { job_id, user_id, document_id };
}

/** The worker's claimer and walk in small: one claimer, slots filled as they come free, everything else as it is. */
async function startWorker(url: string, work: Work): Promise<RunningWorker> {
  const database = openBenchDatabase(url, { poolSize: POOL_SIZE });
  const session_id = await openSession(database, {
    worker_name: "bench",
    hostname: "localhost",
    pid: process.pid,
    leaseMs: LEASE_MS,
  });
  const walk = createWalk(database, work);
  const alarm = createAlarm();
  const stopping = new AbortController();
  const stopListening = await listenForWork(database, { onWork: alarm.ring, onLost: reportError });
  const beating = setInterval(
    () => void heartbeat(database, { session_id, leaseMs: LEASE_MS }).catch(reportError),
    LEASE_MS / 3,
  );
  const claiming = claimUntil(stopping.signal, { database, session_id, walk, alarm, onStart: work.onStart });
  return {
    stop: async () => {
      stopping.abort();
      alarm.ring();
      await claiming;
      clearInterval(beating);
      await stopListening();
      await endSession(database, session_id);
      await database.close();
    },
  };
}

interface Claiming {
  database: Database;
  session_id: string;
  walk: (claim: Claim) => Promise<void>;
  alarm: Alarm;
  onStart: () => void;
}

async function claimUntil(
  stopping: AbortSignal,
  { database, session_id, walk, alarm, onStart }: Claiming,
): Promise<void> {
  const claimer = createClaimer(database);
  let inHand = 0;
  const end = (): void => {
    inHand -= 1;
    alarm.ring();
  };
  onStart();
  let promotedAt = Number.NEGATIVE_INFINITY;
  while (!stopping.aborted) {
    if (performance.now() - promotedAt > PROMOTE_MS) {
      promotedAt = performance.now();
      await promoteDueJobs(database);
    }
    const limit = IN_HAND - inHand;
    const claims = limit > 0 ? await claimer.claim({ session_id, limit }) : [];
    inHand += claims.length;
    for (const claim of claims) void walk(claim).catch(reportError).finally(end);
    await alarm.wait(POLL_MS);
  }
}

function createWalk(database: Database, work: Work): (claim: Claim) => Promise<void> {
  const batcher = createCheckpointBatcher(database);
  const handle = createHandler(work.handlerMs);
  return async ({ job_id, fence, status }) => {
    const first = STAGES.findIndex((definition) => definition.from === status);
    for (const { from, to } of STAGES.slice(first)) {
      await handle();
      const isHeld = await batcher.advance({ job_id, fence, from, to, progress: {}, detail: {} });
      if (!isHeld) throw new Error(`The claim of ${job_id} was lost at ${from}.`);
    }
    work.onComplete(job_id);
  };
}

interface Alarm {
  ring: () => void;
  /** Resolves at the next ring, at once if it rang since the last wait, or after `ms`. */
  wait: (ms: number) => Promise<void>;
}

function createAlarm(): Alarm {
  let rung = Promise.withResolvers<void>();
  return {
    ring: () => rung.resolve(),
    wait: async (ms) => {
      const timeUp = new AbortController();
      await Promise.race([rung.promise, delay(ms, undefined, { signal: timeUp.signal }).catch(() => undefined)]);
      timeUp.abort();
      rung = Promise.withResolvers<void>();
    },
  };
}

function reportError(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
}
