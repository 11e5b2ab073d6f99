import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { environmentSchema } from "@pipeline/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tokenSettings } from "./token-settings.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "token-settings-"));
});
afterAll(() => rm(directory, { recursive: true }));

const supabaseUrl = "https://project.example.test";
const secret = "a configured secret of the tests";

function settingsOf(variables: Record<string, string>) {
  return tokenSettings(environmentSchema.parse({ DATA_DIR: directory, ...variables }));
}

test("a project's keys and its secret serve as far as they are configured", async () => {
  expect(await settingsOf({ SUPABASE_URL: `${supabaseUrl}/` })).toEqual({ supabaseUrl });
  expect(await settingsOf({ SUPABASE_URL: supabaseUrl, SUPABASE_JWT_SECRET: secret })).toEqual({ supabaseUrl, secret });
  expect(await settingsOf({ SUPABASE_JWT_SECRET: secret })).toEqual({ secret });
  // Beside a real project a development secret would be a second way in: none was made.
  expect(await readdir(directory)).toEqual([]);
});

test("with neither, development makes a secret and keeps it", async () => {
  const made = await settingsOf({});
  expect(made.secret).toMatch(/.{32}/);
  expect(await settingsOf({})).toEqual(made);
});
