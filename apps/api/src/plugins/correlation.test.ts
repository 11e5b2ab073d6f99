import { randomUUID } from "node:crypto";
import { currentCorrelationId } from "@pipeline/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildApi } from "../app.ts";
import { openTestApi, send, type TestApi, uploadRequest } from "../testing/test-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

test("what a request asks of storage is known to be for it, also behind its body", async () => {
  const seen: (string | undefined)[] = [];
  const storage = {
    ...api.storage,
    stat: (key: string) => {
      seen.push(currentCorrelationId());
      return api.storage.stat(key);
    },
  };
  const app = await buildApi({ ...api.dependencies, storage });
  const call = { method: "POST", path: "/upload", user: randomUUID(), body: uploadRequest() } as const;
  await Promise.all(
    ["first", "second", "third"].map((id) => send(app, { ...call, headers: { "x-correlation-id": id } })),
  );
  await app.close();
  // The one that made the job had no need to look.
  expect(seen).toHaveLength(2);
  expect(["first", "second", "third"]).toEqual(expect.arrayContaining(seen));
  expect(new Set(seen).size).toBe(2);
});
