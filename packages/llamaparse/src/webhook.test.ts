import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { isSignatureValid, parseWebhook, readSignedWebhook } from "./webhook.ts";

const secret = "signing secret of one job";
const now = new Date("2025-07-31T18:08:00Z");
const event = {
  event_id: "149744dd-0000-4000-8000-000000000001",
  event_type: "parse.success",
  timestamp: 1_753_985_275.1154444,
  data: { id: "row-1", job_id: "job-1" },
};
const pushed = {
  txt: "Jane Doe's words",
  md: "Jane Doe's words",
  json: [{ page: 1, text: "Jane Doe's words", md: "Jane Doe's words", images: [] }],
  images: [],
};

function bytes(value: unknown): Buffer {
  return Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
}

function sign(body: Uint8Array, key = secret): string {
  return `sha256=${createHmac("sha256", key).update(body).digest("hex")}`;
}

describe("a signed delivery", () => {
  it("is an event", () => {
    const body = bytes(event);
    expect(readSignedWebhook({ body, signature: sign(body), secret, now })).toEqual({
      event_id: event.event_id,
      provider_job_id: "job-1",
      status: "completed",
      occurred_at: new Date(1_753_985_275_115),
    });
  });

  it("may be JSON in a string, signed as it was sent", () => {
    const body = bytes(JSON.stringify(JSON.stringify(event)));
    expect(readSignedWebhook({ body, signature: sign(body), secret, now })).toMatchObject({ provider_job_id: "job-1" });
  });

  it.each([
    ["without a signature", undefined],
    ["with an empty one", ""],
    ["signed with another secret", sign(bytes(event), "signing secret of another job")],
    ["with the signature of another body", sign(bytes({ ...event, event_type: "parse.error" }))],
    ["with half a signature", sign(bytes(event)).slice(0, 40)],
    ["with more than a signature", `${sign(bytes(event))}00`],
    ["without the name of the algorithm", sign(bytes(event)).slice("sha256=".length)],
    ["with the name of another algorithm", sign(bytes(event)).replace("sha256", "sha1")],
    ["with no hexadecimal", `sha256=${"z".repeat(64)}`],
  ])("is refused %s", (_, signature) => {
    expect(() => readSignedWebhook({ body: bytes(event), signature, secret, now })).toThrow(
      expect.objectContaining({ kind: "unauthorized", code: "webhook_signature_invalid" }),
    );
  });

  it("is refused where a byte was changed on the way", () => {
    const body = bytes(event);
    const signature = sign(body);
    const changed = Buffer.from(body);
    changed[changed.indexOf("job-1") + 4] = 0x32;
    expect(isSignatureValid({ body, signature, secret })).toBe(true);
    expect(isSignatureValid({ body: changed, signature, secret })).toBe(false);
  });

  it("is refused by a secret that everybody knows", () => {
    expect(isSignatureValid({ body: bytes(event), signature: sign(bytes(event), ""), secret: "" })).toBe(false);
  });

  it("is not parsed before its signature is good", () => {
    expect(() => readSignedWebhook({ body: bytes("no JSON"), signature: sign(bytes("x")), secret, now })).toThrow(
      expect.objectContaining({ code: "webhook_signature_invalid" }),
    );
  });

  it.each([
    ["five minutes late", 300_001],
    ["five minutes early", -300_001],
  ])("is refused %s", (_, offsetMs) => {
    const body = bytes({ ...event, timestamp: (now.getTime() - offsetMs) / 1_000 });
    expect(() => readSignedWebhook({ body, signature: sign(body), secret, now })).toThrow(
      expect.objectContaining({ kind: "unauthorized", code: "webhook_expired" }),
    );
    expect(readSignedWebhook({ body, signature: sign(body), secret, now, windowMs: 300_001 }).event_id).not.toBe("");
  });

  it("is refused where it says no time, signed or not", () => {
    const body = bytes(pushed);
    expect(() => readSignedWebhook({ body, signature: sign(body), secret, now })).toThrow(
      expect.objectContaining({ code: "webhook_expired" }),
    );
  });
});

describe("the shapes of a delivery", () => {
  it.each([
    ["parse.pending", "pending"],
    ["parse.running", "running"],
    ["parse.success", "completed"],
    ["parse.partial_success", "completed"],
    ["parse.error", "failed"],
    ["parse.cancelled", "cancelled"],
  ])("%s means that the job is %s", (event_type, status) => {
    expect(parseWebhook(bytes({ ...event, event_type }))).toMatchObject({ status, provider_job_id: "job-1" });
  });

  it("may name the job by its id alone", () => {
    expect(parseWebhook(bytes({ ...event, data: { id: "job-1" } }))).toMatchObject({ provider_job_id: "job-1" });
  });

  it("may be a pushed result: no job, no time, no text, and one id per content", () => {
    const first = parseWebhook(bytes(pushed));
    expect(first).toEqual({
      event_id: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      provider_job_id: null,
      status: "completed",
      occurred_at: null,
    });
    expect(parseWebhook(bytes(pushed)).event_id).toBe(first.event_id);
    expect(parseWebhook(bytes({ ...pushed, md: "Other words" })).event_id).not.toBe(first.event_id);
  });

  it.each([
    ["nothing", ""],
    ["no JSON", "Jane Doe"],
    ["a string that is no JSON", JSON.stringify("Jane Doe")],
    ["a list", "[]"],
    ["null", "null"],
    ["an event of another service", { ...event, event_type: "extract.success" }],
    ["an event without an id", { ...event, event_id: "" }],
    ["an event whose id is no id", { ...event, event_id: "a b\n" }],
    ["an event without a time", { ...event, timestamp: null }],
    ["an event at no time", { ...event, timestamp: 1e300 }],
    ["a job that is no id", { ...event, data: { job_id: "../job" } }],
    ["a result without pages", { md: "Jane Doe" }],
  ])("are not %s", (_, body) => {
    const parse = () => parseWebhook(bytes(body));
    expect(parse).toThrow(expect.objectContaining({ kind: "invalid", code: "webhook_malformed" }));
    expect(parse).toThrow(/^(?!.*Jane)/);
  });
});
