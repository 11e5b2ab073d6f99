import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { EVENT_TYPES, isTerminal, STATE_EDGES, STATES, STATUSES, WAITING_FOR, type State } from "./pipeline.ts";
import { one } from "./queryable.ts";
import {
  insertJobInState,
  openTestDatabase,
  readJob,
  stateColumns,
  uploadPromise,
  type TestDatabase,
} from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());
beforeEach(() => opened.database.run("delete from upload_pipeline.documents"));

/** The values that a CHECK lists, in its order. */
async function checkedValues(constraint: string): Promise<string[]> {
  const row = await one(
    opened.database,
    z.object({ definition: z.string() }),
    "select pg_get_constraintdef(oid) as definition from pg_constraint where conname = $1",
    [constraint],
  );
  return [...row.definition.matchAll(/'([a-z_]+)'/g)].map((match) => match[1] ?? "");
}

function change(jobId: string, columns: Record<string, string>): Promise<number> {
  const assignments = Object.entries(columns).map(([column, value]) => `${column} = ${value}`);
  return opened.database.run(`update upload_pipeline.upload_jobs set ${assignments.join(", ")} where job_id = $1`, [
    jobId,
  ]);
}

/** "allowed" or the code of the refusal. */
async function outcomeOf(changing: Promise<number>): Promise<unknown> {
  return changing.then(
    () => "allowed",
    (error: unknown) => (error instanceof Error && "code" in error ? error.code : error),
  );
}

test.each([
  ["upload_jobs_status", STATUSES],
  ["documents_status", STATUSES],
  ["upload_jobs_state", STATES],
  ["upload_jobs_waiting_for", WAITING_FOR],
  ["events_type", EVENT_TYPES],
])("the CHECK %s lists what the pipeline table lists", async (constraint, expected) => {
  expect(await checkedValues(constraint)).toEqual(expected);
});

test.each(STATES.flatMap((from) => STATES.map((to) => [from, to] as const)))(
  "a job goes from %s to %s only as the pipeline table says",
  async (from, to) => {
    const status = from === "done" ? "complete" : to === "done" ? "embeddings_stored" : "parsing";
    const job = await insertJobInState(opened.database, { state: from, status });
    const isAllowed = from === to ? !isTerminal(from) : STATE_EDGES[from].includes(to);

    const outcome = await outcomeOf(
      change(job, {
        ...stateColumns(to),
        ...(to === "done" ? { status: "'complete'" } : {}),
        ...(to === "working" ? { fence: "fence + 1" } : {}),
      }),
    );

    expect(outcome).toBe(isAllowed ? "allowed" : "illegal_transition");
    expect(await readJob(opened.database, job)).toMatchObject({ state: isAllowed ? to : from });
  },
);

test.each(STATUSES.flatMap((from, index) => STATUSES.map((to, target) => [from, to, target - index] as const)))(
  "a held job goes from status %s to %s only one step on",
  async (from, to, steps) => {
    const state = from === "complete" ? "done" : "working";
    const job = await insertJobInState(opened.database, { state, status: from });
    const isAllowed = state === "working" && (steps === 0 || steps === 1);

    const outcome = await outcomeOf(
      change(job, { status: `'${to}'`, ...(to === "complete" ? stateColumns("done") : {}) }),
    );

    expect(outcome).toBe(isAllowed ? "allowed" : "illegal_transition");
  },
);

test.each(STATES.filter((state) => state !== "working" && state !== "done"))(
  "the status of a %s job does not move, not even on the way to another state",
  async (state: State) => {
    const job = await insertJobInState(opened.database, { state, status: "parsing" });
    expect(await outcomeOf(change(job, { status: "'parsed'" }))).toBe("illegal_transition");
    for (const next of STATE_EDGES[state]) {
      const moving = change(job, { ...stateColumns(next), status: "'parsed'", fence: "fence + 1" });
      expect(await outcomeOf(moving)).toBe("illegal_transition");
    }
  },
);

test.each(STATES)("the fence of a %s job never falls", async (state) => {
  const job = await insertJobInState(opened.database, { state, status: state === "done" ? "complete" : "parsing" });
  expect(await outcomeOf(change(job, { fence: "fence - 1" }))).toBe("illegal_transition");
  expect(await readJob(opened.database, job)).toMatchObject({ fence: 5 });
});

test.each(["deadletter", "cancelled"] as const)("a redrive of a %s job may not lower its fence", async (state) => {
  const job = await insertJobInState(opened.database, { state, status: "parsing" });
  expect(await outcomeOf(change(job, { ...stateColumns("queued"), fence: "0" }))).toBe("illegal_transition");
  expect(await outcomeOf(change(job, stateColumns("queued")))).toBe("allowed");
});

test("a claim that does not raise the fence is refused", async () => {
  const job = await insertJobInState(opened.database, { state: "queued", status: "uploaded" });
  expect(await outcomeOf(change(job, stateColumns("working")))).toBe("illegal_transition");
});

test("a held job does not go to another session without a higher fence", async () => {
  const job = await insertJobInState(opened.database, { state: "working", status: "parsing" });
  expect(await outcomeOf(change(job, { lease_session_id: "gen_random_uuid()" }))).toBe("illegal_transition");
  const raised = { lease_session_id: "gen_random_uuid()", fence: "fence + 1" };
  expect(await outcomeOf(change(job, raised))).toBe("allowed");
});

test.each(["done", "deadletter", "cancelled"] as const)("nothing of a %s job can be changed", async (state) => {
  const job = await insertJobInState(opened.database, { state, status: state === "done" ? "complete" : "parsing" });
  for (const columns of [{ progress: `'{"late": 1}'` }, { updated_at: "now()" }, { fence: "fence + 1" }]) {
    expect(await outcomeOf(change(job, columns))).toBe("illegal_transition");
  }
});

test("a job keeps its document, its user and its generation for life", async () => {
  const job = await insertJobInState(opened.database, { state: "queued", status: "uploaded" });
  const promise = uploadPromise();
  await opened.database.run(
    `insert into upload_pipeline.documents (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path)
     values ($1, $2, 'other.txt', 'text/plain', 1, 'other', 'other')`,
    [promise.document_id, promise.user_id],
  );
  for (const columns of [
    { document_id: `'${promise.document_id}'` },
    { user_id: "gen_random_uuid()" },
    { generation: "7" },
  ]) {
    expect(await outcomeOf(change(job, columns))).toBe("illegal_transition");
  }
});

test.each([
  ["a working job without a lease", "working", { lease_session_id: "null", lease_expires_at: "null" }],
  ["a waiting job without a due time", "waiting", { due_at: "null" }],
  ["a waiting job that waits for nothing", "waiting", { waiting_for: "null" }],
  ["a dead letter without a reason", "deadletter", { last_error: "null" }],
  ["a cancelled job without an end", "cancelled", { finished_at: "null" }],
] as const)("%s cannot be stored", async (_what, state, wrong) => {
  const job = await insertJobInState(opened.database, { state: "working", status: "parsing" });
  const columns = { ...stateColumns(state), ...wrong };
  expect(await outcomeOf(change(job, columns))).toBe("illegal_transition");
});

test.each(STATES.flatMap((from) => STATE_EDGES[from].map((to) => [from, to] as const)))(
  "the queue and the lists of claims follow a job that is moved by hand from %s to %s",
  async (from, to) => {
    const status = to === "done" ? "embeddings_stored" : "parsing";
    const job = await insertJobInState(opened.database, { state: from, status });
    expect(await readPlaces(job)).toMatchObject(placesOf(from));
    await change(job, {
      ...stateColumns(to),
      ...(to === "done" ? { status: "'complete'" } : {}),
      ...(to === "working" ? { fence: "fence + 1" } : {}),
    });
    expect(await readPlaces(job)).toMatchObject(placesOf(to));
    if (to === "queued") await change(job, { turn: "7", priority: "1" });
    expect(await readPlaces(job)).toMatchObject(placesOf(to));
    await opened.database.run("delete from upload_pipeline.documents");
    expect(await readPlaces(job)).toMatchObject({ ready: 0 });
  },
);

function placesOf(state: State): { ready: number; listed?: number } {
  return { ready: state === "queued" ? 1 : 0, ...(state === "working" ? { listed: 1 } : {}) };
}

/** Rows of ready_jobs that stand for the job as it is now, and lists on which its holder has it. */
function readPlaces(jobId: string): Promise<{ ready: number; listed?: number | undefined }> {
  return one(
    opened.database,
    z.object({ ready: z.number(), listed: z.number().optional() }),
    `select (select count(*) from upload_pipeline.ready_jobs r where r.job_id = $1) as ready,
       (select count(*) from upload_pipeline.session_claims c join upload_pipeline.upload_jobs j
          on j.job_id = any (c.job_ids) and j.lease_session_id = c.session_id where j.job_id = $1) as listed`,
    [jobId],
  );
}

test("a truncated table of jobs leaves no queue behind", async () => {
  const job = await insertJobInState(opened.database, { state: "queued", status: "uploaded" });
  await opened.database.run("truncate upload_pipeline.documents cascade");
  expect(await readPlaces(job)).toMatchObject({ ready: 0 });
});

test("a job is not revived while another of its document is under way", async () => {
  const job = await insertJobInState(opened.database, { state: "cancelled", status: "uploaded" });
  await opened.database.run(
    `insert into upload_pipeline.upload_jobs (document_id) select document_id from upload_pipeline.upload_jobs where job_id = $1`,
    [job],
  );
  expect(await outcomeOf(change(job, stateColumns("queued")))).toBe("already_exists");
});

test("a second unfinished job of a document cannot be stored", async () => {
  const job = await insertJobInState(opened.database, { state: "queued", status: "uploaded" });
  const second = opened.database.run(
    `insert into upload_pipeline.upload_jobs (document_id) select document_id from upload_pipeline.upload_jobs where job_id = $1`,
    [job],
  );
  expect(await outcomeOf(second)).toBe("already_exists");
});
