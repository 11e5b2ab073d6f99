import { randomUUID } from "node:crypto";
import { Logger, makeWorkerUtils, run, runMigrations, type RunnerOptions } from "graphile-worker";
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
  concurrency: number;
  worker: NonNullable<NonNullable<RunnerOptions["preset"]>["worker"]>;
}

/** As it comes, but for the concurrency: one job at a time is its default. */
export const DEFAULTS: Settings = { concurrency: POOL_SIZE, worker: {} };

/** Its documented batching: jobs fetched ahead in one statement, completions gathered into one. */
export const TUNED: Settings = {
  concurrency: 100,
  worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, pollInterval: 500 },
};

const TASK = "stage";
const FILL_BATCH = 1_000;
const payloadSchema = z.object({ doc: z.string(), stage: z.number() });
const logger = new Logger(() => (level, message) => {
  if (level === "error") process.stderr.write(`${message}\n`);
});

export function createGraphileSystem(settings: Settings): QueueSystem {
  return {
    prepare: (connectionString) => runMigrations({ connectionString, logger }),
    fill,
    openProducer,
    startWorker: (url, work) => startWorker(url, { work, settings }),
    unfinishedSql: "select count(*) as unfinished from graphile_worker.jobs",
  };
}

async function fill(connectionString: string, { docs }: Backlog): Promise<void> {
  const utils = await makeWorkerUtils({ connectionString, logger });
  for (let filled = 0; filled < docs; filled += FILL_BATCH) {
    const count = Math.min(FILL_BATCH, docs - filled);
    await utils.addJobs(
      Array.from({ length: count }, () => ({ identifier: TASK, payload: { doc: randomUUID(), stage: 1 } })),
    );
  }
  await utils.release();
}

async function openProducer(connectionString: string): Promise<Producer> {
  const utils = await makeWorkerUtils({ connectionString, maxPoolSize: POOL_SIZE, logger });
  return {
    enqueue: async () => {
      const doc = randomUUID();
      await utils.addJob(TASK, { doc, stage: 1 });
      return doc;
    },
    close: async () => utils.release(),
  };
}

async function startWorker(
  connectionString: string,
  { work, settings }: { work: Work; settings: Settings },
): Promise<RunningWorker> {
  const handle = createHandler(work.handlerMs);
  const runner = await run({
    connectionString,
    maxPoolSize: POOL_SIZE,
    concurrency: settings.concurrency,
    noHandleSignals: true,
    logger,
    preset: { worker: settings.worker },
    taskList: {
      [TASK]: async (payload, helpers) => {
        work.onStart();
        const { doc, stage } = payloadSchema.parse(payload);
        await handle();
        if (stage < work.stages) await helpers.addJob(TASK, { doc, stage: stage + 1 });
        else work.onComplete(doc);
      },
    },
  });
  return { stop: () => runner.stop() };
}
