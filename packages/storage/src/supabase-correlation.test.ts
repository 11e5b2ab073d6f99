import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { correlated } from "@pipeline/runtime";
import { expect, test } from "vitest";
import { createSupabaseStore } from "./supabase-store.ts";

test("calls to Supabase carry the correlation id of the request or job that they are for", async () => {
  const seen: unknown[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers["x-correlation-id"]);
    response.writeHead(500).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const port = portOf(server.address());
  const store = createSupabaseStore({ url: `http://127.0.0.1:${port}`, serviceRoleKey: "sb_secret_of-the-tests" });
  const fails = { code: "storage_unavailable" };
  const key = "3f0f3c0e-7a52-4c86-8d1c-0a7a5a0b6c11";
  await expect(correlated("one", () => store.stat(key))).rejects.toMatchObject(fails);
  await expect(correlated("two", () => store.remove([key]))).rejects.toMatchObject(fails);
  await expect(store.stat(key)).rejects.toMatchObject(fails);
  expect(seen).toEqual(["one", "two", undefined]);
  server.close();
});

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === "string") throw new Error("The server does not listen on a port.");
  return address.port;
}
