import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger, parseEnvironment, type Environment } from "@pipeline/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createEmbedder, listenPort, openDatabase, publicUrl, tokenSecret } from "./adapters.ts";
import { developmentUser } from "./development-user.ts";
import { openStorage } from "./storage.ts";

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "composition-test-"));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

const log = createLogger({ level: "silent", service: "test" });

function environmentOf(variables: Record<string, string> = {}): Environment {
  return parseEnvironment({ DATA_DIR: directory, ...variables }, "local");
}

test("without configuration everything is a local stand-in", async () => {
  const environment = environmentOf();
  const database = await openDatabase(environment, "test", log);
  await database.close();
  expect(database.kind).toBe("embedded");
  expect((await openStorage(environment, { publicUrl: () => "http://x" })).kind).toBe("disk");
  expect(createEmbedder(environment).model).toBe("local-lexical-v1");
});

test("a database is named by its URL or by its parts", async () => {
  const parts = { SUPABASE_DB_HOST: "127.0.0.1", SUPABASE_DB_PORT: "1", SUPABASE_DB_PASSWORD: "p@ss/w:rd#?%" };
  for (const named of [{ DATABASE_URL: "postgresql://u:p@127.0.0.1:1/d" }, parts]) {
    const database = await openDatabase(environmentOf(named), "test", log);
    expect(database.kind).toBe("postgres");
    // Nothing listens on port 1: the address was understood, whatever the password holds.
    await expect(database.run("select 1")).rejects.toMatchObject({ code: "database_unavailable" });
    await database.close();
  }
});

test("an OpenAI key chooses the configured model", () => {
  const environment = environmentOf({
    OPENAI_API_KEY: "sk-live-1234567890",
    RAG_EMBEDDING_MODEL: "text-embedding-3-large",
  });
  expect(createEmbedder(environment).model).toBe("text-embedding-3-large");
});

test("the platform's port and the public URL win", () => {
  expect(publicUrl(environmentOf({ SERVICE_HOST: "0.0.0.0" }))).toBe("http://127.0.0.1:8000");
  const hosted = environmentOf({ PORT: "10000", SERVICE_PUBLIC_URL: "https://api.example.com/" });
  expect([listenPort(hosted), publicUrl(hosted)]).toEqual([10_000, "https://api.example.com"]);
});

test("the development secret and user are made once and kept; a configured secret wins", async () => {
  const environment = environmentOf();
  expect(await tokenSecret(environment)).toBe(await tokenSecret(environment));
  expect(await developmentUser(environment)).toBe(await developmentUser(environment));
  const SUPABASE_JWT_SECRET = "a-configured-secret-of-32-characters";
  expect(await tokenSecret(environmentOf({ SUPABASE_JWT_SECRET }))).toBe(SUPABASE_JWT_SECRET);
});
