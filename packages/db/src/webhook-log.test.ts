import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { parkJob } from "./checkpoints.ts";
import { endSubmission, openSubmission, storeProviderJob } from "./provider-jobs.ts";
import { claimOne, createQueuedJob, hasParallelConnections, openTestDatabase, readJob } from "./testing/index.ts";
import type { TestDatabase } from "./testing/index.ts";
import {
  acceptCallback,
  deleteOldCallbacks,
  findCallbackTarget,
  logCallback,
  type VerifiedCallback,
} from "./webhook-log.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
// A job that an accepted callback queued would be claimed in the place of the next test's.
afterEach(() => opened.database.run("delete from upload_pipeline.documents"));
afterAll(() => opened.close());

const provider = "llamaparse";

/** A job that waits for the provider's job "theirs". */
async function waiting(): Promise<VerifiedCallback> {
  await createQueuedJob(opened.database);
  const { job_id, fence } = await claimOne(opened.database);
  const submission_id = randomUUID();
  const how = { provider, tier: "fast", version: "latest", webhook_secret: "a secret", settles_in_ms: 0 };
  await openSubmission(opened.database, { submission_id, job_id, ...how });
  await storeProviderJob(opened.database, { submission_id, provider_job_id: "theirs" });
  await parkJob(opened.database, { job_id, fence }, { waiting_for: "parser", delayMs: 60_000 });
  return { provider, job_id, submission_id, event_key: randomUUID(), provider_job_id: "theirs" };
}

function accept(callback: VerifiedCallback) {
  return opened.database.transaction((tx) => acceptCallback(tx, callback));
}

async function readLog(job_id: string) {
  return opened.database.many(
    z.object({ event_key: z.string(), accepted: z.boolean(), code: z.string().nullable() }),
    "select event_key, accepted, code from upload_pipeline.webhook_log where job_id = $1 order by webhook_id",
    [job_id],
  );
}

it("a callback makes the waiting job claimable, once", async () => {
  const callback = await waiting();
  const { job_id, event_key } = callback;
  expect(await findCallbackTarget(opened.database, callback)).toEqual({
    submission_id: callback.submission_id,
    webhook_secret: "a secret",
  });
  expect(await accept(callback)).toBe("accepted");
  expect(await readJob(opened.database, job_id)).toMatchObject({ state: "queued", status: "uploaded" });
  expect(await accept(callback)).toBe("replayed");
  expect(await readLog(job_id)).toEqual([{ event_key, accepted: true, code: null }]);
  expect((await claimOne(opened.database)).job_id).toBe(job_id);
});

it("a callback for a job in a worker's hands changes nothing of the job", async () => {
  const callback = await waiting();
  await accept(callback);
  await claimOne(opened.database);
  const before = await readJob(opened.database, callback.job_id);
  expect(await accept({ ...callback, event_key: "another" })).toBe("accepted");
  expect(await readJob(opened.database, callback.job_id)).toEqual(before);
});

it("a callback about another job, or for a submission that is over, changes nothing", async () => {
  const callback = await waiting();
  const before = await readJob(opened.database, callback.job_id);
  expect(await accept({ ...callback, provider_job_id: "another" })).toBe("mismatched");
  expect(await accept({ ...callback, provider_job_id: null })).toBe("mismatched");
  await endSubmission(opened.database, { submission_id: callback.submission_id, outcome: "failed" });
  expect(await accept(callback)).toBe("late");
  expect(await accept({ ...callback, submission_id: randomUUID() })).toBe("late");
  expect(await readJob(opened.database, callback.job_id)).toEqual(before);
  expect(await readLog(callback.job_id)).toEqual([]);
});

it("a callback before the provider's answer is stored is about no job that is known", async () => {
  await createQueuedJob(opened.database);
  const { job_id } = await claimOne(opened.database);
  const submission_id = randomUUID();
  const how = { provider, tier: "fast", version: "latest", webhook_secret: "a secret", settles_in_ms: 0 };
  await openSubmission(opened.database, { submission_id, job_id, ...how });
  const event = { event_key: "early", provider_job_id: "theirs" };
  expect(await accept({ provider, job_id, submission_id, ...event })).toBe("mismatched");
});

it("refused events may come again and block no real one; accepted ones are unique", async () => {
  const callback = await waiting();
  const { job_id, event_key } = callback;
  for (let nth = 0; nth < 2; nth += 1) {
    await logCallback(opened.database, { provider, job_id, event_key, code: "webhook_signature_invalid" });
  }
  expect(await accept(callback)).toBe("accepted");
  await expect(logCallback(opened.database, { provider, job_id, event_key, code: null })).rejects.toMatchObject({
    code: "already_exists",
  });
  expect((await readLog(job_id)).map((row) => row.accepted)).toEqual([false, false, true]);
});

it.skipIf(!hasParallelConnections())(
  "of the same callback ten times at once one is accepted: needs parallel connections",
  async () => {
    const callback = await waiting();
    const verdicts = await Promise.all(Array.from({ length: 10 }, () => accept(callback)));
    expect(verdicts.filter((verdict) => verdict === "accepted")).toHaveLength(1);
    expect(verdicts.filter((verdict) => verdict === "replayed")).toHaveLength(9);
  },
);

it("old notes leave, the oldest first", async () => {
  await opened.database.run("delete from upload_pipeline.webhook_log");
  for (const event_key of ["one", "two", "three"]) {
    await logCallback(opened.database, { provider, job_id: randomUUID(), event_key, code: "webhook_late" });
  }
  await opened.database.run(
    "update upload_pipeline.webhook_log set received_at = now() - interval '31 days' where event_key <> 'three'",
  );
  expect(await deleteOldCallbacks(opened.database, 1)).toBe(2);
  expect(await deleteOldCallbacks(opened.database, 100)).toBe(0);
  expect(await opened.database.run("select from upload_pipeline.webhook_log")).toBe(1);
});

it("a flood of refusals is noted in part, and hides neither other kinds nor what is accepted", async () => {
  await opened.database.run("delete from upload_pipeline.webhook_log");
  const refuse = (code: string) =>
    logCallback(opened.database, { provider, job_id: randomUUID(), event_key: "forged", code });
  const noted = [];
  for (let nth = 1; nth <= 12; nth += 1) noted.push(await refuse("webhook_job_unknown"));
  expect(noted).toEqual([...Array(10).fill(true), false, false]);
  expect(await refuse("webhook_expired")).toBe(true);
  expect(await accept(await waiting())).toBe("accepted");
  expect(await opened.database.run("select from upload_pipeline.webhook_log")).toBe(12);
  await opened.database.run("update upload_pipeline.webhook_log set received_at = now() - interval '61 seconds'");
  expect(await refuse("webhook_job_unknown")).toBe(true);
});
