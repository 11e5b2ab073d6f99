import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { getQueueControl, pauseClaims, resumeClaims } from "./queue-control.ts";
import { openTestDatabase, type TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());
beforeEach(() => resumeClaims(opened.database));

const RUNNING = { paused_at: null, paused_by: null, reason: null };

test("a fresh queue is not paused", async () => {
  expect(await getQueueControl(opened.database)).toEqual(RUNNING);
});

test("a pause says since when, by whom and why", async () => {
  const paused = await pauseClaims(opened.database, { paused_by: "ana", reason: "provider down" });
  expect(paused).toEqual({ paused_at: expect.any(Date), paused_by: "ana", reason: "provider down" });
  expect(await getQueueControl(opened.database)).toEqual(paused);
});

test("a second pause keeps the time of the first", async () => {
  const first = await pauseClaims(opened.database, { paused_by: "ana", reason: "provider down" });
  const second = await pauseClaims(opened.database, { paused_by: "ben", reason: null });
  expect(second).toEqual({ paused_at: first.paused_at, paused_by: "ben", reason: null });
});

test("resuming twice is like resuming once", async () => {
  await pauseClaims(opened.database, { paused_by: "ana", reason: null });
  expect(await resumeClaims(opened.database)).toEqual(RUNNING);
  expect(await resumeClaims(opened.database)).toEqual(RUNNING);
});

test.each([
  ["a second switch", "insert into upload_pipeline.queue_control default values"],
  ["a switch beside the one", "insert into upload_pipeline.queue_control (only_row) values (false)"],
  ["a reason without a pause", "update upload_pipeline.queue_control set reason = 'none'"],
])("%s cannot be stored", async (_what, sql) => {
  await expect(opened.database.run(sql)).rejects.toMatchObject({ name: "AppError" });
});
