import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { buffer } from "node:stream/consumers";
import { inspect } from "node:util";
import { startSupabase, type SupabaseEmulator } from "@pipeline/mocks/supabase";
import { LIMITS, SUPPORTED_MIME_TYPES } from "@pipeline/runtime";
import { createClient } from "@supabase/supabase-js";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { collectObjects, describeObjectStore, expireWith } from "./object-store.suite.ts";
import { openSupabaseBench, putToSupabase, type SupabaseBench } from "./supabase-emulator.fixture.ts";
import { createSupabaseStore, type SupabaseStoreOptions } from "./supabase-store.ts";

const JWT_SECRET = "a secret for the tests, long enough for HS256";

/** For calls that never end; the others have the time that they have in production. */
const IMPATIENT = { timeoutMs: 1_000 };

describeObjectStore("the Supabase store", {
  refusesOtherLengths: false,
  acceptsParallelUploads: true,
  acceptsTypeParameters: false,
  answersPreflight: true,
  expire: (upload) => expireWith(JWT_SECRET, upload),
  open: async () => {
    const bench = await openSupabaseBench({ emulator: { jwtSecret: JWT_SECRET } });
    return { store: bench.store, put: putToSupabase, close: () => bench.close() };
  },
});

const AS_LETTER = { expiresInSeconds: 60, filename: "letter.pdf", mime: "application/pdf" };

describe("the Supabase store", () => {
  let bench: SupabaseBench;
  beforeEach(async () => {
    bench = await openSupabaseBench();
  });
  afterEach(() => bench.close());

  const store = async (body: Uint8Array<ArrayBuffer>) => {
    const input = { key: newKey(), mime: "application/pdf", bytes_len: body.byteLength, expiresInSeconds: 60 };
    const answer = await putToSupabase(await bench.store.signUpload(input), body, {});
    expect(answer.status).toBe(200);
    return input.key;
  };
  const openWith = (options: Partial<SupabaseStoreOptions>) =>
    createSupabaseStore({ url: bench.emulator.url, serviceRoleKey: bench.emulator.serviceRoleKey, ...options });

  it("removes more keys than the server takes at once", async () => {
    const keys = [...Array.from({ length: 1_500 }, newKey), await store(randomBytes(10))];
    await bench.store.remove(keys);
    expect(bench.emulator.stats().object_count).toBe(0);
    expect(bench.emulator.stats().requests["DELETE /storage/v1/object/:bucket"]).toBe(2);
  });

  it("lists page by page, and passes over what has no key of ours", async () => {
    const files = createClient(bench.emulator.url, bench.emulator.serviceRoleKey).storage.from("uploads");
    const document = randomUUID();
    const keys = Array.from({ length: 1_001 }, () => `${document}/${randomUUID()}`);
    for (const key of [...keys, "by-hand.pdf", `by-hand/${newKey()}`]) {
      await files.upload(key, Buffer.from("x"), { contentType: "application/pdf" });
    }
    const listed = await collectObjects(bench.store.list());
    expect(listed.map(({ key }) => key).toSorted()).toEqual(keys.toSorted());
  });

  it("checks itself without leaving anything behind", async () => {
    await Promise.all([bench.store.check(), bench.store.check(), bench.store.check()]);
    expect(bench.emulator.stats()).toMatchObject({ object_count: 0, bytes: 0 });
  });

  it("signs a download that saves the file under its name", async () => {
    const key = await store(Buffer.from("%PDF-"));
    const link = await bench.store.signDownload(key, { ...AS_LETTER, filename: "Müller & Söhne 50%.pdf" });
    const answer = await fetch(link);
    expect(answer.headers.get("content-disposition")).toContain(
      `filename*=UTF-8''${encodeURIComponent("Müller & Söhne 50%.pdf")}`,
    );
    expect(await answer.text()).toBe("%PDF-");
  });

  it("signs no download of what is not there", async () => {
    for (const key of [newKey(), "test/path/document.pdf"]) {
      await expect(bench.store.signDownload(key, AS_LETTER)).rejects.toMatchObject({ code: "object_not_found" });
    }
  });

  it("signs no second upload of a file that is there", async () => {
    const key = await store(Buffer.from("first"));
    const input = { key, mime: "application/pdf", bytes_len: 5, expiresInSeconds: 60 };
    await expect(bench.store.signUpload(input)).rejects.toMatchObject({
      kind: "conflict",
      code: "upload_already_received",
    });
  });

  describe("when a call meets a fault", () => {
    const SIGN = "POST /storage/v1/object/upload/sign/:bucket/*";
    const INFO = "GET /storage/v1/object/info/:bucket/*";
    const REMOVE = "DELETE /storage/v1/object/:bucket";
    const DOWNLOAD = "GET /storage/v1/object/:bucket/*";

    it.each([
      ["server_error", "InternalError"],
      ["rate_limit", "SlowDown"],
      ["bad_gateway", "502"],
      ["hang", "no answer in time"],
      ["cut_answer", "UND_ERR_SOCKET"],
      ["short_answer", "no usable answer"],
    ] as const)("calls %s transient and names it", async (fault, reason) => {
      const tested = fault === "hang" ? openWith(IMPATIENT) : bench.store;
      const key = await store(randomBytes(1_000));
      const input = { key: newKey(), mime: "application/pdf", bytes_len: 5, expiresInSeconds: 60 };
      const calls: [string, string, () => Promise<unknown>][] = [
        [SIGN, "sign an upload link", () => tested.signUpload(input)],
        [INFO, "look up an object", () => tested.stat(key)],
        [REMOVE, "remove an object", () => tested.remove([key])],
      ];
      for (const [route, doing, call] of calls) {
        bench.emulator.failNext(fault, { route, times: 1 });
        await expect(call()).rejects.toMatchObject({
          kind: "transient",
          code: "storage_unavailable",
          message: `Object storage could not ${doing} (${reason}).`,
        });
      }
      await expect(bench.store.signUpload(input)).resolves.toMatchObject({ path: input.key });
    });

    it.each([
      ["server_error", "open an object (InternalError)"],
      ["rate_limit", "open an object (SlowDown)"],
      ["bad_gateway", "open an object (502)"],
      ["hang", "read an object (no answer in time)"],
      ["cut_answer", "read an object (UND_ERR_SOCKET)"],
      ["short_answer", "read an object (150000 bytes of 300000)"],
    ] as const)("never passes a download that met %s for a shorter file", async (fault, fate) => {
      const tested = fault === "hang" ? openWith(IMPATIENT) : bench.store;
      const body = randomBytes(300_000);
      const key = await store(body);
      bench.emulator.failNext(fault, { route: DOWNLOAD, times: 1 });
      const read = async () => buffer(await tested.download(key, {}));
      await expect(read()).rejects.toMatchObject({
        kind: "transient",
        code: "storage_unavailable",
        message: `Object storage could not ${fate}.`,
      });
      expect(await read()).toEqual(body);
    });

    it("ends a download that stalls", async () => {
      const stalling = await openStallingServer();
      const impatient = openWith({ url: stalling.url, stallMs: 100 });
      await expect(buffer(await impatient.download(newKey(), {}))).rejects.toMatchObject({
        code: "storage_unavailable",
        message: "Object storage could not read an object (it stalled).",
      });
      await stalling.close();
    });

    it("ends a download that is given up before it begins", async () => {
      const key = await store(randomBytes(10));
      bench.emulator.failNext("hang", { route: DOWNLOAD, times: 1 });
      const reader = new AbortController();
      const opening = bench.store.download(key, { signal: reader.signal });
      await vi.waitFor(() => expect(bench.emulator.stats().faults).toEqual({ hang: 1 }));
      reader.abort();
      await expect(opening).rejects.toMatchObject({ name: "AbortError" });
    });

    it.each([
      ["POST /storage/v1/object/:bucket/*", "write a probe"],
      ["GET /storage/v1/object/:bucket/*", "read a probe"],
      ["DELETE /storage/v1/object/:bucket", "delete a probe"],
      ["GET /storage/v1/bucket/:bucket", "look up its bucket"],
    ])("fails its check at %s and says: %s", async (route, step) => {
      bench.emulator.failNext("server_error", { route, times: 1 });
      await expect(bench.store.check()).rejects.toMatchObject({
        kind: "transient",
        code: "storage_unavailable",
        message: `Object storage could not ${step} (InternalError).`,
      });
    });
  });

  it("removes its probe even if it cannot read it", async () => {
    bench.emulator.failNext("server_error", { route: "GET /storage/v1/object/:bucket/*", times: 1 });
    await expect(bench.store.check()).rejects.toMatchObject({ code: "storage_unavailable" });
    expect(bench.emulator.stats().object_count).toBe(0);
  });

  it("does not take a server that is gone for missing objects", async () => {
    const key = await store(randomBytes(10));
    await bench.close();
    const unavailable = { kind: "transient", code: "storage_unavailable" };
    await expect(bench.store.stat(key)).rejects.toMatchObject(unavailable);
    await expect(bench.store.download(key, {})).rejects.toMatchObject(unavailable);
    await expect(bench.store.remove([key])).rejects.toMatchObject(unavailable);
    await expect(bench.store.check()).rejects.toMatchObject({
      ...unavailable,
      message: "Object storage could not look up its bucket (ECONNREFUSED).",
    });
    bench = await openSupabaseBench();
  });

  it.each(["a key of another project", "the anon key"])("does not take %s for missing objects", async (which) => {
    const key = await store(randomBytes(10));
    const other = await startSupabase({ jwtSecret: "the secret of another project, also long enough" });
    await other.close();
    const serviceRoleKey = which === "the anon key" ? bench.emulator.anonKey : other.serviceRoleKey;
    const refused = {
      kind: "transient",
      code: which === "the anon key" ? "storage_bucket_missing" : "storage_unauthorized",
    };
    const refusedStore = openWith({ serviceRoleKey });
    await expect(refusedStore.stat(key)).rejects.toMatchObject(refused);
    await expect(refusedStore.download(key, {})).rejects.toMatchObject(refused);
    await expect(refusedStore.remove([key])).rejects.toMatchObject(refused);
    await expect(collectObjects(refusedStore.list())).rejects.toMatchObject(refused);
    await expect(refusedStore.check()).rejects.toMatchObject(refused);
    await expect(refusedStore.prepare()).rejects.toMatchObject({ kind: "transient", code: "storage_unauthorized" });
    expect(await bench.store.stat(key)).toEqual({ bytes_len: 10 });
  });

  it.each([
    ["an older server that has no codes", { statusCode: "404", error: "not_found", message: "Object not found" }, 400],
    ["a server that has them", { statusCode: "404", error: "not_found", message: "", code: "NoSuchKey" }, 400],
  ])("understands %s when it says that there is no such object", async (_, body, status) => {
    const server = await listen((request, response) => {
      const isObject = request.url?.includes("/object/info/") === true;
      response.writeHead(isObject ? status : 200, { "content-type": "application/json" });
      response.end(JSON.stringify(isObject ? body : { public: false }));
    });
    const { serviceRoleKey } = bench.emulator;
    expect(await createSupabaseStore({ url: server.url, serviceRoleKey }).stat(newKey())).toBeUndefined();
    await server.close();
  });

  it("takes a gateway's word that the key is not valid", async () => {
    const gateway = await listen((_, response) => {
      response.writeHead(401, { "content-type": "application/json" }).end('{"message":"Invalid API key"}');
    });
    const { serviceRoleKey } = bench.emulator;
    await expect(createSupabaseStore({ url: gateway.url, serviceRoleKey }).stat(newKey())).rejects.toMatchObject({
      code: "storage_unauthorized",
      message: "Object storage could not look up an object (401).",
    });
    await gateway.close();
  });

  it("takes neither its key nor a file to where a redirect leads", async () => {
    const { emulator } = bench;
    const redirecting = await listen((request, response) => {
      response.writeHead(307, { location: `${emulator.url}${request.url}` }).end();
    });
    const before = emulator.stats().requests;
    const lured = createSupabaseStore({ url: redirecting.url, serviceRoleKey: emulator.serviceRoleKey });
    await expect(lured.check()).rejects.toMatchObject({ code: "storage_unavailable" });
    expect(emulator.stats().requests).toEqual(before);
    await redirecting.close();
  });

  it("keeps keys, tokens and links out of everything that it throws", async () => {
    const echo = await openEchoServer();
    const { serviceRoleKey } = bench.emulator;
    const echoed = createSupabaseStore({ url: echo.url, serviceRoleKey });
    const key = newKey();
    const calls = [
      echoed.signUpload({ key, mime: "application/pdf", bytes_len: 5, expiresInSeconds: 60 }),
      echoed.stat(key),
      echoed.download(key, {}),
      echoed.signDownload(key, AS_LETTER),
      echoed.remove([key]),
      echoed.check(),
      echoed.prepare(),
    ];
    const outcomes = await Promise.allSettled(calls);
    await echo.close();
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { code: "storage_unauthorized" } });
      const everything = inspect(outcome, { depth: Infinity, showHidden: true });
      expect(everything).toContain("(InvalidJWT)");
      expect(everything).not.toMatch(/eyJ|token=|http:/u);
    }
  });
});

describe("a new Supabase store", () => {
  let emulator: SupabaseEmulator;
  beforeEach(async () => {
    emulator = await startSupabase();
  });
  afterEach(() => emulator.close());
  const open = () => createSupabaseStore({ url: emulator.url, serviceRoleKey: emulator.serviceRoleKey });
  const client = () => createClient(emulator.url, emulator.serviceRoleKey).storage;

  it("creates its bucket, private and with the service's limits, however many prepare it at once", async () => {
    await Promise.all(Array.from({ length: 5 }, () => open().prepare()));
    const { data } = await client().getBucket("uploads");
    expect(data).toMatchObject({
      public: false,
      file_size_limit: LIMITS.maxFileBytes,
      allowed_mime_types: SUPPORTED_MIME_TYPES,
    });
    await open().check();
  });

  it("says that it has no bucket until it is prepared", async () => {
    await expect(open().check()).rejects.toMatchObject({ kind: "transient", code: "storage_bucket_missing" });
    await expect(open().stat(newKey())).rejects.toMatchObject({ code: "storage_bucket_missing" });
  });

  it.each([
    ["public", { public: true, fileSizeLimit: LIMITS.maxFileBytes, allowedMimeTypes: [...SUPPORTED_MIME_TYPES] }],
    ["file_size_limit", { public: false, fileSizeLimit: 1, allowedMimeTypes: [...SUPPORTED_MIME_TYPES] }],
    ["allowed_mime_types", { public: false, fileSizeLimit: LIMITS.maxFileBytes, allowedMimeTypes: ["image/*"] }],
    ["file_size_limit and allowed_mime_types", { public: false }],
  ])("refuses a bucket that differs in %s", async (differing, settings) => {
    await client().createBucket("uploads", settings);
    const refusal = { kind: "internal", code: "storage_bucket_mismatch" };
    await expect(open().prepare()).rejects.toMatchObject(refusal);
    await expect(open().check()).rejects.toMatchObject({
      ...refusal,
      message: expect.stringContaining(`It differs in ${differing}.`),
    });
  });

  it.each([
    ["https://project.supabase.co", "a key\nwith a line break"],
    ["https://project.supabase.co", ""],
    ["not a url", "key"],
  ])("refuses settings that could never work", (url, serviceRoleKey) => {
    expect(() => createSupabaseStore({ url, serviceRoleKey })).toThrow(
      expect.objectContaining({ kind: "invalid", code: "storage_configuration_invalid" }),
    );
  });
});

/** Answers that an object is there, begins to send it, and then says no more. */
function openStallingServer(): Promise<LoopbackServer> {
  return listen((request, response) => {
    if (request.url?.includes("/object/info/") === true) {
      response.setHeader("content-type", "application/json").end(JSON.stringify({ size: 1_000 }));
    } else {
      response.setHeader("content-length", "1000").write("the first bytes");
    }
  });
}

/** Refuses everything, and says back all that it was told. */
function openEchoServer(): Promise<LoopbackServer> {
  return listen((request, response) => {
    const message = `http://loopback${request.url}?token=${request.headers.authorization}`;
    const refusal = { statusCode: "400", error: message, message, code: "InvalidJWT" };
    response.writeHead(400, { "content-type": "application/json" }).end(JSON.stringify(refusal));
  });
}

interface LoopbackServer {
  url: string;
  close: () => Promise<void>;
}

async function listen(handle: RequestListener): Promise<LoopbackServer> {
  const server = createServer(handle);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = z.object({ port: z.int() }).parse(server.address());
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function newKey(): string {
  return `${randomUUID()}/${randomUUID()}`;
}
