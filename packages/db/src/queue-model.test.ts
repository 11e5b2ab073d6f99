import { AppError } from "@pipeline/runtime";
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { advanceJobs, failJob, parkJob, releaseJob } from "./checkpoints.ts";
import { isTerminal, stageFrom, STATES, STATUSES, type State, type Status } from "./pipeline.ts";
import { claimJobs } from "./claims.ts";
import { promoteDueJobs, rescueJobs } from "./queue.ts";
import type { Hold } from "./rows.ts";
import { heartbeat } from "./sessions.ts";
import { createSession, createUpload, openTestDatabase, type TestDatabase } from "./testing/index.ts";
import { confirmUpload } from "./uploads.ts";

const MAX_RETRIES = 2;
const MAX_CRASHES = 2;
const RUNS = 12;
const STEPS = 45;

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

type Operation =
  | { kind: "create" | "promote" | "rescue" }
  | { kind: "confirm"; job: number }
  | { kind: "claim"; worker: number; limit: number }
  | { kind: "advance" | "park" | "release"; worker: number; hold: number }
  | { kind: "fail"; worker: number; hold: number; isTransient: boolean }
  | { kind: "expire" | "reopen"; worker: number };

const worker = fc.nat({ max: 1 });
const hold = fc.nat({ max: 9 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Operation>({ kind: "create" }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("confirm" as const), job: fc.nat({ max: 9 }) }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("claim" as const), worker, limit: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 14, arbitrary: fc.record({ kind: fc.constant("advance" as const), worker, hold }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("park" as const, "release" as const), worker, hold }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("fail" as const), worker, hold, isTransient: fc.boolean() }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom("promote" as const, "rescue" as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("expire" as const, "reopen" as const), worker }) },
);

interface ModelJob {
  user_id: string;
  document_id: string;
  state: State;
  status: Status;
  fence: number;
  retries: number;
  crashes: number;
  /** Workers lost on a status, counted or not. */
  losses: Partial<Record<Status, number>>;
  holder: string | undefined;
}

interface ModelWorker {
  session: string;
  isAlive: boolean;
  /** What this worker believes it holds, lost claims included. */
  holds: Hold[];
}

interface World {
  jobs: Map<string, ModelJob>;
  workers: ModelWorker[];
}

test("the queue does what the model does, whatever two workers and their deaths do to it", async () => {
  const details = await fc.check(
    fc.asyncProperty(fc.array(operation, { minLength: STEPS, maxLength: STEPS }), async (operations) => {
      await opened.database.run(
        "truncate upload_pipeline.documents, upload_pipeline.events, upload_pipeline.worker_sessions cascade",
      );
      const world: World = { jobs: new Map(), workers: [await newWorker(), await newWorker()] };
      for (const next of operations) {
        const before = await readAll();
        await perform(world, next);
        await compare(world, before);
      }
    }),
    { numRuns: RUNS },
  );
  expect(details, fc.defaultReportMessage(details)).toMatchObject({ failed: false, numRuns: RUNS });
});

async function newWorker(): Promise<ModelWorker> {
  return { session: await createSession(opened.database), isAlive: true, holds: [] };
}

async function perform(world: World, next: Operation): Promise<void> {
  if ("hold" in next) return write(world, next);
  switch (next.kind) {
    case "create":
      return create(world);
    case "confirm":
      return confirm(world, next.job);
    case "claim":
      return claim(world, next);
    case "promote":
      return promote(world);
    case "rescue":
      return rescue(world);
    case "expire":
      return expire(world, next.worker);
    case "reopen":
      return reopen(world, next.worker);
  }
}

async function create({ jobs }: World): Promise<void> {
  const { job } = await createUpload(opened.database);
  const { job_id, user_id, document_id } = job;
  const fresh = { status: "uploaded", state: "waiting", fence: 0, retries: 0, crashes: 0, holder: undefined } as const;
  jobs.set(job_id, { ...fresh, losses: {}, user_id, document_id });
}

async function confirm({ jobs }: World, index: number): Promise<void> {
  const job = [...jobs.values()][index];
  if (!job) return;
  const { user_id, document_id } = job;
  await opened.database.transaction((tx) => confirmUpload(tx, { user_id, document_id, correlation_id: "c" }));
  // A job that was parked for its upload is confirmed as well; the model parks for the upload only.
  if (job.state === "waiting") job.state = "queued";
}

async function claim({ jobs, workers }: World, input: { worker: number; limit: number }): Promise<void> {
  const claimer = workers[input.worker];
  if (!claimer) return;
  const queued = [...jobs.values()].filter((job) => job.state === "queued").length;
  // Jobs whose worker died wait for a session without another such job, but not for so long.
  await opened.database.run(
    "update upload_pipeline.upload_jobs set updated_at = now() - interval '1 hour' where state = 'queued'",
  );
  const claims = await claimJobs(opened.database, { session_id: claimer.session, limit: input.limit });
  expect(claims).toHaveLength(claimer.isAlive ? Math.min(queued, input.limit) : 0);
  for (const { job_id, fence } of claims) {
    const job = known(jobs, job_id);
    expect(job.state).toBe("queued");
    job.state = "working";
    job.fence++;
    job.holder = claimer.session;
    expect(fence).toBe(job.fence);
    claimer.holds.push({ job_id, fence });
  }
}

type Write = Extract<Operation, { hold: number }>;

async function write({ jobs, workers }: World, input: Write): Promise<void> {
  const writer = workers[input.worker];
  const held = writer?.holds[input.hold % Math.max(1, writer.holds.length)];
  if (!writer || !held) return;
  const job = known(jobs, held.job_id);
  const counts = job.state === "working" && job.fence === held.fence;
  const outcome = await send(input, held, job);
  expect(outcome.accepted).toBe(counts);
  if (!counts) return;
  applyWrite(job, input);
  expect(outcome.state ?? job.state).toBe(job.state);
}

async function send(input: Write, held: Hold, job: ModelJob): Promise<{ accepted: boolean; state?: State }> {
  const db = opened.database;
  if (input.kind === "advance") {
    const stage = stageFrom(job.status);
    // A stale worker may believe in any status; the model lets it know the right one, so that only the fence protects.
    const { from, to } = stage ?? { from: "embeddings_stored", to: "complete" };
    const moved = await advanceJobs(db, [{ ...held, from, to, progress: {}, detail: {} }]);
    return { accepted: moved.has(held.job_id) };
  }
  const state = await endOf(input, held);
  return state === undefined ? { accepted: false } : { accepted: true, state };
}

function endOf(input: Write, held: Hold): Promise<State | undefined> {
  const db = opened.database;
  if (input.kind === "park") return parkJob(db, held, { waiting_for: "upload", delayMs: 0 });
  if (input.kind === "release") return releaseJob(db, held);
  const isTransient = input.kind === "fail" && input.isTransient;
  const error = new AppError({ kind: isTransient ? "transient" : "permanent", code: "test", message: "Test." });
  return failJob(db, held, { stage: "verify", error, maxRetries: MAX_RETRIES, delayMs: 0 });
}

function applyWrite(job: ModelJob, input: Write): void {
  if (input.kind === "advance") applyAdvance(job);
  else if (input.kind === "fail") applyFailure(job, input.isTransient);
  else job.state = input.kind === "park" ? "waiting" : "queued";
  if (job.state !== "working") job.holder = undefined;
}

function applyAdvance(job: ModelJob): void {
  job.status = stageFrom(job.status)?.to ?? job.status;
  job.state = job.status === "complete" ? "done" : "working";
  job.retries = 0;
  job.crashes = 0;
}

function applyFailure(job: ModelJob, isTransient: boolean): void {
  const isRetried = isTransient && job.retries < MAX_RETRIES;
  job.state = isRetried ? "retryable" : "deadletter";
  if (isRetried) job.retries++;
}

async function promote({ jobs }: World): Promise<void> {
  await opened.database.run("update upload_pipeline.upload_jobs set due_at = now() where due_at is not null");
  const due = [...jobs.values()].filter((job) => job.state === "waiting" || job.state === "retryable");
  expect(await promoteDueJobs(opened.database)).toBe(due.length);
  for (const job of due) job.state = "queued";
}

async function rescue({ jobs, workers }: World): Promise<void> {
  const alive = new Set(workers.filter(({ isAlive }) => isAlive).map(({ session }) => session));
  const rescued = await rescueJobs(opened.database, { maxCrashes: MAX_CRASHES });
  const orphans = [...jobs].filter(([, job]) => job.holder !== undefined && !alive.has(job.holder));
  expect(new Set(rescued.map(({ job_id }) => job_id))).toEqual(new Set(orphans.map(([id]) => id)));
  const neighbours = new Map<string | undefined, number>();
  for (const [, { holder }] of orphans) neighbours.set(holder, (neighbours.get(holder) ?? 0) + 1);
  for (const [, job] of orphans) {
    const losses = job.losses[job.status] ?? 0;
    const isAlone = neighbours.get(job.holder) === 1;
    if (job.crashes + 1 < MAX_CRASHES || isAlone || losses >= 2 * (MAX_CRASHES - 1)) job.crashes++;
    if (job.crashes < MAX_CRASHES) job.losses[job.status] = losses + 1;
    job.fence++;
    job.holder = undefined;
    job.state = job.crashes >= MAX_CRASHES ? "deadletter" : "queued";
  }
}

async function expire({ workers }: World, index: number): Promise<void> {
  const dying = workers[index];
  if (!dying) return;
  dying.isAlive = false;
  await opened.database.run(
    "update upload_pipeline.worker_sessions set expires_at = now() - interval '1 second' where session_id = $1",
    [dying.session],
  );
  expect(await heartbeat(opened.database, { session_id: dying.session, leaseMs: 60_000 })).toBe(false);
}

/** The worker starts a new session, as after its death, and still believes in what it held before. */
async function reopen({ workers }: World, index: number): Promise<void> {
  const dead = workers[index];
  if (!dead || dead.isAlive) return;
  dead.session = await createSession(opened.database);
  dead.isAlive = true;
}

function known(jobs: World["jobs"], jobId: string): ModelJob {
  const job = jobs.get(jobId);
  if (!job) throw new Error(`Job ${jobId} is not in the model.`);
  return job;
}

const observedRow = z.object({
  job_id: z.string(),
  state: z.enum(STATES),
  status: z.enum(STATUSES),
  fence: z.number(),
  retries: z.number(),
  crashes: z.number(),
  holder: z.string().nullable(),
  document_status: z.enum(STATUSES),
  told_status: z.enum(STATUSES),
  told_steps: z.number(),
});
type Observed = z.infer<typeof observedRow>;

async function readAll(): Promise<Map<string, Observed>> {
  const rows = await opened.database.many(
    observedRow,
    `select j.job_id, j.state, j.status, j.fence, j.retry_count as retries, j.crash_count as crashes,
       j.lease_session_id as holder, d.processing_status as document_status,
       (select e.status from upload_pipeline.events e where e.job_id = j.job_id and e.type in ('created', 'status')
        order by e.event_id desc limit 1) as told_status,
       (select count(*) from upload_pipeline.events e where e.job_id = j.job_id and e.type = 'status') as told_steps
     from upload_pipeline.upload_jobs j join upload_pipeline.documents d using (document_id)`,
  );
  return new Map(rows.map((row) => [row.job_id, row]));
}

async function compare({ jobs }: World, before: Map<string, Observed>): Promise<void> {
  const after = await readAll();
  expect(after.size).toBe(jobs.size);
  for (const [id, row] of after) {
    const { state, status, fence, retries, crashes, holder } = known(jobs, id);
    expect(row).toMatchObject({ state, status, fence, retries, crashes, holder: holder ?? null });
    expect(row.document_status).toBe(status);
    expect(row.told_status).toBe(status);
    expect(row.told_steps).toBe(STATUSES.indexOf(status));
    const earlier = before.get(id);
    if (!earlier) continue;
    expect(row.fence).toBeGreaterThanOrEqual(earlier.fence);
    expect(isTerminal(earlier.state) ? row : earlier).toEqual(earlier);
  }
}
