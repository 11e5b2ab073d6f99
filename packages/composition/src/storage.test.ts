import { randomUUID } from "node:crypto";
import { startSupabase, type SupabaseEmulator } from "@pipeline/mocks/supabase";
import { createLogger, type Environment, parseEnvironment } from "@pipeline/runtime";
import { createClient } from "@supabase/supabase-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { selfTest } from "./self-test.ts";
import { openStorage } from "./storage.ts";

let emulator: SupabaseEmulator;
let lines: string[];
beforeEach(async () => {
  emulator = await startSupabase({ jwtSecret: "the secret of the project's tokens" });
  lines = [];
});
afterEach(() => emulator.close());

const log = createLogger({ level: "info", service: "test", stream: { write: (line) => lines.push(line) } });
const messages = () => lines.map((line) => z.looseObject({ msg: z.string() }).parse(JSON.parse(line)));

function environmentOf(variables: Record<string, string> = {}): Environment {
  const { url: SUPABASE_URL, serviceRoleKey: SUPABASE_SERVICE_ROLE_KEY } = emulator;
  return parseEnvironment({ SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY, ...variables }, "local");
}
const open = (variables: Record<string, string> = {}) =>
  openStorage(environmentOf(variables), { publicUrl: () => "http://x" });
const bucketOf = async (name: string) =>
  (await createClient(emulator.url, emulator.serviceRoleKey).storage.getBucket(name)).data;

test("a project makes storage Supabase's, with a private bucket of our limits at the first check", async () => {
  const storage = await open();
  expect(storage.kind).toBe("supabase");
  expect(emulator.stats().requests).toEqual({});
  await selfTest({ storage }, log);
  expect(await bucketOf("uploads")).toMatchObject({ public: false, file_size_limit: 26_214_400 });
  expect(messages()).toMatchObject([{ msg: "self-test passed", part: "storage" }]);
  expect(emulator.stats().object_count).toBe(0);
});

test("each schema has a bucket of its own", async () => {
  await (await open({ DATABASE_SCHEMA: "upload_pipeline_staging" })).check();
  expect(await bucketOf("uploads-upload_pipeline_staging")).toMatchObject({ public: false });
  expect(await bucketOf("uploads")).toBeNull();
});

test("a start ends at a bucket with other limits, and says which", async () => {
  await createClient(emulator.url, emulator.serviceRoleKey).storage.createBucket("uploads", { public: true });
  await expect(selfTest({ storage: await open() }, log)).rejects.toMatchObject({
    code: "storage_bucket_mismatch",
    message: expect.stringContaining("It differs in public and file_size_limit and allowed_mime_types."),
  });
  expect(messages()).toMatchObject([{ msg: "self-test failed", err: { code: "storage_bucket_mismatch" } }]);
});

test("a start ends at a key that the project refuses, and no line holds the key", async () => {
  const other = await startSupabase({ jwtSecret: "the secret of another project's tokens" });
  const storage = await open({ SUPABASE_SERVICE_ROLE_KEY: other.serviceRoleKey });
  await other.close();
  await expect(selfTest({ storage }, log)).rejects.toMatchObject({ code: "storage_unauthorized" });
  expect(lines.join("")).not.toContain(other.serviceRoleKey);
});

test("a project that is away does not end the start, and gets its bucket when it is back", async () => {
  const storage = await open();
  emulator.failNext("bad_gateway", { route: "GET /storage/v1/bucket/:bucket", times: 1 });
  await selfTest({ storage }, log);
  expect(messages()).toMatchObject([{ msg: "self-test failed", err: { code: "storage_unavailable" } }]);
  expect(await bucketOf("uploads")).toBeNull();
  await storage.check();
  expect(await bucketOf("uploads")).toMatchObject({ public: false });
});

test("the first upload makes sure of the bucket where the start could not", async () => {
  const storage = await open();
  emulator.failNext("bad_gateway", { route: "GET /storage/v1/bucket/:bucket", times: 2 });
  await selfTest({ storage }, log);
  const [document, upload] = [randomUUID(), randomUUID()];
  const input = { key: `${document}/${upload}`, mime: "text/plain", bytes_len: 5, expiresInSeconds: 60 };
  await expect(storage.signUpload(input)).rejects.toMatchObject({ code: "storage_unavailable" });
  expect(await storage.signUpload(input)).toMatchObject({ bucket: "uploads", path: input.key });
  expect(await bucketOf("uploads")).toMatchObject({ public: false });
});

test("without the project's key there is no storage", async () => {
  const environment = parseEnvironment({ SUPABASE_URL: emulator.url, DATABASE_URL: "postgresql://u@h/d" }, "migrate");
  await expect(openStorage(environment, { publicUrl: () => "http://x" })).rejects.toMatchObject({
    code: "invalid_config",
  });
});
