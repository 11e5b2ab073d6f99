import { createHash, randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { type Database, openSession } from "@pipeline/db";
import { z } from "zod";
import { spreadOf } from "../report/statistics.ts";
import { formatSpread, formatTable } from "../report/table.ts";
import type { BenchUser } from "./bench-users.ts";
import { uploadPath } from "./requests.ts";
import type { ApiBench, ApiBenchPlan } from "./run-api-bench.ts";

/** From the moment at which the killed server takes connections again. */
export interface OutageRun {
  run: number;
  /** Until readiness says so. */
  ready_ms: number;
  /** Until an upload is accepted. */
  accepted_ms: number;
  accepted: number;
  refused: number;
}

const CLIENTS = 10;
/** Long enough for every connection to be found broken. */
const AWAY_MS = 3_000;
const LOAD_MS = 1_000;
const ASK_EVERY_MS = 10;
const REFUSED_PAUSE_MS = 20;
const PATIENCE_MS = 60_000;

/** Kills the database under uploads and starts it again. Throws where an accepted upload is lost, or anything but 503 is told. */
export async function measureOutages(bench: ApiBench, plan: ApiBenchPlan): Promise<OutageRun[]> {
  const { restart } = bench.server;
  const runs: OutageRun[] = [];
  if (restart === undefined) return runs;
  // Readiness asks for a worker.
  const worker = { worker_name: "bench", hostname: "bench", pid: 1, leaseMs: 3_600_000 };
  await openSession(bench.database, worker);
  for (let run = 1; run <= plan.runs; run += 1) {
    const outage = { run, ...(await measureOutage(bench, restart)) };
    const { ready_ms, accepted_ms } = outage;
    plan.print(`outage, run ${run}: ready after ${ready_ms.toFixed(0)} ms, uploads after ${accepted_ms.toFixed(0)} ms`);
    runs.push(outage);
  }
  return runs;
}

async function measureOutage(
  { api, database, users }: ApiBench,
  restart: (awayMs: number) => Promise<void>,
): Promise<Omit<OutageRun, "run">> {
  const accepted: { job_id: string; at: number }[] = [];
  let refused = 0;
  const stopping = new AbortController();
  const clients = users.slice(0, CLIENTS).map(async (user) => {
    while (!stopping.signal.aborted) {
      const job_id = await upload(api.url, user);
      if (job_id !== undefined) accepted.push({ job_id, at: performance.now() });
      else {
        refused += 1;
        // The flood would compete with the server for the machine.
        await delay(REFUSED_PAUSE_MS);
      }
    }
  });
  const loaded = Promise.all(clients);
  const back = async () => {
    await Promise.race([loaded, delay(LOAD_MS)]);
    await restart(AWAY_MS);
    await until(() => database.run("select 1").then(Boolean, () => false));
    const backAt = performance.now();
    await until(async () => (await fetch(`${api.url}/health/ready`)).ok);
    const ready_ms = performance.now() - backAt;
    const first = () => accepted.find(({ at }) => at > backAt);
    await until(() => first() !== undefined);
    await Promise.race([loaded, delay(LOAD_MS)]);
    return { ready_ms, accepted_ms: (first()?.at ?? 0) - backAt };
  };
  const times = await back().finally(() => stopping.abort());
  await loaded;
  await requireStored(database, accepted);
  return { ...times, accepted: accepted.length, refused };
}

/** The job of an accepted upload; undefined where it was refused for now. */
async function upload(url: string, { token }: BenchUser): Promise<string | undefined> {
  const sha256 = createHash("sha256").update(randomUUID()).digest("hex");
  const answer = await fetch(`${url}${uploadPath}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ filename: "letter.txt", mime: "text/plain", bytes_len: 12, sha256 }),
  });
  const body = z.object({ job_id: z.string().optional() }).parse(await answer.json());
  if (answer.status !== 201 && answer.status !== 503) throw new Error(`An upload was answered with ${answer.status}.`);
  return body.job_id;
}

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const startedAt = performance.now();
  while (!(await isTrue())) {
    if (performance.now() - startedAt > PATIENCE_MS) throw new Error("The API did not find the database again.");
    await delay(ASK_EVERY_MS);
  }
}

async function requireStored(database: Database, accepted: readonly { job_id: string }[]): Promise<void> {
  const lost = await database.many(
    z.object({ job_id: z.string() }),
    `select a.job_id from unnest($1::uuid[]) as a (job_id) where not exists (
       select from ${database.schema}.upload_jobs j join ${database.schema}.documents d using (document_id)
       join ${database.schema}.events e using (job_id) where j.job_id = a.job_id and e.type = 'created')`,
    [accepted.map(({ job_id }) => job_id)],
  );
  if (lost.length > 0) throw new Error(`${lost.length} of ${accepted.length} accepted uploads are lost.`);
}

export function formatOutages(runs: readonly OutageRun[]): string {
  const row = [
    `${runs.length} crashes of the database`,
    formatSpread(runs.map((run) => run.ready_ms)),
    formatSpread(runs.map((run) => run.accepted_ms)),
    String(spreadOf(runs.map((run) => run.accepted)).median),
    String(spreadOf(runs.map((run) => run.refused)).median),
  ];
  return formatTable("After the database takes connections again", [
    ["", "ready after ms", "upload accepted after ms", "accepted", "refused"],
    row,
  ]);
}
