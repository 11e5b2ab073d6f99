import { randomUUID } from "node:crypto";
import { reportProgress } from "@pipeline/db";
import { createQueuedJob, createUpload } from "@pipeline/db/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { claimJob, completeDocument, deadLetter } from "../testing/documents.ts";
import { openTestApi, problemOf, type TestApi } from "../testing/test-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

const NOT_FOUND = { type: "about:blank", title: "Not Found", status: 404 };
const ISO_TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const page = z.object({
  documents: z.array(z.object({ document_id: z.string() })),
  next_cursor: z.string().nullable(),
});

describe("GET /jobs/:id", () => {
  it("shows a job that waits for its upload, and nothing else of its row", async () => {
    const user = randomUUID();
    const { job } = await createUpload(api.database, { user_id: user });
    const answer = await api.call({ path: `/jobs/${job.job_id}`, user });
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      job_id: job.job_id,
      document_id: job.document_id,
      status: "uploaded",
      state: "waiting",
      progress: { percent: 0 },
      retry_count: 0,
      last_error: null,
      waiting_for: "upload",
      due_at: ISO_TIME,
      upload_expires_at: ISO_TIME,
      correlation_id: job.correlation_id,
      created_at: ISO_TIME,
      updated_at: ISO_TIME,
      finished_at: null,
    });
  });

  it("counts what its stage has done, and leaves out what is no number", async () => {
    const user = randomUUID();
    const { job } = await createQueuedJob(api.database, { user_id: user });
    const claim = await claimJob(api.database, job.job_id);
    await reportProgress(api.database, claim, { pages_done: 3, pages_total: 6, test: true, percent: 99 });
    const answer = await api.call({ path: `/jobs/${job.job_id}`, user });
    expect(answer.body["progress"]).toEqual({ percent: 0, pages_done: 3, pages_total: 6 });
  });

  it("shows a complete job at 100 percent", async () => {
    const user = randomUUID();
    const { job_id } = await completeDocument(api.database, { user_id: user, passages: [{ text: "Text." }] });
    const answer = await api.call({ path: `/jobs/${job_id}`, user });
    expect(answer.body).toMatchObject({
      status: "complete",
      state: "done",
      progress: { percent: 100 },
      finished_at: ISO_TIME,
    });
  });

  it("shows why a job ended in the dead-letter queue", async () => {
    const user = randomUUID();
    const { job } = await createUpload(api.database, { user_id: user });
    await deadLetter(api.database, job);
    const answer = await api.call({ path: `/jobs/${job.job_id}`, user });
    expect(answer.body).toMatchObject({
      state: "deadletter",
      last_error: { stage: "verify", code: "upload_mismatch", message: "The file differs.", retryable: false },
    });
  });

  it.each(["", "/events"])("does not tell somebody else's job from none: /jobs/:id%s", async (suffix) => {
    const { job } = await createUpload(api.database);
    for (const id of [job.job_id, randomUUID(), "not-an-id", "1 or 1=1", "%00"]) {
      const answer = await api.call({ path: `/jobs/${encodeURIComponent(id)}${suffix}`, user: randomUUID() });
      expect(problemOf(answer)).toEqual({ ...NOT_FOUND, code: "job_not_found", detail: "There is no such job." });
    }
  });
});

describe("GET /jobs/:id/events", () => {
  it("tells the history page by page, each event once", async () => {
    const user = randomUUID();
    const { job_id } = await completeDocument(api.database, { user_id: user, passages: [{ text: "Text." }] });
    const events = z.object({
      events: z.array(z.object({ event_id: z.number(), type: z.string(), status: z.string(), created_at: z.string() })),
      next_cursor: z.string().nullable(),
    });
    const seen: string[] = [];
    let cursor: string | null = "0";
    while (cursor !== null) {
      const answer = await api.call({ path: `/jobs/${job_id}/events?limit=5&cursor=${cursor}`, user });
      const body = events.parse(answer.body);
      expect(body.events.length).toBeLessThanOrEqual(5);
      seen.push(...body.events.map((event) => `${event.type}:${event.status}`));
      cursor = body.next_cursor;
    }
    expect(seen.slice(0, 3)).toEqual(["created:uploaded", "upload_confirmed:uploaded", "status:parsing"]);
    expect(seen.at(-1)).toBe("status:complete");
    expect(new Set(seen).size).toBe(11);
  });

  it.each(["limit=0", "limit=101", "limit=x", "cursor=-1", "cursor=1e3", "colour=red", "limit=1&limit=2"])(
    "refuses ?%s",
    async (query) => {
      const answer = await api.call({ path: `/jobs/${randomUUID()}/events?${query}`, user: randomUUID() });
      expect(answer).toMatchObject({ status: 422, body: { code: "invalid_request" } });
    },
  );
});

describe("GET /documents/:id", () => {
  it("shows a complete document, and nothing else of its row", async () => {
    const user = randomUUID();
    const stored = { user_id: user, filename: "policy.txt", sha256: "cd".repeat(32), metadata: { year: 2026 } };
    const passages = [{ text: "One." }, { text: "Two." }];
    const { document_id, job_id } = await completeDocument(api.database, { ...stored, passages });
    const answer = await api.call({ path: `/documents/${document_id}`, user });
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      document_id,
      filename: "policy.txt",
      mime: "text/plain",
      bytes_len: 12,
      sha256: "cd".repeat(32),
      status: "complete",
      state: "done",
      job_id,
      last_error: null,
      title: "Booklet",
      page_count: 1,
      is_searchable: true,
      chunk_count: 2,
      metadata: { year: 2026 },
      created_at: ISO_TIME,
      updated_at: ISO_TIME,
    });
  });

  it("does not tell somebody else's document from none", async () => {
    const { document_id } = await completeDocument(api.database, {
      user_id: randomUUID(),
      passages: [{ text: "One." }],
    });
    for (const id of [document_id, randomUUID(), "not-an-id"]) {
      const answer = await api.call({ path: `/documents/${id}`, user: randomUUID() });
      const detail = "There is no such document.";
      expect(problemOf(answer)).toEqual({ ...NOT_FOUND, code: "document_not_found", detail });
    }
  });
});

describe("GET /documents", () => {
  it("lists the user's documents page by page, newest first, each once", async () => {
    const user = randomUUID();
    const made: string[] = [];
    for (let count = 0; count < 5; count += 1) {
      made.push((await createUpload(api.database, { user_id: user })).document.document_id);
    }
    // Two of one instant: the cursor must tell them apart.
    await api.database.run(
      `update ${api.database.schema}.documents set created_at = (select created_at from ${api.database.schema}.documents
         where document_id = $1) where document_id = $2`,
      [made[1] ?? "", made[2] ?? ""],
    );
    const seen: string[] = [];
    let query = "limit=2";
    for (;;) {
      const body = page.parse((await api.call({ path: `/documents?${query}`, user })).body);
      seen.push(...body.documents.map((document) => document.document_id));
      if (body.next_cursor === null) break;
      query = `limit=2&cursor=${body.next_cursor}`;
    }
    expect(seen).toHaveLength(5);
    expect(new Set(seen)).toEqual(new Set(made));
    expect([seen[0], seen[1], seen[4]]).toEqual([made[4], made[3], made[0]]);
  });

  it("is empty for somebody who has none", async () => {
    await createUpload(api.database);
    const answer = await api.call({ path: "/documents", user: randomUUID() });
    expect(answer).toMatchObject({ status: 200, body: { documents: [], next_cursor: null } });
  });

  it("gives somebody else's cursor no power over whose documents are listed", async () => {
    const owner = randomUUID();
    for (let count = 0; count < 2; count += 1) await createUpload(api.database, { user_id: owner });
    const first = page.parse((await api.call({ path: "/documents?limit=1", user: owner })).body);
    const answer = await api.call({ path: `/documents?cursor=${first.next_cursor ?? ""}`, user: randomUUID() });
    expect(answer.body).toEqual({ documents: [], next_cursor: null });
  });

  it.each(["", "%00", "bm9wZQ", "abc.def", Buffer.from("99999999999999999.x").toString("base64url")])(
    "refuses the cursor %j",
    async (cursor) => {
      const answer = await api.call({ path: `/documents?cursor=${cursor}`, user: randomUUID() });
      expect(answer).toMatchObject({ status: 422, body: { code: "invalid_cursor" } });
    },
  );

  it.each(["limit=0", "limit=101", "limit=", "limit=1.5", "state=gone"])("refuses ?%s", async (query) => {
    const answer = await api.call({ path: `/documents?${query}`, user: randomUUID() });
    expect(answer).toMatchObject({ status: 422, body: { code: "invalid_request" } });
  });
});
