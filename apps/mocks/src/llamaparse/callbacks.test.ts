import { createHmac } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { closeStarted, parse, start, upload } from "./emulator.fixture.ts";
import { type Callback, type Receiver, startReceiver } from "./receiver.fixture.ts";
import { startLlamaParse } from "./start-llamaparse.ts";

let receiver: Receiver;
beforeEach(async () => {
  receiver = await startReceiver();
});
/** A busy machine is slow. */
const PATIENTLY = { timeout: 30_000 };

afterEach(async () => {
  await closeStarted();
  await receiver.close();
});

const eventSchema = z.strictObject({
  event_id: z.uuid(),
  event_type: z.string(),
  timestamp: z.number(),
  data: z.strictObject({ id: z.uuid(), job_id: z.uuid() }),
});

function readEvent({ body }: Callback): z.infer<typeof eventSchema> {
  return eventSchema.parse(JSON.parse(body));
}

const SECRET = "a secret of ours";

/** The form fields that ask for events. */
function events(settings: Record<string, unknown> = {}): Record<string, string> {
  const configuration = {
    webhook_url: `${receiver.url}/hook`,
    webhook_output_format: "json",
    webhook_signing_secret: SECRET,
    ...settings,
  };
  return { webhook_configurations: JSON.stringify([configuration]) };
}

function isSignedWith(secret: string, { headers, body }: Callback): boolean {
  return headers["lc-signature"] === `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
}

describe("events", () => {
  test("tell of a job from its beginning to its end, signed over the raw body", async () => {
    const emulator = await start();
    const { id } = await parse(emulator, { fields: events({ webhook_headers: { "X-Job": "7" } }) });
    expect(receiver.received.map((callback) => readEvent(callback).event_type)).toEqual([
      "parse.pending",
      "parse.running",
      "parse.success",
    ]);
    for (const callback of receiver.received) {
      const event = readEvent(callback);
      expect(event.data).toEqual({ id, job_id: id });
      expect(Math.abs(event.timestamp - Date.now() / 1_000)).toBeLessThan(600);
      expect(isSignedWith(SECRET, callback)).toBe(true);
      expect(callback.headers).toMatchObject({
        "content-type": "application/json",
        "user-agent": "llamaindex-webhook-service/1.0",
        "x-webhook-event-id": event.event_id,
        "x-webhook-event-type": event.event_type,
        "x-job": "7",
      });
    }
    expect(emulator.stats().callbacks).toMatchObject({ delivered: 3, failed: 0, attempts: 3 });
  });

  test("are JSON inside a JSON string unless asked for otherwise, and unsigned without a secret", async () => {
    const emulator = await start();
    const fields = events({
      webhook_output_format: undefined,
      webhook_signing_secret: undefined,
      webhook_events: ["parse.success"],
    });
    await parse(emulator, { fields });
    const [callback, ...others] = receiver.received;
    expect(others).toEqual([]);
    expect(callback?.headers["lc-signature"]).toBeUndefined();
    const inner = z.string().parse(JSON.parse(callback?.body ?? ""));
    expect(eventSchema.parse(JSON.parse(inner)).event_type).toBe("parse.success");
  });

  test.for([
    ["emulate:PDF_IS_BROKEN", "parse.error"],
    ["emulate:cancelled", "parse.cancelled"],
    ["emulate:failed_pages=1\fsecond", "parse.partial_success"],
  ] as const)("%s ends in %s", async ([content, last]) => {
    const emulator = await start();
    await parse(emulator, { content, fields: events() });
    expect(receiver.received.map((callback) => readEvent(callback).event_type).at(-1)).toBe(last);
  });

  test("are tried three times, and the same each time", async () => {
    const emulator = await start({ backoffMs: [1, 2] });
    const fields = events({ webhook_events: ["parse.success"] });
    receiver.statuses.push(500, 302);
    await parse(emulator, { fields });
    expect(new Set(receiver.received.map((callback) => JSON.stringify(callback))).size).toBe(1);
    expect(emulator.stats().callbacks).toMatchObject({ delivered: 1, failed: 0, attempts: 3 });

    receiver.statuses.push(503, 404, 400);
    await parse(emulator, { content: "another", fields });
    expect(receiver.received).toHaveLength(6);
    expect(emulator.stats().callbacks).toMatchObject({ delivered: 1, failed: 1, attempts: 6 });
  });

  test("to nobody are given up, and the job ends all the same", async () => {
    const emulator = await start({ backoffMs: [1, 1] });
    const fields = events({ webhook_url: receiver.url, webhook_events: ["parse.success"] });
    await receiver.close();
    expect(await parse(emulator, { fields })).toMatchObject({ status: "SUCCESS" });
    expect(emulator.stats().callbacks).toMatchObject({ delivered: 0, failed: 1, attempts: 3 });
  });
});

describe("a pushed result", () => {
  test("holds the document and no job's id, so that the URL must say whose it is", async () => {
    const emulator = await start();
    const webhook_url = `${receiver.url}/hook/7?token=t`;
    const { id } = await parse(emulator, { content: "# One\n\nfirst\f# Two", fields: { webhook_url } });
    const [callback, ...others] = receiver.received;
    expect(others).toEqual([]);
    expect(callback).toMatchObject({ path: "/hook/7?token=t" });
    expect(callback?.body).not.toContain(id);
    expect(JSON.parse(callback?.body ?? "")).toEqual({
      txt: "One\n\nfirst\n\n---\n\nTwo",
      md: "# One\n\nfirst\n\n---\n\n# Two",
      json: [
        { page: 1, text: "One\n\nfirst", md: "# One\n\nfirst", images: [] },
        { page: 2, text: "Two", md: "# Two", images: [] },
      ],
      images: [],
    });
  });

  test("does not come for a job that failed", async () => {
    const emulator = await start();
    await parse(emulator, { content: "emulate:PDF_IS_BROKEN", fields: { webhook_url: receiver.url } });
    expect(receiver.received).toEqual([]);
  });

  test("goes to a host that was allowed at the start", async () => {
    const emulator = await start({ webhookHosts: ["api"], backoffMs: [1, 1], parseMs: [600_000, 600_000] });
    expect((await upload(emulator, { fields: { webhook_url: "http://api:8000/hook" } })).status).toBe(200);
    expect((await upload(emulator, { fields: { webhook_url: "http://worker:8000/hook" } })).status).toBe(422);
  });
});

const onlySuccess = (): Record<string, string> => events({ webhook_events: ["parse.success"] });

describe("faulty callbacks", () => {
  test("a lost one never comes, while the job has its result", async () => {
    const emulator = await start({ callbackRates: { lost: 1 } });
    expect(await parse(emulator, { fields: onlySuccess() })).toMatchObject({ status: "SUCCESS" });
    expect(receiver.received).toEqual([]);
    expect(emulator.stats().callbacks).toMatchObject({ lost: 1, attempts: 0 });
  });

  test("a duplicate is the same letter again", async () => {
    const emulator = await start({ callbackRates: { duplicate: 1 } });
    await parse(emulator, { fields: onlySuccess() });
    const [first, second, ...others] = receiver.received;
    expect(others).toEqual([]);
    expect(second).toEqual(first);
    expect(emulator.stats().callbacks).toMatchObject({ duplicate: 1, delivered: 2 });
  });

  test("a late one comes after the job has been seen at its end", async () => {
    const emulator = await start({ callbackRates: { late: 1 }, lateMs: [600_000, 600_000] });
    await upload(emulator, { fields: onlySuccess() });
    await expect.poll(() => emulator.stats().jobs[0]?.status, PATIENTLY).toBe("SUCCESS");
    expect(receiver.received).toEqual([]);
    emulator.sendLateCallbacks();
    await emulator.settled();
    expect(receiver.received).toHaveLength(1);
    expect(emulator.stats().callbacks).toMatchObject({ late: 1, delivered: 1 });
  });

  test("a forged one claims success for a job under way, without our secret or our headers", async () => {
    const emulator = await start({ callbackRates: { forged: 1 }, parseMs: [600_000, 600_000] });
    const fields = events({ webhook_events: ["parse.success"], webhook_headers: { "X-Job": "7" } });
    for (const content of ["one", "two", "three", "four", "five"]) await upload(emulator, { content, fields });
    await expect.poll(() => receiver.received.length, PATIENTLY).toBe(5);
    expect(emulator.stats().jobs.map(({ status }) => status)).not.toContain("SUCCESS");
    for (const callback of receiver.received) {
      expect(readEvent(callback).event_type).toBe("parse.success");
      expect(isSignedWith(SECRET, callback)).toBe(false);
      expect(callback.headers["x-job"]).toBeUndefined();
    }
    // Both kinds: with a signature by another secret, and without any.
    const signatures = receiver.received.map(({ headers }) => typeof headers["lc-signature"]);
    expect(new Set(signatures)).toEqual(new Set(["string", "undefined"]));
    expect(emulator.stats().callbacks).toMatchObject({ forged: 5, delivered: 0 });

    await upload(emulator, { content: "six", fields: { webhook_url: `${receiver.url}/hook?token=ours` } });
    await expect.poll(() => receiver.received.at(-1)?.path, PATIENTLY).toBe("/hook?token=forged");
  });

  test("are the same with the same seed", async () => {
    const callbackRates = { lost: 0.3, duplicate: 0.3, forged: 0.5 };
    const run = async (seed: number): Promise<unknown> => {
      const emulator = await start({ seed, callbackRates });
      for (const content of ["a", "b", "c", "d", "e", "f", "g", "h"]) {
        await parse(emulator, { content, fields: events() });
      }
      const came = receiver.received.splice(0).map((callback) => {
        const event = readEvent(callback);
        return [emulator.stats().jobs.findIndex(({ id }) => id === event.data.id), event.event_type];
      });
      return [came.map((line) => line.join(" ")).toSorted(), emulator.stats().callbacks];
    };
    const first = await run(11);
    expect(await run(11)).toEqual(first);
    expect(await run(12)).not.toEqual(first);
  });

  test("rates that cannot be are refused at the start", async () => {
    const impossible = startLlamaParse({ callbackRates: { lost: 0.6, late: 0.6 } });
    await expect(impossible).rejects.toMatchObject({ code: "invalid_mock_options" });
  });
});

test("closing ends jobs, callbacks and requests that wait", async () => {
  const emulator = await startLlamaParse({
    parseMs: [600_000, 600_000],
    callbackRates: { late: 1 },
    lateMs: [600_000, 600_000],
  });
  await upload(emulator, { fields: events() });
  await emulator.close();
  expect(receiver.received).toEqual([]);
});
