import { randomUUID } from "node:crypto";
import { beatInstance, type ServiceName } from "@pipeline/db";
import { openTestDatabase, type TestDatabase } from "@pipeline/db/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { requireSameStorage } from "./require-same-storage.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

const PROJECT = "supabase project.supabase.co/uploads";
const VOLUME = "disk /data/objects";

async function beat(service: ServiceName, storage: string, lifeMs: number): Promise<void> {
  await beatInstance(opened.database, {
    instance_id: randomUUID(),
    service,
    hostname: "host",
    pid: 1,
    build: "test",
    environment: "test",
    schema_version: 1,
    storage,
    embed_model: "model",
    budget_usd_per_day: null,
    traffic: null,
    lifeMs,
  });
}

it("lets a storage be compared that all running processes have, or nobody", async () => {
  await expect(requireSameStorage(opened.database, PROJECT)).resolves.toBeUndefined();
  await beat("api", PROJECT, 60_000);
  await beat("worker", VOLUME, -1_000);
  await expect(requireSameStorage(opened.database, PROJECT)).resolves.toBeUndefined();
});

it("refuses another storage than that of a running process, and names both", async () => {
  await beat("worker", PROJECT, 60_000);
  await expect(requireSameStorage(opened.database, VOLUME)).rejects.toMatchObject({
    kind: "conflict",
    code: "reconcile_refused",
    message: expect.stringMatching(
      /on host keeps files at supabase project\.supabase\.co\/uploads.*disk \/data\/objects/,
    ),
  });
});
