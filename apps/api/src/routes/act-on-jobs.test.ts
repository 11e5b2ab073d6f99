import { randomUUID } from "node:crypto";
import { createQueuedJob, createUpload, readHistory, readJob } from "@pipeline/db/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { claimJob, completeDocument, deadLetter } from "../testing/documents.ts";
import { openTestApi, problemOf, type TestApi } from "../testing/test-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

const jobsPage = z.object({
  jobs: z.array(z.object({ job_id: z.string(), state: z.string() })),
  next_cursor: z.string().nullable(),
});

function act(user: string, path: string, body?: unknown) {
  return api.call({ method: "POST", path, user, ...(body === undefined ? {} : { body }) });
}

function complete(user_id: string) {
  return completeDocument(api.database, { user_id, passages: [{ text: "One." }] });
}

describe("GET /jobs", () => {
  it("lists the user's jobs page by page, newest first, each once", async () => {
    const user = randomUUID();
    const made: string[] = [];
    for (let count = 0; count < 5; count += 1) {
      made.push((await createUpload(api.database, { user_id: user })).job.job_id);
    }
    // All of one instant: the cursor must tell them apart.
    await api.database.run(`update ${api.database.schema}.upload_jobs set created_at = now() where user_id = $1`, [
      user,
    ]);
    const seen: string[] = [];
    let query = "limit=2";
    for (;;) {
      const body = jobsPage.parse((await api.call({ path: `/jobs?${query}`, user })).body);
      seen.push(...body.jobs.map((job) => job.job_id));
      if (body.next_cursor === null) break;
      query = `limit=2&cursor=${body.next_cursor}`;
    }
    expect(seen).toEqual(made.toSorted());
    const other = await api.call({ path: `/jobs?${query}`, user: randomUUID() });
    expect(other.body).toEqual({ jobs: [], next_cursor: null });
  });

  it("keeps those of a state, a status and a document", async () => {
    const user = randomUUID();
    const done = await complete(user);
    const { job } = await createUpload(api.database, { user_id: user });
    const idsFor = async (query: string) =>
      jobsPage.parse((await api.call({ path: `/jobs?${query}`, user })).body).jobs.map(({ job_id }) => job_id);
    expect(await idsFor("state=done")).toEqual([done.job_id]);
    expect(await idsFor("status=uploaded")).toEqual([job.job_id]);
    expect(await idsFor(`document_id=${done.document_id}`)).toEqual([done.job_id]);
    expect(await idsFor("state=done&status=uploaded")).toEqual([]);
  });

  it.each(["state=nowhere", "status=x", "document_id=1", "limit=0", "colour=red"])("refuses ?%s", async (query) => {
    const answer = await api.call({ path: `/jobs?${query}`, user: randomUUID() });
    expect(answer).toMatchObject({ status: 422, body: { code: "invalid_request" } });
  });

  it("refuses a cursor that it did not give out", async () => {
    const answer = await api.call({ path: "/jobs?cursor=abc", user: randomUUID() });
    expect(answer).toMatchObject({ status: 422, body: { code: "invalid_cursor" } });
  });

  it("is kept by nobody on the way", async () => {
    const answer = await api.call({ path: "/jobs", user: randomUUID() });
    expect(answer.headers["cache-control"]).toBe("no-store");
  });
});

describe("POST /jobs/:id/cancel", () => {
  it("ends a job that a worker has in hand, and takes its claim away", async () => {
    const user = randomUUID();
    const { job } = await createQueuedJob(api.database, { user_id: user });
    const claim = await claimJob(api.database, job.job_id);
    const answer = await act(user, `/jobs/${job.job_id}/cancel`);
    expect(answer).toMatchObject({ status: 202, body: { job_id: job.job_id, state: "cancelled", status: "uploaded" } });
    expect(answer.headers["location"]).toBe(`/api/upload-pipeline/jobs/${job.job_id}`);
    expect((await readJob(api.database, job.job_id)).fence).toBe(claim.fence + 1);
    expect(await readHistory(api.database, job.job_id)).toContain("cancelled:uploaded");
  });

  it("is refused at the job's end", async () => {
    const user = randomUUID();
    const { job_id } = await complete(user);
    expect(await act(user, `/jobs/${job_id}/cancel`)).toMatchObject({
      status: 409,
      body: { code: "job_not_cancellable" },
    });
  });
});

describe("POST /jobs/:id/retry", () => {
  it("queues a cancelled job again, by this request", async () => {
    const user = randomUUID();
    const { job } = await createQueuedJob(api.database, { user_id: user });
    await act(user, `/jobs/${job.job_id}/cancel`);
    const path = `/jobs/${job.job_id}/retry`;
    const answer = await api.call({ method: "POST", path, user, headers: { "x-correlation-id": "again" } });
    expect(answer).toMatchObject({ status: 202, body: { state: "queued", correlation_id: job.correlation_id } });
    const { body } = await api.call({ path: `/jobs/${job.job_id}/events`, user });
    expect(z.array(z.unknown()).parse(body["events"]).at(-1)).toMatchObject({
      type: "redriven",
      correlation_id: "again",
    });
  });

  it("is refused while the job is under way, when it is done, and when only a new upload helps", async () => {
    const user = randomUUID();
    const { job } = await createQueuedJob(api.database, { user_id: user });
    expect(await act(user, `/jobs/${job.job_id}/retry`)).toMatchObject({
      status: 409,
      body: { code: "job_not_retryable" },
    });
    const { job_id } = await complete(user);
    expect(await act(user, `/jobs/${job_id}/retry`)).toMatchObject({ status: 409 });
    const failed = await createUpload(api.database, { user_id: user });
    await deadLetter(api.database, failed.job);
    expect(await act(user, `/jobs/${failed.job.job_id}/retry`)).toMatchObject({
      status: 409,
      body: { code: "upload_again" },
    });
  });
});

describe("POST /documents/:id/reprocess", () => {
  it("begins a new job at the asked stage", async () => {
    const user = randomUUID();
    const { document_id, job_id } = await complete(user);
    const answer = await act(user, `/documents/${document_id}/reprocess`, { from: "embed" });
    expect(answer).toMatchObject({
      status: 202,
      body: { document_id, state: "queued", status: "embedding_in_progress" },
    });
    expect(answer.body["job_id"]).not.toBe(job_id);
    expect(await act(user, `/documents/${document_id}/reprocess`, { from: "parse" })).toMatchObject({
      status: 409,
      body: { code: "job_unfinished" },
    });
  });

  it.each([{}, { from: "complete" }, { from: "nothing" }, { from: "embed", extra: 1 }])("refuses %j", async (body) => {
    const user = randomUUID();
    const { document_id } = await complete(user);
    expect(await act(user, `/documents/${document_id}/reprocess`, body)).toMatchObject({
      status: 422,
      body: { code: "invalid_request" },
    });
  });
});

describe("somebody else's job or document", () => {
  it.each([
    ["/jobs/:id/cancel", "job_not_found"],
    ["/jobs/:id/retry", "job_not_found"],
    ["/documents/:id/reprocess", "document_not_found"],
  ])("cannot be told from none: POST %s", async (path, code) => {
    const { job } = await createUpload(api.database);
    const stranger = randomUUID();
    const answers = [];
    for (const id of [path.startsWith("/jobs") ? job.job_id : job.document_id, randomUUID(), "not-an-id"]) {
      answers.push(problemOf(await act(stranger, path.replace(":id", id), { from: "parse" })));
    }
    expect(answers[0]).toMatchObject({ status: 404, code });
    expect(answers).toEqual([answers[0], answers[0], answers[0]]);
    expect(await readJob(api.database, job.job_id)).toMatchObject({ state: "waiting", fence: 0 });
  });
});
