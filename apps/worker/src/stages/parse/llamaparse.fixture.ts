import type { LlamaParseSetup } from "@pipeline/composition";
import { type Database, listEvents, type RegisteredUpload } from "@pipeline/db";
import { readJob } from "@pipeline/db/testing";
import { createLlamaParseClient, type LlamaParseClient } from "@pipeline/llamaparse";
import { type LlamaParse, type LlamaParseOptions, startLlamaParse } from "@pipeline/mocks";
import { z } from "zod";
import type { Worker } from "../../worker.ts";
import { type BenchOverrides, makeDue, openWorkerBench, type WorkerBench, workThrough } from "../../worker.fixture.ts";
import { createLlamaParseParser } from "./llamaparse-parser.ts";

export const KEY = "llx-key-of-the-tests";

/** Workers whose parser is LlamaParse, played by an emulator of the test's own. */
export interface LlamaParseBench extends Omit<WorkerBench, "openWorker"> {
  openWorker(setup?: Partial<LlamaParseSetup>, overrides?: BenchOverrides): Worker;
  /** Starts another emulator; later workers have their documents read there. */
  start(options?: LlamaParseOptions): Promise<LlamaParse>;
  createClient(options?: { apiKey?: string; baseUrl?: string }): LlamaParseClient;
}

export async function openLlamaParseBench(): Promise<LlamaParseBench> {
  const bench = await openWorkerBench();
  const emulators: LlamaParse[] = [];
  const clients: LlamaParseClient[] = [];

  const createClient: LlamaParseBench["createClient"] = ({ apiKey = KEY, baseUrl } = {}) => {
    const url = baseUrl ?? emulators.at(-1)?.url ?? "";
    const client = createLlamaParseClient({ apiKey, baseUrl: url, tier: "cost_effective", version: "latest" });
    clients.push(client);
    return client;
  };
  const closeEmulators = async (): Promise<void> => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await Promise.all(emulators.splice(0).map((emulator) => emulator.close()));
  };
  return {
    ...bench,
    createClient,
    start: async (options) => {
      const emulator = await startLlamaParse({ backoffMs: [1, 1], ...options });
      emulators.push(emulator);
      return emulator;
    },
    openWorker: (setup, overrides) => {
      const client = setup?.client ?? createClient();
      const parser = createLlamaParseParser({ tier: "cost_effective", version: "latest", ...setup, client });
      return bench.openWorker({ parser, ...overrides });
    },
    clear: async () => {
      await bench.clear();
      await bench.database.run(`delete from ${bench.database.schema}.provider_jobs`);
      await forgetFaults(bench.database);
      await closeEmulators();
    },
    close: async () => {
      await closeEmulators();
      await bench.close();
    },
  };
}

interface FinishedJob {
  job_id: string;
  worker: Worker;
  emulator?: LlamaParse;
  rounds?: number;
  /** The provider answers for other documents meanwhile, so that its faults are this one's alone. */
  areOthersServed?: boolean;
}

/** Lets every time that the job waits for come, until it is at its end or has been looked at so often. */
export async function finishJob(bench: Pick<LlamaParseBench, "database">, job: FinishedJob): Promise<void> {
  const { job_id, worker, emulator, rounds = 30, areOthersServed = false } = job;
  for (let round = 0; round < rounds; round += 1) {
    await workThrough(worker);
    const { state } = await readJob(bench.database, job_id);
    if (state !== "waiting" && state !== "retryable") return;
    await emulator?.settled();
    await settleAttempts(bench.database);
    await (areOthersServed ? forgetFaults(bench.database) : endOpenTime(bench.database));
    await makeDue(bench.database, job_id);
  }
}

/** Lets the time come at which one request tries whether the provider works again. */
export async function endOpenTime(database: Database): Promise<void> {
  await database.run(`update ${database.schema}.provider_circuits set open_until = now() where opened_at is not null`);
}

/** As if the provider had answered another document. */
export async function forgetFaults(database: Database): Promise<void> {
  await database.run(`delete from ${database.schema}.provider_circuits`);
}

/** What was sent before now has had its time to become a job. */
export async function settleAttempts(database: Database): Promise<void> {
  await database.run(`update ${database.schema}.provider_jobs set attempted_at = attempted_at - interval '1 minute'`);
}

const providerJobRow = z.object({
  submission_id: z.string(),
  provider_job_id: z.string().nullable(),
  webhook_secret: z.string(),
  outcome: z.string().nullable(),
  code: z.string().nullable(),
  page_count: z.number().nullable(),
  credits: z.number().nullable(),
  is_credits_estimate: z.boolean().nullable(),
  is_cancelled: z.boolean(),
});

/** The job's submissions, oldest first. */
export function readSubmissions(database: Database, job_id: string) {
  return database.many(
    providerJobRow,
    `select submission_id, provider_job_id, webhook_secret, outcome, code, page_count, credits, is_credits_estimate,
       cancelled_at is not null as is_cancelled
     from ${database.schema}.provider_jobs where job_id = $1 order by created_at, submission_id`,
    [job_id],
  );
}

/** What the event of `parsed` says. */
export async function readParsedDetail(database: Database, { job }: RegisteredUpload) {
  const events = await listEvents(database, { ...job, after: 0, limit: 1_000 });
  return events.find((event) => event.type === "status" && event.status === "parsed")?.detail ?? {};
}
