import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { confirmUpload, type Database, migrate, registerUpload } from "@pipeline/db";
import { documentId } from "@pipeline/runtime";
import { createDiskStore, loadOrCreateSecret } from "@pipeline/storage";
import { z } from "zod";
import { openBenchDatabase } from "../postgres/bench-database.ts";
import type { BenchServer } from "../postgres/bench-server.ts";
import { formatSpread, formatTable } from "../report/table.ts";

export interface RescueRun {
  run: number;
  jobs: number;
  /** From SIGKILL until all of the dead worker's jobs were claimed by another. */
  seconds: number;
}

export interface RescuePlan {
  runs: number;
  onRun: (line: string) => void;
}

/** As many as one worker process has in hand by default. */
const JOBS = 4;
const LIMIT_MS = 60_000;
const LOOK_MS = 20;
const WORKER = join(import.meta.dirname, "../../../worker/src/main.ts");

/** Real worker processes, embedding at a service that never answers; the one that holds the jobs is killed. */
export async function measureRescueTime(server: BenchServer, plan: RescuePlan): Promise<RescueRun[]> {
  const runs: RescueRun[] = [];
  for (let run = 1; run <= plan.runs; run += 1) {
    const measured = { run, jobs: JOBS, seconds: await runOnce(server) };
    plan.onRun(`rescue, run ${run}: ${measured.seconds.toFixed(1)} s`);
    runs.push(measured);
  }
  return runs;
}

async function runOnce(server: BenchServer): Promise<number> {
  const url = await server.createDatabase();
  const database = openBenchDatabase(url, { poolSize: 2 });
  const directory = await mkdtemp(join(tmpdir(), "pipeline-bench-"));
  const silent = await startSilentServer();
  const workers: ChildProcess[] = [];
  const startWorker = (): ChildProcess => {
    const worker = spawnWorker({ url, directory, embedderUrl: silent.url });
    workers.push(worker);
    return worker;
  };
  try {
    await migrate(database);
    for (let job = 0; job < JOBS; job += 1) await submitDocument(database, directory);
    const doomed = startWorker();
    await until(async () => (await readHolders(database)).filter((holder) => holder.is_embedding).length === JOBS);
    startWorker();
    await until(async () => (await countSessions(database)) === 2);
    const holdersBefore = new Set((await readHolders(database)).map((holder) => holder.session_id));
    const killedAt = performance.now();
    doomed.kill("SIGKILL");
    await until(async () => {
      const holders = await readHolders(database);
      return holders.length === JOBS && holders.every((holder) => !holdersBefore.has(holder.session_id));
    });
    return (performance.now() - killedAt) / 1_000;
  } finally {
    await Promise.all(workers.map(killNow));
    silent.server.close();
    silent.server.closeAllConnections();
    await database.close();
    await server.dropDatabase(url);
    await rm(directory, { recursive: true, force: true });
  }
}

/** Accepts requests and says nothing. */
async function startSilentServer(): Promise<{ server: Server; url: string }> {
  const server = createServer(() => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = z.object({ port: z.number() }).parse(server.address());
  return { server, url: `http://127.0.0.1:${address.port}/v1` };
}

function spawnWorker(input: { url: string; directory: string; embedderUrl: string }): ChildProcess {
  return spawn(process.execPath, [WORKER], {
    env: {
      DATABASE_URL: input.url,
      DATA_DIR: input.directory,
      OPENAI_API_KEY: "sk-loopback-0123456789",
      OPENAI_BASE_URL: input.embedderUrl,
      LOG_LEVEL: "error",
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
}

async function killNow(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  worker.kill("SIGKILL");
  await once(worker, "exit");
}

/** A real document in the disk store that the workers share, and its job. */
async function submitDocument(database: Database, directory: string): Promise<void> {
  const bytes = Buffer.from(`# Letter\n\nThe contract ${randomUUID()} was renewed for a year.\n`);
  const [user_id, job_id] = [randomUUID(), randomUUID()];
  const file_sha256 = createHash("sha256").update(bytes).digest("hex");
  const document_id = documentId(user_id, file_sha256);
  const file = { filename: "letter.md", mime: "text/markdown", bytes_len: bytes.byteLength, file_sha256 };
  const raw_path = `${document_id}/${job_id}`;
  const owner = { user_id, job_id, document_id, correlation_id: job_id };
  const promise = { ...owner, ...file, raw_path, metadata: {}, uploadSeconds: 3_600, firstProbeMs: 3_600_000 };
  await database.transaction((tx) => registerUpload(tx, promise));
  const store = createDiskStore({
    directory: join(directory, "objects"),
    publicUrl: () => "http://127.0.0.1",
    secret: await loadOrCreateSecret({ directory, name: "storage-secret" }),
  });
  const { mime, bytes_len } = file;
  const { bucket, path, token } = await store.signUpload({ key: raw_path, mime, bytes_len, expiresInSeconds: 60 });
  const body = Readable.from([bytes]);
  await store.receiveUpload({ bucket, path, token, body, contentType: mime, contentLength: bytes_len });
  await database.transaction((tx) => confirmUpload(tx, owner));
}

const holderRow = z.object({ session_id: z.string(), is_embedding: z.boolean() });

function readHolders(database: Database): Promise<z.infer<typeof holderRow>[]> {
  return database.many(
    holderRow,
    `select lease_session_id as session_id, status = 'embedding_in_progress' as is_embedding
     from ${database.schema}.upload_jobs where state = 'working'`,
  );
}

async function countSessions(database: Database): Promise<number> {
  return database.run(`select 1 from ${database.schema}.worker_sessions where ended_at is null and expires_at > now()`);
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const startedAt = performance.now();
  while (!(await isSo())) {
    if (performance.now() - startedAt > LIMIT_MS) throw new Error("The workers did not get there within a minute.");
    await delay(LOOK_MS);
  }
}

export function formatRescueTime(runs: readonly RescueRun[]): string {
  const seconds = formatSpread(runs.map((run) => run.seconds));
  return formatTable("SIGKILL of a worker process until another has claimed its jobs, ours", [
    ["jobs", "seconds"],
    [String(JOBS), seconds],
  ]);
}
