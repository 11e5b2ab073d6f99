import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  answerKeys,
  answerText,
  makeSigningKey,
  startJwksLoopback,
  type JwksLoopback,
} from "./jwks-loopback.fixture.ts";
import { createPublicKeys, type FindPublicKey } from "./public-keys.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

const first = await makeSigningKey("ES256", "first");
const second = await makeSigningKey("RS256", "second");
const namesake = await makeSigningKey("ES256", "first");
const nameOfFirst = { alg: "ES256", kid: "first" };
const nameOfSecond = { alg: "RS256", kid: "second" };

let loopback: JwksLoopback;
let clock: { ms: number };
let find: FindPublicKey;

beforeEach(async () => {
  loopback = await startJwksLoopback();
  loopback.answer = answerKeys(first);
  clock = { ms: 0 };
  find = createPublicKeys({ url: loopback.url, now: () => clock.ms });
});
afterEach(() => loopback.close());

const UNAVAILABLE = { kind: "transient", code: "auth_keys_unavailable" };
const UNKNOWN = { kind: "unauthorized", code: "unauthorized" };

describe("public keys", () => {
  it("are fetched when first needed, once for all who wait, and kept for ten minutes", async () => {
    const found = await Promise.all([find(nameOfFirst), find(nameOfFirst), find(nameOfFirst)]);
    expect(found.map((key) => key.type)).toEqual(["public", "public", "public"]);
    clock.ms = 10 * MINUTE - 1;
    await find(nameOfFirst);
    expect(loopback.request_count).toBe(1);
    clock.ms = 10 * MINUTE;
    await find(nameOfFirst);
    expect(loopback.request_count).toBe(2);
  });

  it("are refused after ten minutes once the project has withdrawn them", async () => {
    await find(nameOfFirst);
    loopback.answer = answerKeys(second);
    clock.ms = 10 * MINUTE;
    await expect(find(nameOfFirst)).rejects.toMatchObject(UNKNOWN);
  });

  it("are fetched again for a name that appeared by rotation", async () => {
    await find(nameOfFirst);
    loopback.answer = answerKeys(first, second);
    clock.ms = 30 * SECOND;
    await expect(find(nameOfSecond)).resolves.toMatchObject({ type: "public" });
    await expect(find(nameOfFirst)).resolves.toMatchObject({ type: "public" });
    expect(loopback.request_count).toBe(2);
  });

  it("are fetched once and no more for names that do not exist, however many are tried", async () => {
    await find(nameOfFirst);
    clock.ms = MINUTE;
    for (const kid of ["a", "b", "c"]) await expect(find({ alg: "ES256", kid })).rejects.toMatchObject(UNKNOWN);
    expect(loopback.request_count).toBe(2);
    clock.ms += 30 * SECOND;
    await expect(find({ alg: "ES256", kid: "d" })).rejects.toMatchObject(UNKNOWN);
    expect(loopback.request_count).toBe(3);
  });

  it("are not fetched twice for a name that the first answer lacks", async () => {
    await expect(find(nameOfSecond)).rejects.toMatchObject(UNKNOWN);
    expect(loopback.request_count).toBe(1);
  });

  it("fit their own algorithm only", async () => {
    await expect(find({ alg: "RS256", kid: "first" })).rejects.toMatchObject(UNKNOWN);
  });

  it("may be none, as in a project with a shared secret", async () => {
    loopback.answer = answerKeys();
    await expect(find(nameOfFirst)).rejects.toMatchObject(UNKNOWN);
  });
});

describe("public keys that cannot be fetched", () => {
  it.each([
    ["an error", answerText("down", 500)],
    ["a page that is not there", answerText("{}", 404)],
    ["no JSON", answerText("<html>")],
    ["JSON of another shape", answerText('{"keys":7}')],
    ["half an answer", (response) => response.writeHead(200, { "content-length": "99" }).end("{")],
    ["a closed connection", (response) => response.destroy()],
    ["far too much", answerText(JSON.stringify({ keys: [first.jwk], padding: "x".repeat(300_000) }))],
    ["two keys of one name", answerKeys(first, namesake)],
    ["a key that is none", answerText(JSON.stringify({ keys: [{ ...first.jwk, x: "AAAA" }] }))],
  ] satisfies [string, JwksLoopback["answer"]][])("are nobody's fault but ours: %s", async (_, answer) => {
    loopback.answer = answer;
    await expect(find(nameOfFirst)).rejects.toMatchObject({ ...UNAVAILABLE, retryAfterMs: 5_000 });
  });

  it("are not taken from where a redirect leads", async () => {
    loopback.answer = (response) => {
      loopback.answer = answerKeys(first);
      response.writeHead(302, { location: loopback.url }).end();
    };
    await expect(find(nameOfFirst)).rejects.toMatchObject(UNAVAILABLE);
    expect(loopback.request_count).toBe(1);
  });

  it("are given up on when the endpoint hangs", async () => {
    loopback.answer = () => undefined;
    find = createPublicKeys({ url: loopback.url, timeoutMs: 50 });
    await expect(find(nameOfFirst)).rejects.toMatchObject(UNAVAILABLE);
  });

  it("are given up on when the endpoint hangs within its answer", async () => {
    loopback.answer = (response) => response.writeHead(200).write("{");
    find = createPublicKeys({ url: loopback.url, timeoutMs: 50 });
    await expect(find(nameOfFirst)).rejects.toMatchObject(UNAVAILABLE);
  });

  it("are asked for again only after five seconds, and then serve", async () => {
    loopback.answer = answerText("down", 500);
    await expect(find(nameOfFirst)).rejects.toMatchObject(UNAVAILABLE);
    loopback.answer = answerKeys(first);
    clock.ms = 5 * SECOND - 1;
    await expect(find(nameOfFirst)).rejects.toMatchObject(UNAVAILABLE);
    expect(loopback.request_count).toBe(1);
    clock.ms = 5 * SECOND;
    await expect(find(nameOfFirst)).resolves.toMatchObject({ type: "public" });
  });

  it("leave the known ones in use for an hour, and say nothing about unknown ones", async () => {
    await find(nameOfFirst);
    loopback.answer = answerText("down", 500);
    clock.ms = 60 * MINUTE - 1;
    await expect(find(nameOfFirst)).resolves.toMatchObject({ type: "public" });
    await expect(find(nameOfSecond)).rejects.toMatchObject(UNAVAILABLE);
    clock.ms = 60 * MINUTE;
    await expect(find(nameOfFirst)).rejects.toMatchObject(UNAVAILABLE);
  });

  it("do not delay known ones while the endpoint is known to fail", async () => {
    await find(nameOfFirst);
    loopback.answer = answerText("down", 500);
    clock.ms = 10 * MINUTE;
    for (let token = 0; token < 5; token += 1) await find(nameOfFirst);
    expect(loopback.request_count).toBe(2);
  });
});
