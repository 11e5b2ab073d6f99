import { randomUUID } from "node:crypto";
import { PgBoss, type WorkOptions } from "pg-boss";
import { z } from "zod";
import { createHandler } from "./handler.ts";
import {
  type Backlog,
  POOL_SIZE,
  type Producer,
  type QueueSystem,
  type RunningWorker,
  type Work,
} from "./queue-system.ts";

interface Settings {
  /** LISTEN/NOTIFY for the queue. */
  notify: boolean;
  work: WorkOptions;
}

/** As it comes, but for the concurrency: one job every two seconds is its default. */
export const DEFAULTS: Settings = { notify: false, work: { localConcurrency: POOL_SIZE } };

/** Four workers with large batches that go on while batches are full, woken by NOTIFY. */
export const TUNED: Settings = {
  notify: true,
  work: { localConcurrency: 4, batchSize: 500, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 },
};

const QUEUE = "stage";
const FILL_BATCH = 1_000;
const payloadSchema = z.object({ doc: z.string(), stage: z.number() });

export function createPgBossSystem(settings: Settings): QueueSystem {
  return {
    prepare: (url) => withBoss(url, (boss) => boss.createQueue(QUEUE, { notify: settings.notify })),
    fill: (url, backlog) => withBoss(url, (boss) => fill(boss, backlog)),
    openProducer: (url) => openProducer(url),
    startWorker: (url, work) => startWorker(url, { work, settings }),
    unfinishedSql: "select count(*) as unfinished from pgboss.job where name = 'stage' and state < 'completed'",
  };
}

async function openBoss(url: string, options: { useListenNotify: boolean; supervise: boolean }): Promise<PgBoss> {
  const boss = new PgBoss({ connectionString: url, max: POOL_SIZE, ...options });
  boss.on("error", (error) => process.stderr.write(`${error.message}\n`));
  return boss.start();
}

async function withBoss(url: string, work: (boss: PgBoss) => Promise<void>): Promise<void> {
  const boss = await openBoss(url, { useListenNotify: false, supervise: false });
  try {
    await work(boss);
  } finally {
    await boss.stop({ graceful: false });
  }
}

async function fill(boss: PgBoss, { docs }: Backlog): Promise<void> {
  for (let filled = 0; filled < docs; filled += FILL_BATCH) {
    const count = Math.min(FILL_BATCH, docs - filled);
    await boss.insert(
      QUEUE,
      Array.from({ length: count }, () => ({ data: { doc: randomUUID(), stage: 1 } })),
    );
  }
}

async function openProducer(url: string): Promise<Producer> {
  const boss = await openBoss(url, { useListenNotify: false, supervise: false });
  return {
    enqueue: async () => {
      const doc = randomUUID();
      await boss.send(QUEUE, { doc, stage: 1 });
      return doc;
    },
    close: () => boss.stop({ graceful: false }),
  };
}

/** A batch hands on in one insert, and is completed in one update when the handler returns. */
async function startWorker(
  url: string,
  { work, settings }: { work: Work; settings: Settings },
): Promise<RunningWorker> {
  const boss = await openBoss(url, { useListenNotify: settings.notify, supervise: true });
  const handle = createHandler(work.handlerMs);
  await boss.work(QUEUE, settings.work, async (jobs) => {
    work.onStart();
    const payloads = jobs.map((job) => payloadSchema.parse(job.data));
    await Promise.all(payloads.map(() => handle()));
    const next = payloads.filter(({ stage }) => stage < work.stages);
    if (next.length > 0) {
      await boss.insert(
        QUEUE,
        next.map(({ doc, stage }) => ({ data: { doc, stage: stage + 1 } })),
      );
    }
    for (const { doc, stage } of payloads) if (stage === work.stages) work.onComplete(doc);
  });
  return { stop: () => boss.stop({ graceful: false }) };
}
