import { randomUUID } from "node:crypto";
import { DBOS, DBOSClient } from "@dbos-inc/dbos-sdk";
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

interface Settings {
  minPollingIntervalMs?: number;
  workerConcurrency?: number;
}

/** As it comes: no limit on what is in hand, polling every second. */
export const DEFAULTS: Settings = {};

/** Ten times the polling, and no more in hand than ours. */
export const TUNED: Settings = { minPollingIntervalMs: 100, workerConcurrency: 1_000 };

const APPLICATION = "bench";
const QUEUE = "documents";
const WORKFLOW = "document";

export function createDbosSystem(settings: Settings): QueueSystem {
  return {
    prepare: (url) => DBOS.migrate(url),
    fill,
    openProducer,
    startWorker: (url, work) => startWorker(url, { work, settings }),
    unfinishedSql:
      "select count(*) as unfinished from dbos.workflow_status where status in ('ENQUEUED', 'PENDING', 'DELAYED')",
  };
}

async function openProducer(url: string): Promise<Producer> {
  const client = await DBOSClient.create({
    systemDatabaseUrl: url,
    systemDatabasePoolSize: POOL_SIZE,
    applicationName: APPLICATION,
  });
  return {
    enqueue: async () => {
      const doc = randomUUID();
      await client.enqueue({ queueName: QUEUE, workflowName: WORKFLOW }, doc);
      return doc;
    },
    close: () => client.destroy(),
  };
}

/** It has no way to insert many. */
async function fill(url: string, { docs }: Backlog): Promise<void> {
  const producer = await openProducer(url);
  await runInLanes({ count: docs, laneCount: POOL_SIZE }, () => producer.enqueue());
  await producer.close();
}

/** One workflow per document, one durable step per stage. */
async function startWorker(
  url: string,
  { work, settings }: { work: Work; settings: Settings },
): Promise<RunningWorker> {
  DBOS.setConfig({
    name: APPLICATION,
    systemDatabaseUrl: url,
    systemDatabasePoolSize: POOL_SIZE,
    runMigrations: false,
    logLevel: "error",
  });
  const handle = createHandler(work.handlerMs);
  const walk = async (doc: string): Promise<void> => {
    work.onStart();
    for (let stage = 1; stage <= work.stages; stage += 1) await DBOS.runStep(handle, { name: `stage-${stage}` });
    work.onComplete(doc);
  };
  DBOS.registerWorkflow(walk, { name: WORKFLOW });
  await DBOS.launch();
  await DBOS.registerQueue(QUEUE, settings);
  return { stop: () => DBOS.shutdown() };
}
