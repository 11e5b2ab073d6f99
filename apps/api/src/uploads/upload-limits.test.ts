import { randomUUID } from "node:crypto";
import { cancelJob, retryJob } from "@pipeline/db";
import { hasParallelConnections } from "@pipeline/db/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { buildApi } from "../app.ts";
import { completeDocument } from "../testing/documents.ts";
import { openTestApi, send, uploadAnswer, uploadRequest, type Answer, type TestApi } from "../testing/test-api.ts";

const ALLOWANCE = { maxInFlight: 7, maxPerDay: 9 };

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi({}, { uploadAllowance: ALLOWANCE });
});
afterAll(() => api.close());

function upload(user: string, overrides: Record<string, unknown> = {}, app = api.app): Promise<Answer> {
  return send(app, { method: "POST", path: "/upload", user, body: uploadRequest(overrides) });
}

async function readUsage(user: string): Promise<Record<string, unknown>> {
  const { body } = await api.call({ path: "/upload/limits", user });
  return z.record(z.string(), z.unknown()).parse(body["uploads"]);
}

function countOf(answers: readonly Answer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status, body } of answers) {
    const name = status < 300 ? String(status) : `${status} ${String(body["code"])}`;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

const times = <T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, index) => work(index)));

/** Ends a job, as the owner does. */
async function cancel(user: string, answer: Answer): Promise<void> {
  const { job_id } = uploadAnswer.parse(answer.body);
  await cancelJob(api.database, { job_id, user_id: user, correlation_id: "test" });
}

describe("uploads in flight", () => {
  it("are refused above the limit with 429, and allowed again as jobs end", async () => {
    const user = randomUUID();
    const answers = await times(7, () => upload(user));
    const refused = await upload(user);
    expect(refused).toMatchObject({
      status: 429,
      body: { code: "uploads_in_flight_limit" },
      headers: { "retry-after": expect.stringMatching(/^\d+$/) },
    });
    expect(await readUsage(user)).toMatchObject({ in_flight: { limit: 7, used: 7, remaining: 0 } });
    for (const answer of answers.slice(0, 1)) await cancel(user, answer);
    expect(await readUsage(user)).toMatchObject({ in_flight: { limit: 7, used: 6, remaining: 1 } });
    expect((await upload(user)).status).toBe(201);
    expect((await upload(user)).status).toBe(429);
    expect((await upload(randomUUID())).status).toBe(201);
  });

  it("leave nothing of what was refused", async () => {
    const user = randomUUID();
    await times(7, () => upload(user));
    const sha256 = "ab".repeat(32);
    expect((await upload(user, { sha256 })).status).toBe(429);
    const rows = await api.database.many(
      z.object({ count: z.number() }),
      `select count(*)::int as count from ${api.database.schema}.documents where user_id = $1`,
      [user],
    );
    expect(rows).toEqual([{ count: 7 }]);
  });

  it("do not keep out a file that has a job already", async () => {
    const user = randomUUID();
    const sha256 = "cd".repeat(32);
    await upload(user, { sha256 });
    await times(6, () => upload(user));
    expect(await upload(user, { sha256 })).toMatchObject({ status: 200, body: { duplicate: true } });
    expect((await upload(user)).status).toBe(429);
  });

  it("count jobs that were revived", async () => {
    const user = randomUUID();
    const answers = await times(7, () => upload(user));
    const [first] = answers;
    if (!first) throw new Error("Nothing was uploaded.");
    const { job_id } = uploadAnswer.parse(first.body);
    await cancel(user, first);
    await api.database.transaction((tx) => retryJob(tx, { job_id, correlation_id: "test" }));
    expect((await upload(user)).body["code"]).toBe("uploads_in_flight_limit");
  });
});

describe("retries and reprocessings", () => {
  it("are refused while the limit of files in flight is reached, but for operators", async () => {
    const user = randomUUID();
    const done = await completeDocument(api.database, { user_id: user, passages: [{ text: "One." }] });
    const first = await upload(user);
    await cancel(user, first);
    await times(7, () => upload(user));
    await api.database.run(`update ${api.database.schema}.upload_counts set day = day - 1 where user_id = $1`, [user]);
    const { job_id } = uploadAnswer.parse(first.body);
    const retry = { method: "POST", path: `/jobs/${job_id}/retry`, user } as const;
    const reprocess = { path: `/documents/${done.document_id}/reprocess`, body: { from: "embed" } };
    expect(await api.call(retry)).toMatchObject({ status: 429, body: { code: "uploads_in_flight_limit" } });
    expect(await api.call({ ...retry, ...reprocess })).toMatchObject({
      status: 429,
      body: { code: "uploads_in_flight_limit" },
    });
    const asked = { path: `/admin/jobs/${job_id}/retry`, method: "POST", isService: true } as const;
    expect((await api.call(asked)).status).toBe(202);
  });

  it("of a day are counted as uploads, and leave no more than two generations beside the new one", async () => {
    const user = randomUUID();
    const { document_id } = await completeDocument(api.database, { user_id: user, passages: [{ text: "One." }] });
    const call = {
      method: "POST",
      path: `/documents/${document_id}/reprocess`,
      user,
      body: { from: "publish" },
    } as const;
    const statuses: number[] = [];
    for (let round = 0; round < 10; round += 1) {
      const answer = await api.call(call);
      statuses.push(answer.status);
      const { job_id } = z.object({ job_id: z.string().optional() }).parse(answer.body);
      if (job_id) await cancelJob(api.database, { job_id, user_id: user, correlation_id: "test" });
    }
    const { used } = z.object({ used: z.number() }).parse((await readUsage(user))["per_day"]);
    expect(used).toBe(9);
    expect(statuses.at(-1)).toBe(429);
    const [kept] = await api.database.many(
      z.object({ chunks: z.number(), pages: z.number() }),
      `select (select count(distinct generation)::int from ${api.database.schema}.document_chunks where document_id = $1) as chunks,
         (select count(distinct generation)::int from ${api.database.schema}.document_pages where document_id = $1) as pages`,
      [document_id],
    );
    expect(kept?.chunks).toBeLessThanOrEqual(3);
    expect(kept?.pages).toBeLessThanOrEqual(3);
  });
});

describe("uploads of a day", () => {
  it("are refused above the limit, however many were deleted since, until the day ends", async () => {
    const user = randomUUID();
    for (let index = 0; index < 9; index += 1) await cancel(user, await upload(user));
    await api.database.run(`delete from ${api.database.schema}.documents where user_id = $1`, [user]);
    const refused = await upload(user);
    expect(refused).toMatchObject({ status: 429, body: { code: "daily_upload_limit" } });
    const seconds = Number(refused.headers["retry-after"]);
    const left = (new Date().setUTCHours(24, 0, 0, 0) - Date.now()) / 1_000;
    expect(Math.abs(seconds - left)).toBeLessThan(120);
    expect(await readUsage(user)).toMatchObject({ per_day: { limit: 9, used: 9, remaining: 0 } });
    await api.database.run(`update ${api.database.schema}.upload_counts set day = day - 1 where user_id = $1`, [user]);
    expect(await readUsage(user)).toMatchObject({ per_day: { used: 0, remaining: 9 } });
    expect((await upload(user)).status).toBe(201);
  });
});

describe.skipIf(!hasParallelConnections())("two API instances on one database: need several connections", () => {
  it("let exactly as many uploads through as the limit has, all at once", async () => {
    const other = await openTestApi({ database: api.openAnother() }, { uploadAllowance: ALLOWANCE });
    const user = randomUUID();
    const answers = await times(40, (index) => upload(user, {}, index % 2 === 0 ? api.app : other.app));
    expect(countOf(answers)).toEqual({ 201: 7, "429 uploads_in_flight_limit": 33 });
    // Room for one of two: jobs end while both ask.
    const first = answers.find(({ status }) => status === 201);
    if (first) await cancel(user, first);
    const more = await times(10, (index) => upload(user, {}, index % 2 === 0 ? api.app : other.app));
    expect(countOf(more)).toEqual({ 201: 1, "429 uploads_in_flight_limit": 9 });
    expect(await readUsage(user)).toMatchObject({ in_flight: { used: 7 }, per_day: { used: 8 } });
    await other.close();
  });

  it("let exactly as many retries through as the limit has, all at once", async () => {
    const other = await openTestApi({ database: api.openAnother() }, { uploadAllowance: ALLOWANCE });
    const user = randomUUID();
    const jobs: string[] = [];
    for (let index = 0; index < 9; index += 1) {
      const answer = await upload(user);
      jobs.push(uploadAnswer.parse(answer.body).job_id);
      await cancel(user, answer);
    }
    const answers = await times(9, (index) =>
      send(index % 2 === 0 ? api.app : other.app, {
        method: "POST",
        path: `/jobs/${jobs[index] ?? ""}/retry`,
        user,
      }),
    );
    expect(countOf(answers)).toEqual({ 202: 7, "429 uploads_in_flight_limit": 2 });
    expect(await readUsage(user)).toMatchObject({ in_flight: { used: 7 } });
    await other.close();
  });

  it("make one document and one job of a hundred identical uploads", async () => {
    const other = await openTestApi({ database: api.openAnother() }, { uploadAllowance: ALLOWANCE });
    const user = randomUUID();
    const body = { sha256: "ef".repeat(32) };
    const answers = await times(100, (index) => upload(user, body, index % 2 === 0 ? api.app : other.app));
    expect(countOf(answers)).toEqual({ 200: 99, 201: 1 });
    expect(new Set(answers.map((answer) => answer.body["job_id"])).size).toBe(1);
    expect(await readUsage(user)).toMatchObject({ in_flight: { used: 1 }, per_day: { used: 1 } });
    const rows = await api.database.many(
      z.object({ documents: z.number(), jobs: z.number() }),
      `select count(distinct document_id)::int as documents, count(*)::int as jobs
       from ${api.database.schema}.upload_jobs where user_id = $1`,
      [user],
    );
    expect(rows).toEqual([{ documents: 1, jobs: 1 }]);
    await other.close();
  });
});

it("a limit of this instance alone is told as it is enforced", async () => {
  const settings = { ...api.dependencies.settings, uploadAllowance: { maxInFlight: 1, maxPerDay: 1 } };
  const app = await buildApi({ ...api.dependencies, settings });
  const user = randomUUID();
  expect(countOf(await times(2, () => upload(user, {}, app)))).toMatchObject({ 201: 1 });
  const { body } = await send(app, { path: "/upload/limits", user });
  expect(body["uploads"]).toMatchObject({ in_flight: { limit: 1, used: 1 }, per_day: { limit: 1, used: 1 } });
  await app.close();
});
