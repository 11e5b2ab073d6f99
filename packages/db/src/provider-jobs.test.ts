import { randomUUID } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { cancelJob } from "./cancel.ts";
import { holdJob, parkJob } from "./checkpoints.ts";
import { type Generation, replacePages } from "./generations.ts";
import { findPageSource, storePageSource } from "./page-sources.ts";
import { closeAbandoned, finishWithdrawal, takeWithdrawals } from "./provider-jobs-withdrawal.ts";
import {
  beginAttempt,
  countLostSubmissions,
  endAttempt,
  endSubmission,
  findSubmission,
  openSubmission,
  recordLook,
  recordRefusal,
  replaceProviderJob,
  storeProviderJob,
  tellWait,
} from "./provider-jobs.ts";
import { retryJob } from "./redrive.ts";
import type { Hold } from "./rows.ts";
import { createQueuedJob, holdNow, openTestDatabase, readJob, type TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

const rawRow = z.looseObject({ outcome: z.string().nullable(), cancel_count: z.number() });

async function readRow(submission_id: string) {
  const [row] = await opened.database.many(
    rawRow,
    `select outcome, code, page_count, credits, is_credits_estimate, poll_count, fault_count, cancel_count,
       ended_at is not null as is_ended, cancel_due_at is not null as is_due, cancelled_at is not null as is_cancelled
     from upload_pipeline.provider_jobs where submission_id = $1`,
    [submission_id],
  );
  return row;
}

type Held = Hold & Generation;

const SETTLES_MS = 60_000;

/** As if all that has happened to the submission had been an hour earlier. */
async function passHour(submission_id: string): Promise<void> {
  await opened.database.run(
    `update upload_pipeline.provider_jobs
     set attempted_at = attempted_at - interval '1 hour', settles_at = settles_at - interval '1 hour',
       missed_at = missed_at - interval '1 hour'
     where submission_id = $1`,
    [submission_id],
  );
}

/** A job in a worker's hands with an open submission. */
async function begin(): Promise<{ claim: Held; submission_id: string }> {
  const { job } = await createQueuedJob(opened.database);
  const hold = await holdNow(opened.database, job.job_id);
  const claim = { ...hold, document_id: job.document_id, generation: 1 };
  return { claim, submission_id: await open(claim) };
}

async function open(claim: Hold): Promise<string> {
  const submission_id = randomUUID();
  const { job_id } = claim;
  const how = { provider: "llamaparse", tier: "fast", version: "latest", webhook_secret: "a secret" };
  await openSubmission(opened.database, { submission_id, job_id, settles_in_ms: SETTLES_MS, ...how });
  return submission_id;
}

describe("a submission", () => {
  it("is open from before it is sent until it ends, and a job has one at a time", async () => {
    const { claim, submission_id } = await begin();
    const before = await findSubmission(opened.database, claim);
    expect(before).toMatchObject({ submission_id, provider_job_id: null, tier: "fast", submitted_age_ms: null });
    await expect(open(claim)).rejects.toMatchObject({ code: "already_exists" });
    await storeProviderJob(opened.database, { submission_id, provider_job_id: "theirs" });
    await storeProviderJob(opened.database, { submission_id, provider_job_id: "another" });
    const known = await findSubmission(opened.database, claim);
    expect(known).toMatchObject({ provider_job_id: "theirs", submitted_age_ms: expect.any(Number) });
    const cost = { page_count: 2, credits: 6, is_estimate: true, cost_usd: 0.0075 };
    await endSubmission(opened.database, { submission_id, outcome: "completed", cost });
    expect(await findSubmission(opened.database, claim)).toBeUndefined();
    expect(await readRow(submission_id)).toMatchObject({
      outcome: "completed",
      page_count: 2,
      credits: 6,
      is_credits_estimate: true,
      is_due: false,
    });
    await endSubmission(opened.database, { submission_id, outcome: "failed", code: "later" });
    expect(await readRow(submission_id)).toMatchObject({ outcome: "completed", code: null });
    await open(claim);
  });

  it("that is opened twice is one, and tells when it was sent last", async () => {
    const { claim, submission_id } = await begin();
    const how = { provider: "llamaparse", tier: "fast", version: "latest", webhook_secret: "another" };
    const { job_id } = claim;
    await openSubmission(opened.database, { submission_id, job_id, settles_in_ms: 7_200_000, ...how });
    await passHour(submission_id);
    const old = await findSubmission(opened.database, claim);
    expect(old).toMatchObject({ webhook_secret: "a secret" });
    expect(old?.attempt_age_ms).toBeGreaterThanOrEqual(3_600_000);
    expect(old?.settles_in_ms).toBeLessThan(0);
    await beginAttempt(opened.database, { submission_id, settles_in_ms: 1_800_000 });
    const again = await findSubmission(opened.database, claim);
    expect(again?.attempt_age_ms).toBeLessThan(3_600_000);
    expect(again?.settles_in_ms).toBeGreaterThan(0);
  });

  it("has from the end of an attempt on its time to become a job, whatever the answer said", async () => {
    for (const has_failed of [false, true]) {
      const { claim, submission_id } = await begin();
      await passHour(submission_id);
      await endAttempt(opened.database, { submission_id, settles_in_ms: 1_800_000, has_failed });
      const ended = await findSubmission(opened.database, claim);
      expect(ended?.settles_in_ms).toBeGreaterThan(0);
      expect(ended?.attempt_age_ms === null).toBe(has_failed);
      await recordRefusal(opened.database, { submission_id });
      expect(await findSubmission(opened.database, claim)).toMatchObject({ settles_in_ms: null, attempt_age_ms: null });
    }
  });

  it("counts faults in a row", async () => {
    const { claim, submission_id } = await begin();
    const { job_id } = claim;
    const look = { submission_id, job_id, callback_count: 0 };
    await recordLook(opened.database, { ...look, result: "fault" });
    await recordLook(opened.database, { ...look, result: "fault" });
    expect(await findSubmission(opened.database, claim)).toMatchObject({
      fault_count: 2,
      attempt_age_ms: expect.any(Number),
    });
    await recordLook(opened.database, { ...look, result: "undecided" });
    expect(await readRow(submission_id)).toMatchObject({ fault_count: 2 });
    await recordLook(opened.database, { ...look, result: "unfinished" });
    expect(await readRow(submission_id)).toMatchObject({ fault_count: 0, poll_count: 4 });
  });

  it("tells since when the provider does not know its job, until it does or has another", async () => {
    const { claim, submission_id } = await begin();
    const look = { submission_id, job_id: claim.job_id, callback_count: 0 };
    const missedAge = async () => (await findSubmission(opened.database, claim))?.missed_age_ms;
    await storeProviderJob(opened.database, { submission_id, provider_job_id: "theirs" });
    expect(await missedAge()).toBeNull();
    await recordLook(opened.database, { ...look, result: "missing" });
    await passHour(submission_id);
    for (const result of ["missing", "fault", "undecided"] as const) {
      await recordLook(opened.database, { ...look, result });
      expect(await missedAge()).toBeGreaterThanOrEqual(3_600_000);
    }
    await recordLook(opened.database, { ...look, result: "unfinished" });
    expect(await missedAge()).toBeNull();
    await recordLook(opened.database, { ...look, result: "missing" });
    await replaceProviderJob(opened.database, { submission_id, provider_job_id: "another" });
    expect(await findSubmission(opened.database, claim)).toMatchObject({
      provider_job_id: "another",
      missed_age_ms: null,
    });
  });

  it("that waits tells its owner why, once for each reason in a row", async () => {
    const { claim } = await begin();
    const { job_id } = claim;
    await parkJob(opened.database, claim, { waiting_for: "parser", delayMs: 60_000 });
    const tell = (code: string) => {
      const error = new AppError({ kind: "transient", code, message: "It waits.", details: { status: 503 } });
      return tellWait(opened.database, { job_id, stage: "parse", error });
    };
    for (const code of ["one", "one", "another", "one"]) await tell(code);
    const events = await opened.database.many(
      z.object({ code: z.string(), state: z.string(), detail: z.record(z.string(), z.unknown()) }),
      `select code, state, detail from upload_pipeline.events where job_id = $1 and type = 'waiting' order by event_id`,
      [job_id],
    );
    expect(events.map(({ code }) => code)).toEqual(["one", "another", "one"]);
    expect(events[0]).toMatchObject({
      state: "waiting",
      detail: { stage: "parse", code: "one", message: "It waits.", status: 503, due_at: expect.any(String) },
    });
  });

  it("forgets an attempt that was refused without a look, and none that became a job", async () => {
    const { claim, submission_id } = await begin();
    await recordRefusal(opened.database, { submission_id });
    expect(await findSubmission(opened.database, claim)).toMatchObject({ fault_count: 0, attempt_age_ms: null });
    await beginAttempt(opened.database, { submission_id, settles_in_ms: SETTLES_MS });
    await storeProviderJob(opened.database, { submission_id, provider_job_id: "job-of-refusal" });
    await recordRefusal(opened.database, { submission_id });
    expect(await findSubmission(opened.database, claim)).toMatchObject({ attempt_age_ms: expect.any(Number) });
  });

  it("counts as lost where the provider forgot it", async () => {
    const { claim, submission_id } = await begin();
    expect(await countLostSubmissions(opened.database, claim)).toBe(0);
    await endSubmission(opened.database, { submission_id, outcome: "lost", code: "gone" });
    expect(await countLostSubmissions(opened.database, claim)).toBe(1);
  });

  it.for([
    { callbacks: 0, state: "waiting" },
    // It came while a worker held the job.
    { callbacks: 1, state: "queued" },
  ])("parks its job, which after $callbacks callbacks is $state", async ({ callbacks, state }) => {
    const { claim, submission_id } = await begin();
    const { job_id, fence } = claim;
    await opened.database.transaction(async (tx) => {
      await tx.run(`update ${tx.schema}.provider_jobs set callback_count = $2 where submission_id = $1`, [
        submission_id,
        callbacks,
      ]);
      expect(await holdJob(tx, claim)).toBe(true);
      await parkJob(tx, { job_id, fence }, { waiting_for: "parser", delayMs: 60_000 });
      await recordLook(tx, { submission_id, job_id, callback_count: 0, result: "unfinished" });
    });
    const job = await readJob(opened.database, job_id);
    expect(job.state).toBe(state);
    const ready = "select 1 from upload_pipeline.ready_jobs where job_id = $1";
    expect(await opened.database.run(ready, [job_id])).toBe(callbacks);
  });

  it("is closed to clients, whatever they are granted", async () => {
    const { submission_id } = await begin();
    // Roles belong to the whole server.
    const reader = `reader_${randomUUID().replaceAll("-", "")}`;
    await opened.database.transaction(async (tx) => {
      await tx.run(`create role ${reader}`);
      await tx.run(`grant usage on schema upload_pipeline to ${reader}`);
      await tx.run(`grant select, insert, update on upload_pipeline.provider_jobs to ${reader}`);
      await tx.run(`set local role ${reader}`);
      expect(await tx.run("select webhook_secret from upload_pipeline.provider_jobs")).toBe(0);
      expect(await tx.run("update upload_pipeline.provider_jobs set webhook_secret = 'mine'")).toBe(0);
      await tx.run("reset role");
      await tx.run(`drop owned by ${reader}`);
      await tx.run(`drop role ${reader}`);
    });
    expect(await readRow(submission_id)).toMatchObject({ outcome: null });
  });
});

describe("a withdrawal", () => {
  it("is owed for cancelled jobs and those that are gone, and for no others", async () => {
    const [waiting, cancelled, deleted, dead] = [await begin(), await begin(), await begin(), await begin()];
    const request = { job_id: cancelled.claim.job_id, correlation_id: "test" };
    await cancelJob(opened.database, request);
    await opened.database.run("delete from upload_pipeline.documents where document_id = $1", [
      deleted.claim.document_id,
    ]);
    await opened.database.run(
      `update upload_pipeline.upload_jobs
       set state = 'deadletter', finished_at = now(), last_error = '{}', lease_session_id = null, lease_expires_at = null
       where job_id = $1`,
      [dead.claim.job_id],
    );
    await storeProviderJob(opened.database, { submission_id: cancelled.submission_id, provider_job_id: "theirs" });
    expect(await closeAbandoned(opened.database, 100)).toHaveLength(2);
    expect(await closeAbandoned(opened.database, 100)).toEqual([]);
    for (const { submission_id } of [cancelled, deleted]) {
      expect(await readRow(submission_id)).toMatchObject({ outcome: "withdrawn", is_due: true });
    }
    for (const { submission_id } of [waiting, dead])
      expect(await readRow(submission_id)).toMatchObject({ outcome: null });

    // What was never answered may only be on its way: it is looked for a little later.
    const taken = await takeWithdrawals(opened.database, 100);
    expect(taken).toMatchObject([{ submission_id: cancelled.submission_id, provider_job_id: "theirs" }]);
    expect(await takeWithdrawals(opened.database, 100)).toEqual([]);
    await opened.database.run(
      "update upload_pipeline.provider_jobs set cancel_due_at = now() where outcome = 'withdrawn'",
    );
    expect(await takeWithdrawals(opened.database, 100)).toHaveLength(2);

    for (const { submission_id } of [cancelled, deleted]) {
      await finishWithdrawal(opened.database, { submission_id, is_told: true });
    }
    expect(await readRow(cancelled.submission_id)).toMatchObject({ is_due: false, is_cancelled: true });
    expect(await readRow(deleted.submission_id)).toBeUndefined();

    // Who revives the job begins anew.
    await opened.database.transaction((tx) => retryJob(tx, request));
    expect(await findSubmission(opened.database, request)).toBeUndefined();
  });

  it("of what has no id yet waits until it has become a job", async () => {
    const [cancelled, replaced] = [await begin(), await begin()];
    for (const { submission_id } of [cancelled, replaced]) {
      await endAttempt(opened.database, { submission_id, settles_in_ms: 3_600_000, has_failed: true });
    }
    await cancelJob(opened.database, { job_id: cancelled.claim.job_id, correlation_id: "test" });
    expect(await closeAbandoned(opened.database, 100)).toMatchObject([{ was_sent: true }]);
    await endSubmission(opened.database, { ...replaced, outcome: "replaced", withdraw: true });
    await opened.database.run(
      "update upload_pipeline.provider_jobs set cancel_due_at = cancel_due_at - interval '50 minutes'",
    );
    expect(await takeWithdrawals(opened.database, 100)).toEqual([]);
    await opened.database.run(
      "update upload_pipeline.provider_jobs set cancel_due_at = cancel_due_at - interval '10 minutes'",
    );
    expect(await takeWithdrawals(opened.database, 100)).toHaveLength(2);
  });

  it("is tried eight times, ever less often", async () => {
    const { submission_id } = await begin();
    await recordRefusal(opened.database, { submission_id });
    await endSubmission(opened.database, { submission_id, outcome: "timed_out", withdraw: true });
    for (let nth = 1; nth <= 8; nth += 1) {
      const [taken] = await takeWithdrawals(opened.database, 1);
      expect(taken).toMatchObject({ submission_id, is_last_try: nth === 8 });
      await opened.database.run(
        "update upload_pipeline.provider_jobs set cancel_due_at = now() where submission_id = $1 and cancel_due_at is not null",
        [submission_id],
      );
    }
    expect(await takeWithdrawals(opened.database, 1)).toEqual([]);
    await finishWithdrawal(opened.database, { submission_id, is_told: false });
    expect(await readRow(submission_id)).toMatchObject({ cancel_count: 8, is_due: false, is_cancelled: false });
  });

  it("keeps a submission beyond its job, which takes all others with it", async () => {
    const { claim, submission_id } = await begin();
    await endSubmission(opened.database, { submission_id, outcome: "completed" });
    const owed = await open(claim);
    await endSubmission(opened.database, { submission_id: owed, outcome: "timed_out", withdraw: true });
    await opened.database.run("delete from upload_pipeline.documents where document_id = $1", [claim.document_id]);
    expect(await readRow(submission_id)).toBeUndefined();
    expect(await readRow(owed)).toMatchObject({ is_due: true });
    await finishWithdrawal(opened.database, { submission_id: owed, is_told: true });
    expect(await readRow(owed)).toBeUndefined();
  });
});

it("the pages of a generation say which parser made them, the last one if it was parsed again", async () => {
  const { claim, submission_id } = await begin();
  const source = { parser: "llamaparse", parser_version: "fast latest", submission_id, fallback_code: null };
  expect(await findPageSource(opened.database, claim)).toBeUndefined();
  await opened.database.transaction(async (tx) => {
    await replacePages(tx, claim, { title: null, pages: [{ page_number: 1, text: "One." }] });
    await storePageSource(tx, claim, source);
  });
  expect(await findPageSource(opened.database, claim)).toEqual(source);
  const local = { parser: "pdfjs", parser_version: "1", submission_id: null, fallback_code: "llamaparse_unavailable" };
  await storePageSource(opened.database, claim, local);
  expect(await findPageSource(opened.database, claim)).toEqual(local);
  await opened.database.run("delete from upload_pipeline.documents where document_id = $1", [claim.document_id]);
  expect(await findPageSource(opened.database, claim)).toBeUndefined();
});
