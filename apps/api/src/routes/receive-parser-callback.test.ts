import { createHmac, randomUUID } from "node:crypto";
import { createLlamaParse } from "@pipeline/composition";
import { endSubmission, openSubmission, parkJob, storeProviderJob } from "@pipeline/db";
import { claimOne, createQueuedJob, holdNow, readJob } from "@pipeline/db/testing";
import { parseEnvironment } from "@pipeline/runtime";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { buildApi } from "../app.ts";
import { API_PREFIX } from "../contract/urls.ts";
import { type Answer, openTestApi, problemOf, type TestApi } from "../testing/test-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

interface Waiting {
  job_id: string;
  submission_id: string;
  provider_job_id: string;
  secret: string;
}

/** A job that waits for its parser. */
async function waiting({ isParked = true } = {}): Promise<Waiting> {
  const { job } = await createQueuedJob(api.database);
  const { job_id, fence } = await holdNow(api.database, job.job_id);
  const submission_id = randomUUID();
  const secret = randomUUID();
  const how = { provider: "llamaparse", tier: "fast", version: "latest", webhook_secret: secret, settles_in_ms: 0 };
  await openSubmission(api.database, { submission_id, job_id, ...how });
  const provider_job_id = randomUUID();
  await storeProviderJob(api.database, { submission_id, provider_job_id });
  if (isParked) {
    await parkJob(api.database, { job_id, fence }, { waiting_for: "parser", delayMs: 60_000 });
  }
  return { job_id, submission_id, provider_job_id, secret };
}

function eventOf({ provider_job_id }: Waiting, changes: Record<string, unknown> = {}): string {
  return JSON.stringify({
    event_id: randomUUID(),
    event_type: "parse.success",
    timestamp: Date.now() / 1_000,
    data: { id: provider_job_id, job_id: provider_job_id },
    ...changes,
  });
}

function signatureOf(body: string, secret: string): string {
  return `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
}

interface Delivery {
  to: string;
  body: string;
  /** Undefined: unsigned. */
  secret?: string;
  type?: string;
}

function deliver({ to, body, secret, type = "application/json" }: Delivery): Promise<Answer> {
  const signature = secret === undefined ? {} : { "lc-signature": signatureOf(body, secret) };
  const headers = { "content-type": type, ...signature };
  return api.call({ method: "POST", path: `/webhooks/llamaparse/${to}`, headers, body });
}

const logRow = z.object({ event_key: z.string(), accepted: z.boolean(), code: z.string().nullable() });

function readLog(jobId: string) {
  return api.database.many(
    logRow,
    "select event_key, accepted, code from upload_pipeline.webhook_log where job_id = $1 order by webhook_id",
    [jobId],
  );
}

const jobOf = (jobId: string) => readJob(api.database, jobId);

describe("a callback of LlamaParse", () => {
  it("makes the waiting job claimable, and is logged", async () => {
    const job = await waiting();
    const before = await jobOf(job.job_id);
    const event_id = randomUUID();
    const answer = await deliver({ to: job.job_id, body: eventOf(job, { event_id }), secret: job.secret });
    expect(answer).toMatchObject({ status: 202, body: { accepted: true } });
    const { state, status, fence, retry_count, progress } = before;
    expect(state).toBe("waiting");
    expect(await jobOf(job.job_id)).toMatchObject({ state: "queued", status, fence, retry_count, progress });
    expect(await readLog(job.job_id)).toEqual([{ event_key: event_id, accepted: true, code: null }]);
    expect((await claimOne(api.database)).job_id).toBe(job.job_id);
  });

  it.each(["text/plain", "application/octet-stream"])("is taken whatever its type (%s)", async (type) => {
    const job = await waiting();
    const answer = await deliver({ to: job.job_id, body: eventOf(job), secret: job.secret, type });
    expect(answer.status).toBe(202);
  });

  it("changes nothing of a job that is in a worker's hands", async () => {
    const job = await waiting({ isParked: false });
    const before = await jobOf(job.job_id);
    expect(before.state).toBe("working");
    const answer = await deliver({ to: job.job_id, body: eventOf(job), secret: job.secret });
    expect(answer.status).toBe(202);
    expect(await jobOf(job.job_id)).toEqual(before);
  });

  it("comes to where the provider is told to send it", async () => {
    const job = await waiting();
    const environment = parseEnvironment(
      { LLAMAPARSE_API_KEY: "llx-1234567890", SERVICE_PUBLIC_URL: "https://api.example.com" },
      "local",
    );
    const url = new URL(createLlamaParse(environment)?.webhookUrl?.(job.job_id) ?? "");
    const body = eventOf(job);
    const headers = { "content-type": "application/json", "lc-signature": signatureOf(body, job.secret) };
    const answer = await api.call({ method: "POST", path: `root:${url.pathname}`, headers, body });
    expect(answer.status).toBe(202);
  });
});

const REFUSED: Record<string, { code: string; write: (job: Waiting, other: Waiting) => Delivery }> = {
  "signed with another secret": {
    code: "webhook_signature_invalid",
    write: (job) => ({ to: job.job_id, body: eventOf(job), secret: "guessed" }),
  },
  "not signed": {
    code: "webhook_signature_invalid",
    write: (job) => ({ to: job.job_id, body: eventOf(job) }),
  },
  empty: {
    code: "webhook_signature_invalid",
    write: (job) => ({ to: job.job_id, body: "" }),
  },
  "signed, and no event": {
    code: "webhook_malformed",
    write: (job) => ({ to: job.job_id, body: '{"hello":"world"}', secret: job.secret }),
  },
  "ten minutes old": {
    code: "webhook_expired",
    write: (job) => {
      const body = eventOf(job, { timestamp: Date.now() / 1_000 - 600 });
      return { to: job.job_id, body, secret: job.secret };
    },
  },
  "ten minutes early": {
    code: "webhook_expired",
    write: (job) => {
      const body = eventOf(job, { timestamp: Date.now() / 1_000 + 600 });
      return { to: job.job_id, body, secret: job.secret };
    },
  },
  "about another job of the provider": {
    code: "webhook_job_mismatch",
    write: (job) => ({ to: job.job_id, body: eventOf({ ...job, provider_job_id: randomUUID() }), secret: job.secret }),
  },
  "about no job": {
    code: "webhook_job_mismatch",
    write: (job) => ({ to: job.job_id, body: eventOf(job, { data: {} }), secret: job.secret }),
  },
  "another job's": {
    code: "webhook_signature_invalid",
    write: (job, other) => ({ to: job.job_id, body: eventOf(other), secret: other.secret }),
  },
  "too large": {
    code: "webhook_too_large",
    write: (job) => ({ to: job.job_id, body: eventOf(job, { padding: "x".repeat(20_000) }), secret: job.secret }),
  },
};

describe("a callback that is refused", () => {
  it.each(Object.entries(REFUSED))("%s: changes nothing and is logged", async (_how, { code, write }) => {
    const [job, other] = [await waiting(), await waiting()];
    const before = [await jobOf(job.job_id), await jobOf(other.job_id)];
    const answer = await deliver(write(job, other));
    expect(answer.status).toBe(403);
    expect([await jobOf(job.job_id), await jobOf(other.job_id)]).toEqual(before);
    expect(await readLog(job.job_id)).toMatchObject([{ accepted: false, code }]);
    // And it blocks no real one.
    expect((await deliver({ to: job.job_id, body: eventOf(job), secret: job.secret })).status).toBe(202);
  });

  it("was accepted before", async () => {
    const job = await waiting();
    const delivery = { to: job.job_id, body: eventOf(job), secret: job.secret };
    expect((await deliver(delivery)).status).toBe(202);
    const before = await jobOf(job.job_id);
    expect((await deliver(delivery)).status).toBe(403);
    expect(await jobOf(job.job_id)).toEqual(before);
    expect(await readLog(job.job_id)).toMatchObject([{ code: null }, { accepted: false, code: "webhook_replayed" }]);
  });

  it("comes when nobody waits for it any more", async () => {
    const job = await waiting();
    await endSubmission(api.database, { submission_id: job.submission_id, outcome: "completed" });
    const before = await jobOf(job.job_id);
    expect((await deliver({ to: job.job_id, body: eventOf(job), secret: job.secret })).status).toBe(403);
    expect(await jobOf(job.job_id)).toEqual(before);
    expect(await readLog(job.job_id)).toMatchObject([{ accepted: false, code: "webhook_late" }]);
  });

  it("gets the same answer whatever was wrong, and wherever it was sent", async () => {
    const [job, other] = [await waiting(), await waiting()];
    const unknown = randomUUID();
    const deliveries = [
      ...Object.values(REFUSED).map(({ write }) => write(job, other)),
      { to: unknown, body: eventOf(job), secret: job.secret },
      { to: "no-id-at-all", body: eventOf(job), secret: job.secret },
    ];
    const answers = [];
    for (const delivery of deliveries) {
      const answer = await deliver(delivery);
      answers.push({ status: answer.status, type: answer.headers["content-type"], problem: problemOf(answer) });
    }
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect(answers[0]).toMatchObject({ status: 403, problem: { code: "webhook_refused" } });
    expect(await readLog(unknown)).toMatchObject([{ accepted: false, code: "webhook_job_unknown" }]);
    const lines = api.readLog();
    expect(lines).not.toContain(job.secret);
    expect(lines).not.toContain(job.provider_job_id);
  });

  it("is noted ten times a minute of each kind, and told of in the log from then on", async () => {
    await api.database.run("delete from upload_pipeline.webhook_log");
    const job = await waiting();
    for (let nth = 1; nth <= 12; nth += 1) {
      const answer = await deliver({ to: randomUUID(), body: eventOf(job), secret: job.secret });
      expect(answer.status).toBe(403);
    }
    expect(await api.database.run("select from upload_pipeline.webhook_log")).toBe(10);
    expect(api.readLog().match(/callback refused, and not noted/gu)).toHaveLength(2);
    expect((await deliver({ to: job.job_id, body: eventOf(job), secret: job.secret })).status).toBe(202);
  });
});

it("there is nowhere to call back to where documents are read on this machine", async () => {
  await api.database.run("delete from upload_pipeline.webhook_log");
  const app = await buildApi({ ...api.dependencies, checkParser: undefined });
  const url = `${API_PREFIX}/webhooks/llamaparse/${randomUUID()}`;
  const answer = await app.inject({ method: "POST", url, payload: {} });
  expect(answer.statusCode).toBe(404);
  expect(answer.json()).toMatchObject({ code: "route_not_found" });
  expect(await api.database.run("select from upload_pipeline.webhook_log")).toBe(0);
  await app.close();
});
