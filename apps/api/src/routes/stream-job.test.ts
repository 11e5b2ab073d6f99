import { randomUUID } from "node:crypto";
import { advanceJobs, cancelJob, reportProgress, retryJob, type Claim } from "@pipeline/db";
import { createQueuedJob, createUpload } from "@pipeline/db/testing";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { buildApi } from "../app.ts";
import { signDevelopmentToken } from "../auth/sign-development-token.ts";
import { API_PREFIX } from "../contract/urls.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { createJobStreams, type StreamSettings } from "../streams/job-streams.ts";
import { claimJob, completeDocument } from "../testing/documents.ts";
import { openTestApi, problemOf, TOKEN_SECRET, type TestApi } from "../testing/test-api.ts";

let api: TestApi;
const cleanUps: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  api = await openTestApi();
});
afterEach(async () => {
  for (const clean of cleanUps.splice(0).toReversed()) await clean();
});
afterAll(() => api.close());

const message = z.object({
  id: z.string().nullable(),
  data: z.looseObject({
    job_id: z.string(),
    state: z.string(),
    status: z.string(),
    progress: z.looseObject({ percent: z.number() }),
    event: z.looseObject({ event_id: z.number(), type: z.string(), status: z.string() }).nullable(),
  }),
});
type Message = z.infer<typeof message>;

interface Stream {
  response: Response;
  /** Everything received so far. */
  text: () => string;
  messages: () => Message[];
  /** Resolves when what was received passes; rejects when the stream ends before. */
  until: (passes: () => boolean) => Promise<void>;
  ended: () => Promise<void>;
  leave: () => void;
}

const PATIENTLY = { timeout: 30_000 };

/** A client of `fetch`, as frontends use it to send a token. */
async function open(address: string, input: { user: string; job_id: string; after?: string; seconds?: number }) {
  const { user: userId, job_id, after, seconds = 60 } = input;
  const token = await signDevelopmentToken({ secret: TOKEN_SECRET, userId, expiresInSeconds: seconds });
  const leaving = new AbortController();
  const headers = { authorization: `Bearer ${token}`, ...(after === undefined ? {} : { "last-event-id": after }) };
  const response = await fetch(`${address}${API_PREFIX}/jobs/${job_id}/stream`, { headers, signal: leaving.signal });
  cleanUps.push(async () => leaving.abort());
  return readStream(response, () => leaving.abort());
}

function readStream(response: Response, leave: () => void): Stream {
  const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
  const decoder = new TextDecoder();
  let text = "";
  const read = async (): Promise<boolean> => {
    const { done, value } = await reader.read();
    if (value) text += decoder.decode(value, { stream: true });
    return !done;
  };
  return {
    response,
    leave,
    text: () => text,
    messages: () => parseMessages(text),
    until: async (passes) => {
      while (!passes()) if (!(await read())) throw new Error(`The stream ended with ${text}`);
    },
    ended: async () => {
      while (await read());
    },
  };
}

function parseMessages(text: string): Message[] {
  const blocks = text.split("\n\n").filter((block) => block.includes("event: job\n"));
  return blocks
    .filter((block) => block.includes("data: ") && block.endsWith("}"))
    .map((block) => {
      const id = /^id: (\d+)$/m.exec(block)?.[1] ?? null;
      return message.parse({ id, data: JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? "") });
    });
}

/** An API that listens, with settings of its own for streams. */
async function serve(streams: Partial<StreamSettings> = {}, overrides: Partial<ApiDependencies> = {}) {
  const settings = { ...api.dependencies.settings };
  settings.streams = { ...settings.streams, pollMs: 20, ...streams };
  const app = await buildApi({ ...api.dependencies, settings, ...overrides });
  cleanUps.push(() => app.close());
  return { app, address: await app.listen({ host: "127.0.0.1", port: 0 }) };
}

async function advance(claim: Claim, from: "uploaded" | "parsing", to: "parsing" | "parsed"): Promise<void> {
  const { job_id, fence } = claim;
  await advanceJobs(api.database, [{ job_id, fence, from, to, progress: {}, detail: {} }]);
}

describe("GET /jobs/:id/stream", () => {
  it("tells where the job is, every event with its id, progress without one, and ends with the job", async () => {
    const user = randomUUID();
    const { job } = await createQueuedJob(api.database, { user_id: user });
    const { address } = await serve();
    const stream = await open(address, { user, job_id: job.job_id });
    expect(stream.response.status).toBe(200);
    expect(stream.response.headers.get("content-type")).toBe("text/event-stream");
    expect(stream.response.headers.get("cache-control")).toBe("no-store");
    await stream.until(() => stream.messages().length === 1);
    expect(stream.text()).toMatch(/^retry: \d+\n\n/);
    expect(stream.messages()[0]).toMatchObject({ data: { state: "queued", event: { type: "upload_confirmed" } } });
    const claim = await claimJob(api.database, job.job_id);
    await stream.until(() => stream.messages().at(-1)?.data.state === "working");
    await advance(claim, "uploaded", "parsing");
    await stream.until(() => stream.messages().at(-1)?.data.event?.status === "parsing");
    await reportProgress(api.database, claim, { pages_done: 1, pages_total: 2 });
    await stream.until(() => stream.messages().at(-1)?.data.progress["pages_done"] === 1);
    expect(stream.messages().at(-1)).toMatchObject({ id: null, data: { event: null } });
    await cancelJob(api.database, { job_id: job.job_id, correlation_id: "test" });
    await stream.ended();
    const told = stream.messages();
    expect(told.at(-1)).toMatchObject({ data: { state: "cancelled", event: { type: "cancelled" } } });
    for (const { id, data } of told) expect(id).toBe(data.event === null ? null : String(data.event.event_id));
  });

  it("goes on behind Last-Event-ID, with no event lost and none twice", async () => {
    const user = randomUUID();
    const { job } = await createQueuedJob(api.database, { user_id: user });
    const { address } = await serve();
    const first = await open(address, { user, job_id: job.job_id });
    await first.until(() => first.messages().length > 0);
    const seen = first.messages().at(-1)?.id ?? "";
    first.leave();
    const claim = await claimJob(api.database, job.job_id);
    await advance(claim, "uploaded", "parsing");
    await advance(claim, "parsing", "parsed");
    const second = await open(address, { user, job_id: job.job_id, after: seen });
    await second.until(() => second.messages().length >= 2);
    expect(second.messages().map(({ data }) => data.event?.status)).toEqual(["parsing", "parsed"]);
    await cancelJob(api.database, { job_id: job.job_id, correlation_id: "test" });
    await second.ended();
    const ids = second.messages().map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const last = await open(address, { user, job_id: job.job_id, after: ids.at(-1) ?? "" });
    expect(last.response.status).toBe(204);
  });

  it("tells a history that is longer than one look, whole and in order", async () => {
    const user = randomUUID();
    const { job } = await createUpload(api.database, { user_id: user });
    for (let count = 0; count < 60; count += 1) {
      await cancelJob(api.database, { job_id: job.job_id, correlation_id: "test" });
      await api.database.transaction((tx) => retryJob(tx, { job_id: job.job_id, correlation_id: "test" }));
    }
    await cancelJob(api.database, { job_id: job.job_id, correlation_id: "test" });
    const { address } = await serve();
    const stream = await open(address, { user, job_id: job.job_id, after: "0" });
    await stream.ended();
    const ids = stream.messages().map(({ id }) => Number(id));
    expect(ids).toHaveLength(122);
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
  });

  it("tells a job that has ended once, and ends", async () => {
    const user = randomUUID();
    const { job_id } = await completeDocument(api.database, { user_id: user, passages: [{ text: "One." }] });
    const answer = await api.call({ path: `/jobs/${job_id}/stream`, user });
    expect(parseMessages(answer.text)).toMatchObject([{ data: { state: "done", progress: { percent: 100 } } }]);
    const garbage = await api.call({ path: `/jobs/${job_id}/stream`, user, headers: { "last-event-id": "x" } });
    expect(garbage.text).toBe(answer.text);
  });

  it("asks once for all streams, however many there are, and not at all where there are none", async () => {
    const user = randomUUID();
    const jobs = await Promise.all(Array.from({ length: 5 }, () => createQueuedJob(api.database, { user_id: user })));
    const asked: number[] = [];
    const database: ApiDependencies["database"] = {
      ...api.database,
      many: (row, sql, parameters = []) => {
        const [ids] = parameters;
        if (sql.includes("xmin") && Array.isArray(ids)) asked.push(ids.length);
        return api.database.many(row, sql, parameters);
      },
    };
    const { address } = await serve({}, { database });
    const streams = await Promise.all(jobs.map(({ job }) => open(address, { user, job_id: job.job_id })));
    await Promise.all(streams.map((stream) => stream.until(() => stream.messages().length > 0)));
    const [job] = jobs;
    await claimJob(api.database, job?.job.job_id ?? "");
    await streams[0]?.until(() => streams[0]?.messages().at(-1)?.data.state === "working");
    expect(Math.max(...asked)).toBe(5);
  });

  it("sends heartbeats and goes on when the database was away", async () => {
    const user = randomUUID();
    const { job } = await createQueuedJob(api.database, { user_id: user });
    const outage = { isOn: false };
    const database: ApiDependencies["database"] = {
      ...api.database,
      many: async (row, sql, parameters) => {
        if (outage.isOn) throw new Error("The database is away.");
        return api.database.many(row, sql, parameters);
      },
    };
    const { address } = await serve({ heartbeatMs: 30 }, { database });
    const stream = await open(address, { user, job_id: job.job_id });
    await stream.until(() => stream.messages().length > 0);
    outage.isOn = true;
    const before = stream.text().split(": still here").length;
    await cancelJob(api.database, { job_id: job.job_id, correlation_id: "test" });
    await stream.until(() => stream.text().split(": still here").length > before + 2);
    outage.isOn = false;
    await stream.ended();
    expect(stream.messages().at(-1)?.data.state).toBe("cancelled");
  });

  it("cuts off a reader that leaves too much unread, and gives its place to another", async () => {
    const user = randomUUID();
    const { job } = await createQueuedJob(api.database, { user_id: user });
    const claim = await claimJob(api.database, job.job_id);
    const limits = { maxStreams: 1, maxStreamsPerUser: 1, pollMs: 1, heartbeatMs: 60_000 };
    const streams = createJobStreams({ database: api.database, log: api.dependencies.log }, limits);
    const request = { job_id: job.job_id, user_id: user, after: undefined, expiresAt: new Date(Date.now() + 60_000) };
    const out = await streams.open(request);
    const counters = Object.fromEntries(Array.from({ length: 4_000 }, (_, nth) => [`counter_number_${nth}`, nth]));
    await expect
      .poll(async () => {
        await reportProgress(api.database, claim, counters);
        return out?.destroyed;
      }, PATIENTLY)
      .toBe(true);
    expect(await streams.open(request)).toBeDefined();
    streams.close();
  });

  it("ends with the token", async () => {
    const user = randomUUID();
    const { job } = await createQueuedJob(api.database, { user_id: user });
    const { address } = await serve();
    const stream = await open(address, { user, job_id: job.job_id, seconds: 1 });
    await stream.ended();
    expect(stream.messages()).toMatchObject([{ data: { state: "queued" } }]);
  });

  it.each([
    ["as we write them", (id: string) => id],
    ["in capitals", (id: string) => id.toUpperCase()],
  ])("ends when the document is deleted, with ids %s", async (_, write) => {
    const user = randomUUID();
    const { job } = await createQueuedJob(api.database, { user_id: user });
    const { address } = await serve({ heartbeatMs: 20 });
    const stream = await open(address, { user, job_id: write(job.job_id) });
    await stream.until(() => stream.messages().length > 0);
    const path = `/documents/${write(job.document_id)}`;
    expect(await api.call({ method: "DELETE", path, user })).toMatchObject({ status: 204 });
    await stream.ended();
  });

  it("ends with the server, which does not wait for it", async () => {
    const user = randomUUID();
    const { job } = await createQueuedJob(api.database, { user_id: user });
    const { app, address } = await serve();
    const stream = await open(address, { user, job_id: job.job_id });
    await stream.until(() => stream.messages().length > 0);
    const closed = app.close();
    await stream.ended();
    await closed;
    expect(stream.messages()).toHaveLength(1);
  });

  it("has room for so many of a user and of everybody, and gives it back", async () => {
    const user = randomUUID();
    const other = randomUUID();
    const { job } = await createQueuedJob(api.database, { user_id: user });
    const { job: others } = await createQueuedJob(api.database, { user_id: other });
    const { address } = await serve({ maxStreams: 3, maxStreamsPerUser: 2 });
    const mine = { user, job_id: job.job_id };
    const first = await open(address, mine);
    await open(address, mine);
    const refused = await open(address, mine);
    expect(refused.response.status).toBe(429);
    expect(refused.response.headers.get("retry-after")).toBe("5");
    expect(refused.response.headers.get("content-type")).toContain("application/problem+json");
    const theirs = { user: other, job_id: others.job_id };
    await open(address, theirs);
    const full = await open(address, theirs);
    expect(full.response.status).toBe(503);
    first.leave();
    await expect.poll(async () => (await open(address, theirs)).response.status, PATIENTLY).toBe(200);
  });

  it("does not tell somebody else's job from none, with any event id", async () => {
    const { job } = await createUpload(api.database);
    const stranger = randomUUID();
    const answers = [];
    for (const id of [job.job_id, randomUUID(), "not-an-id"]) {
      const headers = { "last-event-id": "1" };
      answers.push(problemOf(await api.call({ path: `/jobs/${id}/stream`, user: stranger, headers })));
    }
    expect(answers[0]).toMatchObject({ status: 404, code: "job_not_found" });
    expect(answers).toEqual([answers[0], answers[0], answers[0]]);
  });
});
