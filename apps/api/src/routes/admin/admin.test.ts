import { randomUUID } from "node:crypto";
import { createQueuedJob, createSession, createUpload, readJob } from "@pipeline/db/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { claimJob, completeDocument, deadLetter } from "../../testing/documents.ts";
import { openTestApi, problemOf, type Call, type TestApi } from "../../testing/test-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

const ROUTES = [
  ["GET", "/queue"],
  ["GET", "/workers"],
  ["GET", "/jobs"],
  ["GET", `/jobs/${randomUUID()}`],
  ["POST", `/jobs/${randomUUID()}/retry`],
  ["POST", `/jobs/${randomUUID()}/cancel`],
  ["GET", "/dead-letters"],
  ["POST", "/redrive"],
  ["POST", "/pause"],
  ["POST", "/resume"],
  ["GET", "/spending"],
] as const;

function admin(path: string, call: Partial<Call> = {}) {
  return api.call({ path: `/admin${path}`, isService: true, ...call });
}

/** A dead letter that can be redriven: its file was verified. */
async function fail(user: string) {
  const { job } = await createUpload(api.database, { user_id: user });
  await deadLetter(api.database, job);
  await api.database.run(
    `update ${api.database.schema}.upload_jobs set state = 'queued', finished_at = null where job_id = $1`,
    [job.job_id],
  );
  await claimJob(api.database, job.job_id);
  await api.database.transaction(async (tx) => {
    await tx.run(
      `update ${tx.schema}.upload_jobs set state = 'deadletter', finished_at = now(), lease_session_id = null,
         lease_expires_at = null,
         last_error = '{"stage":"parse","code":"damaged_file","message":"Damaged.","retryable":false,"at":"now"}'
       where job_id = $1`,
      [job.job_id],
    );
  });
  return job;
}

const idsOf = (list: unknown) =>
  z
    .array(z.looseObject({ job_id: z.string() }))
    .parse(list)
    .map(({ job_id }) => job_id);

describe("/admin", () => {
  it.each(ROUTES)("asks for a token of the service role: %s %s", async (method, path) => {
    const call = { method, path: `/admin${path}`, ...(method === "POST" ? { body: {} } : {}) };
    const nobody = await api.call(call);
    expect(problemOf(nobody)).toMatchObject({ status: 401, code: "unauthorized" });
    const user = await api.call({ ...call, user: randomUUID() });
    expect(problemOf(user)).toMatchObject({ status: 403, code: "service_role_required" });
    const forged = await api.call({ ...call, headers: { authorization: "Bearer abc.def.ghi" } });
    expect(problemOf(forged)).toMatchObject({ status: 401, code: "unauthorized" });
  });

  it("shows the queue, and lets nobody claim while it is paused", async () => {
    await createQueuedJob(api.database);
    const paused = await admin("/pause", { method: "POST", body: { by: "tester", reason: "a test" } });
    expect(paused).toMatchObject({ status: 200, body: { paused_by: "tester", reason: "a test" } });
    const { status, body, headers } = await admin("/queue");
    expect(status).toBe(200);
    expect(headers["cache-control"]).toBe("no-store");
    expect(body).toMatchObject({ control: { paused_by: "tester" }, due_count: expect.any(Number) });
    const states = z.array(z.object({ state: z.string(), job_count: z.number() })).parse(body["by_state"]);
    expect(states.find(({ state }) => state === "queued")?.job_count).toBeGreaterThan(0);
    const resumed = await admin("/resume", { method: "POST" });
    expect(resumed.body).toEqual({ paused_at: null, paused_by: null, reason: null });
  });

  it("lists the workers, those alive first", async () => {
    await createSession(api.database);
    const answer = await admin("/workers?limit=1");
    expect(answer).toMatchObject({ status: 200, body: { workers: [{ worker_name: "test", is_live: true }] } });
  });

  it("lists everybody's jobs, and shows one with its history", async () => {
    const user = randomUUID();
    const { job_id } = await completeDocument(api.database, { user_id: user, passages: [{ text: "One." }] });
    const { job: other } = await createUpload(api.database);
    const all = await admin("/jobs?limit=2");
    expect(idsOf(all.body["jobs"])).toEqual([other.job_id, job_id]);
    const next = await admin(`/jobs?limit=2&cursor=${String(all.body["next_cursor"])}`);
    expect(idsOf(next.body["jobs"])).not.toContain(job_id);
    expect(idsOf((await admin(`/jobs?user_id=${user}&state=done`)).body["jobs"])).toEqual([job_id]);
    const shown = await admin(`/jobs/${job_id}?limit=2`);
    expect(shown).toMatchObject({
      status: 200,
      body: { job: { job_id, user_id: user, filename: "booklet.txt", is_newest: true, generation: 1 } },
    });
    expect(shown.body["events"]).toHaveLength(2);
    expect(shown.body["next_cursor"]).toEqual(expect.any(String));
    expect(problemOf(await admin(`/jobs/${randomUUID()}`))).toMatchObject({ status: 404, code: "job_not_found" });
  });

  it("cancels and retries jobs of any user", async () => {
    const { job } = await createQueuedJob(api.database);
    const cancelled = await admin(`/jobs/${job.job_id}/cancel`, { method: "POST" });
    expect(cancelled).toMatchObject({ status: 202, body: { state: "cancelled" } });
    expect(cancelled.headers["location"]).toBe(`/api/upload-pipeline/admin/jobs/${job.job_id}`);
    expect(await admin(`/jobs/${job.job_id}/cancel`, { method: "POST" })).toMatchObject({
      status: 409,
      body: { code: "job_not_cancellable" },
    });
    const retried = await admin(`/jobs/${job.job_id}/retry`, { method: "POST" });
    expect(retried).toMatchObject({ status: 202, body: { state: "queued" } });
    expect(await admin(`/jobs/${job.job_id}/retry`, { method: "POST" })).toMatchObject({ status: 409 });
  });

  it("lists dead letters and queues those again that are meant", async () => {
    const user = randomUUID();
    const first = await fail(user);
    const second = await fail(user);
    const { job: unverified } = await createUpload(api.database, { user_id: user });
    await deadLetter(api.database, unverified);
    const page = await admin(`/dead-letters?user_id=${user}&limit=2`);
    expect(idsOf(page.body["dead_letters"])).toEqual([first.job_id, second.job_id]);
    const rest = await admin(`/dead-letters?user_id=${user}&cursor=${String(page.body["next_cursor"])}`);
    expect(rest.body).toMatchObject({
      dead_letters: [{ job_id: unverified.job_id, needs_upload: true }],
      next_cursor: null,
    });
    const redrive = (body: unknown) => admin("/redrive", { method: "POST", body });
    const one = await redrive({ user_id: user, limit: 1 });
    expect(one).toMatchObject({ status: 200, body: { job_ids: [first.job_id], may_have_more: true } });
    expect((await redrive({ user_id: user, code: "nothing" })).body).toEqual({ job_ids: [], may_have_more: false });
    expect((await redrive({ user_id: user, stage: "parse" })).body).toEqual({
      job_ids: [second.job_id],
      may_have_more: false,
    });
    expect(await readJob(api.database, second.job_id)).toMatchObject({ state: "queued" });
  });

  it("redrives everything only when told so", async () => {
    for (const body of [{}, { limit: 5 }, { all: false }, { all: "yes" }, { before: "yesterday" }]) {
      expect(await admin("/redrive", { method: "POST", body })).toMatchObject({
        status: 422,
        body: { code: "invalid_request" },
      });
    }
    expect(await admin("/redrive", { method: "POST", body: { all: true } })).toMatchObject({ status: 200 });
  });

  it("tells what was spent", async () => {
    await api.database.run(
      `insert into ${api.database.schema}.spending (day, user_id, provider, model, request_count, cost_usd)
       values ((now() at time zone 'utc')::date, $1, 'openai', 'm', 2, 0.5)`,
      [randomUUID()],
    );
    const answer = await admin("/spending?days=1");
    expect(answer).toMatchObject({
      status: 200,
      body: { today: { spent_usd: 0 }, days: [{ provider: "openai", request_count: 2, cost_usd: 0.5 }] },
    });
    expect(await admin("/spending?days=0")).toMatchObject({ status: 422 });
  });
});
