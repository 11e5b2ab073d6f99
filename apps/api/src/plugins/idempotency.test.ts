import { randomUUID } from "node:crypto";
import { cancelJob, claimKey, deleteOldKeys, keepAnswer, retakeKey } from "@pipeline/db";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { buildApi } from "../app.ts";
import { onceForKey } from "./once-for-key.ts";
import { completeDocument } from "../testing/documents.ts";
import { openTestApi, send, uploadAnswer, uploadRequest, type Answer, type TestApi } from "../testing/test-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

function post(path: string, asked: { user: string; key: string; body?: unknown }): Promise<Answer> {
  const { user, key, body } = asked;
  return api.call({ method: "POST", path, user, body, headers: { "idempotency-key": key } });
}

const batchAnswer = z.object({
  results: z.array(
    z.object({
      status: z.number(),
      upload: uploadAnswer.nullable(),
      problem: z.looseObject({ code: z.string() }).nullable(),
    }),
  ),
});

function statusesOf(results: readonly { status: number }[]): Set<number> {
  return new Set(results.map(({ status }) => status));
}

function die(): never {
  throw new Error("died");
}

async function removeDocumentOf(user: string, job_id: string): Promise<void> {
  const { body } = await api.call({ path: `/jobs/${job_id}`, user });
  await api.call({ method: "DELETE", path: `/documents/${z.string().parse(body["document_id"])}`, user });
}

function keptRows(user: string): Promise<{ row: string; is_answered: boolean }[]> {
  return api.database.many(
    z.object({ row: z.string(), is_answered: z.boolean() }),
    `select to_jsonb(k)::text as row, answered_at is not null as is_answered
     from ${api.database.schema}.idempotency_keys k where user_id = $1`,
    [user],
  );
}

describe("a POST with an Idempotency-Key", () => {
  it("is done once: repeated it gets the same answer, with a fresh link", async () => {
    const asked = { user: randomUUID(), key: "first", body: uploadRequest() };
    const first = await post("/upload", asked);
    const again = await post("/upload", asked);
    expect(again.status).toBe(201);
    expect(again.headers).toMatchObject({ "idempotency-replayed": "true", location: first.headers["location"] });
    expect(first.headers["idempotency-replayed"]).toBeUndefined();
    const [given, repeated] = [uploadAnswer.parse(first.body), uploadAnswer.parse(again.body)];
    for (const field of ["job_id", "document_id", "status", "state", "duplicate", "correlation_id"] as const) {
      expect([field, repeated[field]]).toEqual([field, given[field]]);
    }
    expect(repeated.signed_url).toContain("token=");
    expect(repeated.upload?.path).toBe(given.upload?.path);
    expect(repeated.resumable?.url).toBe(given.resumable?.url);
  });

  it("repeated takes nothing of a later promise back, and its link is for that one", async () => {
    const user = randomUUID();
    const body = uploadRequest({ metadata: { year: 1 } });
    const first = { user, key: "one", body };
    const { document_id } = uploadAnswer.parse((await post("/upload", first)).body);
    const later = { ...body, filename: "later.md", mime: "text/markdown", metadata: { year: 2 } };
    await post("/upload", { user, key: "two", body: later });
    const again = await post("/upload", first);
    expect(again).toMatchObject({ status: 201, headers: { "idempotency-replayed": "true" } });
    expect(uploadAnswer.parse(again.body).upload?.headers).toEqual({ "content-type": "text/markdown" });
    const { body: document } = await api.call({ path: `/documents/${document_id}`, user });
    expect(document).toMatchObject({ filename: "later.md", mime: "text/markdown", metadata: { year: 2 } });
  });

  it("keeps neither key nor link where they could be read", async () => {
    const user = randomUUID();
    const key = `secret-${randomUUID()}`;
    const { upload } = uploadAnswer.parse((await post("/upload", { user, key, body: uploadRequest() })).body);
    await post("/upload/batch", { user, key: `${key}-2`, body: { files: [uploadRequest()] } });
    const rows = await keptRows(user);
    expect(rows.map(({ is_answered }) => is_answered)).toEqual([true, true]);
    for (const { row } of rows) {
      expect(row).not.toContain(key);
      expect(row).not.toMatch(/token|eyJ/);
      expect(row).not.toContain(upload?.token);
    }
  });

  it("renews the links of a whole batch, and leaves refusals as they were", async () => {
    const asked = {
      user: randomUUID(),
      key: "batch",
      body: { files: [uploadRequest(), uploadRequest({ bytes_len: 0 })] },
    };
    const [first, again] = [await post("/upload/batch", asked), await post("/upload/batch", asked)];
    expect(again.status).toBe(207);
    const results = z.object({ results: z.array(z.looseObject({ status: z.number(), upload: z.unknown() })) });
    const [made, refused] = results.parse(again.body).results;
    const [madeFirst] = results.parse(first.body).results;
    expect(uploadAnswer.parse(made?.upload)).toMatchObject({ job_id: uploadAnswer.parse(madeFirst?.upload).job_id });
    expect(uploadAnswer.parse(made?.upload).signed_url).toContain("token=");
    expect(refused).toMatchObject({ status: 422, problem: { code: "empty_file" } });
  });

  it("is done again for a batch of which a file may pass later, and says when", async () => {
    const user = randomUUID();
    const settings = { ...api.dependencies.settings, uploadAllowance: { maxPerDay: 100, maxInFlight: 1 } };
    const strict = await buildApi({ ...api.dependencies, settings });
    const body = { files: [uploadRequest(), uploadRequest()] };
    const ask = () =>
      send(strict, { method: "POST", path: "/upload/batch", user, body, headers: { "idempotency-key": "later" } });
    const first = batchAnswer.parse((await ask()).body).results;
    expect(statusesOf(first)).toEqual(new Set([201, 429]));
    const refused = first.find(({ status }) => status === 429);
    expect(refused?.problem).toMatchObject({ code: "uploads_in_flight_limit", retry_after: expect.any(Number) });
    await cancelJob(api.database, {
      job_id: first.find(({ status }) => status === 201)?.upload?.job_id ?? "",
      correlation_id: "test",
    });
    const again = await ask();
    expect(again.headers["idempotency-replayed"]).toBeUndefined();
    expect(statusesOf(batchAnswer.parse(again.body).results)).toEqual(new Set([201, 429]));
    await strict.close();
  });

  it.each([
    ["cancelled", async (_: string, job_id: string) => cancelJob(api.database, { job_id, correlation_id: "test" })],
    ["deleted", async (user: string, job_id: string) => removeDocumentOf(user, job_id)],
  ])("promises the file anew where its job was %s", async (_, end) => {
    const user = randomUUID();
    const body = uploadRequest();
    const one = { user, key: "one", body };
    const many = { user, key: "many", body: { files: [body] } };
    const first = uploadAnswer.parse((await post("/upload", one)).body);
    await post("/upload/batch", many);
    await end(user, first.job_id);
    const again = await post("/upload", one);
    expect(again).toMatchObject({ status: 201, body: { document_id: first.document_id, duplicate: false } });
    expect(again.headers["idempotency-replayed"]).toBeUndefined();
    const { job_id } = uploadAnswer.parse(again.body);
    expect(job_id).not.toBe(first.job_id);
    expect((await post("/upload", one)).headers["idempotency-replayed"]).toBe("true");
    const [found] = batchAnswer.parse((await post("/upload/batch", many)).body).results;
    expect(found).toMatchObject({ status: 200, upload: { job_id } });
  });

  it("keeps a job's answer as it was", async () => {
    const user = randomUUID();
    const { job_id } = uploadAnswer.parse((await post("/upload", { user, key: "up", body: uploadRequest() })).body);
    const asked = { user, key: "cancel" };
    const first = await post(`/jobs/${job_id}/cancel`, asked);
    expect(first).toMatchObject({ status: 202, body: { state: "cancelled", upload_expires_at: expect.any(String) } });
    const again = await post(`/jobs/${job_id}/cancel`, asked);
    expect(again).toMatchObject({ status: 202, body: first.body });
    expect(again.headers).toMatchObject({ "idempotency-replayed": "true", location: first.headers["location"] });
    expect(await post(`/jobs/${job_id}/cancel`, { user, key: "other" })).toMatchObject({ status: 409 });
  });

  it("finds a reprocessing again whose process died before it could answer", async () => {
    const user = randomUUID();
    const { document_id } = await completeDocument(api.database, { user_id: user, passages: [{ text: "one" }] });
    const dying = await buildApi({ ...api.dependencies, notifier: { ...api.dependencies.notifier, wake: die } });
    const path = `/documents/${document_id}/reprocess`;
    const headers = { "idempotency-key": "reprocess" };
    const body = { from: "parse" };
    expect((await send(dying, { method: "POST", path, user, body, headers })).status).toBe(500);
    await dying.close();
    const { body: listed } = await api.call({ path: "/jobs?state=queued", user });
    const [job] = z.array(z.looseObject({ job_id: z.string() })).parse(listed["jobs"]);
    await cancelJob(api.database, { job_id: job?.job_id ?? "", correlation_id: "test" });
    const again = await post(path, { user, key: "reprocess", body });
    expect(again).toMatchObject({ status: 202, body: { job_id: job?.job_id, document_id } });
    expect(again.headers["idempotency-replayed"]).toBe("true");
    expect((await api.call({ path: "/jobs?state=queued", user })).body["jobs"]).toEqual([]);
  });

  it("undoes work whose key another request has taken over and answered", async () => {
    const user = randomUUID();
    const { job_id } = uploadAnswer.parse((await post("/upload", { user, key: "up", body: uploadRequest() })).body);
    const heldKey = { user_id: user, key_digest: "gone", request_digest: "r" };
    const cancel = { job_id, correlation_id: "test" };
    const database = onceForKey(api.database, { heldKey });
    const work = database.transaction((tx) => cancelJob(tx, cancel));
    await expect(work).rejects.toMatchObject({ code: "idempotency_key_in_use" });
    expect((await api.call({ path: `/jobs/${job_id}`, user })).body["state"]).toBe("waiting");
    await claimKey(api.database, heldKey, 60_000);
    await database.transaction((tx) => cancelJob(tx, cancel));
    expect(await claimKey(api.database, heldKey, 60_000)).toMatchObject({
      outcome: "answered",
      answer: { status_code: 202, body: { job_id, state: "cancelled" } },
    });
  });

  it("with another body is refused", async () => {
    const user = randomUUID();
    await post("/upload", { user, key: "same", body: uploadRequest() });
    const other = await post("/upload", { user, key: "same", body: uploadRequest() });
    expect(other).toMatchObject({ status: 422, body: { code: "idempotency_key_reused" } });
    const elsewhere = await post("/upload/batch", { user, key: "same", body: { files: [uploadRequest()] } });
    expect(elsewhere.body["code"]).toBe("idempotency_key_reused");
  });

  it("is another user's own matter", async () => {
    const body = uploadRequest();
    const [mine, theirs] = [
      await post("/upload", { user: randomUUID(), key: "shared", body }),
      await post("/upload", { user: randomUUID(), key: "shared", body }),
    ];
    expect(theirs.status).toBe(201);
    expect(theirs.body["job_id"]).not.toBe(mine.body["job_id"]);
  });

  it("sent many times at once is done once, and the others are told to ask again or get its answer", async () => {
    const asked = { user: randomUUID(), key: "race", body: uploadRequest() };
    const answers = await Promise.all(Array.from({ length: 8 }, () => post("/upload", asked)));
    const done = answers.filter(({ status }) => status === 201);
    const waiting = answers.filter(({ status }) => status === 409);
    expect(done.length).toBeGreaterThan(0);
    expect(done.length + waiting.length).toBe(8);
    expect(new Set(done.map(({ body }) => body["job_id"])).size).toBe(1);
    for (const answer of waiting) {
      expect(answer.body["code"]).toBe("idempotency_key_in_use");
      expect(answer.headers["retry-after"]).toBe("1");
    }
    expect((await post("/upload", asked)).body["job_id"]).toBe(done[0]?.body["job_id"]);
  });

  it("that failed is tried again", async () => {
    const user = randomUUID();
    const body = uploadRequest({ bytes_len: 0 });
    expect((await post("/upload", { user, key: "again", body })).status).toBe(422);
    expect(await keptRows(user)).toEqual([]);
    expect((await post("/upload", { user, key: "again", body: uploadRequest() })).status).toBe(201);
  });

  it("is taken over where its process died, and counts no more after a day", async () => {
    const asked = { user: randomUUID(), key: "dead", body: uploadRequest() };
    const first = await post("/upload", asked);
    const keys = `${api.database.schema}.idempotency_keys`;
    await api.database.run(
      `update ${keys} set answered_at = null, status_code = null, body = null, lease_expires_at = now() where user_id = $1`,
      [asked.user],
    );
    const taken = await post("/upload", asked);
    expect(taken).toMatchObject({ status: 200, body: { duplicate: true, job_id: first.body["job_id"] } });
    await api.database.run(`update ${keys} set created_at = now() - interval '25 hours' where user_id = $1`, [
      asked.user,
    ]);
    expect((await post("/upload", { ...asked, body: uploadRequest() })).status).toBe(201);
    await api.database.run(`update ${keys} set created_at = now() - interval '25 hours' where user_id = $1`, [
      asked.user,
    ]);
    await deleteOldKeys(api.database, 1_000);
    expect(await keptRows(asked.user)).toEqual([]);
  });

  it("has old keys deleted by the first process that takes one", async () => {
    const [old, user] = [randomUUID(), randomUUID()];
    await claimKey(api.database, { user_id: old, key_digest: "k", request_digest: "r" }, 60_000);
    const keys = `${api.database.schema}.idempotency_keys`;
    await api.database.run(`update ${keys} set created_at = now() - interval '25 hours' where user_id = $1`, [old]);
    const started = await buildApi(api.dependencies);
    const headers = { "idempotency-key": "new" };
    await send(started, { method: "POST", path: "/upload", user, body: uploadRequest(), headers });
    await vi.waitFor(async () => expect(await keptRows(old)).toEqual([]), 30_000);
    await started.close();
  });

  it("has all old keys deleted, however few go in one statement", async () => {
    const user = randomUUID();
    const digests = ["a", "b", "c", "d", "e"];
    for (const key_digest of digests) {
      await claimKey(api.database, { user_id: user, key_digest, request_digest: "r" }, 60_000);
    }
    const keys = `${api.database.schema}.idempotency_keys`;
    await api.database.run(`update ${keys} set created_at = now() - interval '25 hours' where user_id = $1`, [user]);
    expect(await deleteOldKeys(api.database, 2)).toBe(5);
    expect(await keptRows(user)).toEqual([]);
  });

  it.each(["", " ", "a b", "ä", "x".repeat(256)])("refuses the key %j", async (key) => {
    const answer = await post("/upload", { user: randomUUID(), key, body: uploadRequest() });
    expect(answer).toMatchObject({ status: 422, body: { code: "idempotency_key_invalid" } });
  });

  it("changes nothing about a search, whose answer is not kept", async () => {
    const user = randomUUID();
    const asked = { user, key: "search", body: { query: "deductible" } };
    expect((await post("/search", asked)).status).toBe(200);
    expect((await post("/search", asked)).headers["idempotency-replayed"]).toBeUndefined();
    expect(await keptRows(user)).toEqual([]);
  });
});

it("a key in hand is told from one that is answered, in the database", async () => {
  const request = { user_id: randomUUID(), key_digest: "k", request_digest: "r" };
  expect(await claimKey(api.database, request, 60_000)).toEqual({ outcome: "claimed" });
  expect(await claimKey(api.database, request, 60_000)).toEqual({ outcome: "in_use" });
  expect(await claimKey(api.database, { ...request, request_digest: "s" }, 60_000)).toEqual({ outcome: "reused" });
});

it("an answered key is taken again by one request of many", async () => {
  const request = { user_id: randomUUID(), key_digest: "k", request_digest: "r" };
  await claimKey(api.database, request, 60_000);
  expect(await retakeKey(api.database, request, 60_000)).toBe(false);
  await keepAnswer(api.database, request, { status_code: 201, location: null, body: {} });
  expect(await keepAnswer(api.database, request, { status_code: 200, location: null, body: {} })).toBe(false);
  const taken = await Promise.all([1, 2, 3].map(() => retakeKey(api.database, request, 60_000)));
  expect(taken.filter((isTaken) => isTaken)).toHaveLength(1);
  expect(await claimKey(api.database, request, 60_000)).toEqual({ outcome: "in_use" });
});
