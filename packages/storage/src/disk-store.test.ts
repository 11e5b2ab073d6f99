import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createDiskStore } from "./disk-store.ts";
import { collectObjects, describeObjectStore, expireWith, putWithFetch } from "./object-store.suite.ts";
import { openUploadServer, TEST_SECRET, type UploadServer } from "./upload-server.fixture.ts";

const HOUR_MS = 60 * 60 * 1000;

describeObjectStore("the disk store", {
  refusesOtherLengths: true,
  acceptsParallelUploads: false,
  acceptsTypeParameters: true,
  answersPreflight: false,
  expire: (upload) => expireWith(TEST_SECRET, upload),
  open: async () => {
    const server = await openUploadServer();
    return { store: server.store, put: putWithFetch, close: () => server.close() };
  },
});

describe("the disk store", () => {
  let server: UploadServer;
  beforeEach(async () => {
    server = await openUploadServer();
  });
  afterEach(() => server.close());

  const store = async (key: string, text = "abc") => {
    const input = { key, mime: "text/plain", bytes_len: text.length, expiresInSeconds: 60 };
    const answer = await putWithFetch(await server.store.signUpload(input), Buffer.from(text), {});
    expect(answer.status).toBe(200);
  };
  const lose = (part: string) => rename(join(server.directory, part), join(server.directory, "elsewhere"));

  it("spreads objects over directories that only their owner can open", async () => {
    const document = "3f0c1a52-9d51-5c0e-8d0f-0a1b2c3d4e5f";
    const job = randomUUID();
    await store(`${document}/${job}`);
    const [file = ""] = await server.listFiles();
    expect(relative(server.directory, file).split(sep)).toEqual(["objects", "5f", document, `${job}.object`]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    for (const part of ["incoming", "objects", "objects/5f", `objects/5f/${document}`]) {
      expect((await stat(join(server.directory, part))).mode & 0o777).toBe(0o700);
    }
  });

  it("keeps an object whose key continues the key of another", async () => {
    const outer = randomUUID();
    const inner = `${outer}/${randomUUID()}`;
    await store(outer, "outer");
    await store(inner, "inner");
    await server.store.remove([outer]);
    expect(await buffer(await server.store.download(inner, {}))).toEqual(Buffer.from("inner"));
  });

  it("leaves no empty directory behind a removed object", async () => {
    const key = `${randomUUID()}/${randomUUID()}`;
    await store(key);
    await server.store.remove([key]);
    await expect(stat(join(server.directory, "objects", key.slice(34, 36)))).rejects.toMatchObject({ code: "ENOENT" });
    await store(key);
    expect(await server.store.stat(key)).toEqual({ bytes_len: 3 });
  });

  it("is seen by every process that opens the same directory", async () => {
    const key = randomUUID();
    await store(key);
    const worker = createDiskStore({ directory: server.directory, publicUrl: () => "", secret: TEST_SECRET });
    expect(await worker.stat(key)).toEqual({ bytes_len: 3 });
    expect(await buffer(await worker.download(key, {}))).toEqual(Buffer.from("abc"));
  });

  it("does not take a lost disk for missing objects", async () => {
    const key = randomUUID();
    await store(key);
    await lose("objects");
    const unavailable = { kind: "transient", code: "storage_unavailable" };
    await expect(server.store.stat(key)).rejects.toMatchObject(unavailable);
    await expect(server.store.download(key, {})).rejects.toMatchObject(unavailable);
    await expect(server.store.remove([key])).rejects.toMatchObject(unavailable);
    await expect(collectObjects(server.store.list())).rejects.toMatchObject(unavailable);
  });

  it("calls a disk that fails in the middle of a file unavailable, not broken code", async () => {
    const key = randomUUID();
    // A directory in the place of a file opens, and then refuses to be read.
    await mkdir(join(server.directory, "objects", key.slice(-2), `${key}.object`), { recursive: true });
    const body = await server.store.download(key, {});
    await expect(buffer(body)).rejects.toMatchObject({ kind: "transient", code: "storage_unavailable" });
  });

  it("names the directory as the fault when it cannot be made", async () => {
    const file = join(server.directory, "file");
    await writeFile(file, "");
    expect(() => createDiskStore({ directory: file, publicUrl: () => "", secret: TEST_SECRET })).toThrow(
      expect.objectContaining({
        code: "storage_unavailable",
        message: "Object storage could not create its directories (ENOTDIR).",
      }),
    );
  });

  it("lists objects and nothing else that lies about", async () => {
    const key = randomUUID();
    await store(key);
    const objects = join(server.directory, "objects");
    for (const path of ["a.probe", `${key.slice(-2)}/note.txt`, `${key.slice(-2)}/notes.object`]) {
      await writeFile(join(objects, path), "");
    }
    expect(await collectObjects(server.store.list())).toEqual([expect.objectContaining({ key, bytes_len: 3 })]);
  });

  it("checks itself without leaving anything behind", async () => {
    await Promise.all([server.store.check(), server.store.check(), server.store.check()]);
    expect(await server.listFiles()).toEqual([]);
  });

  it.each([
    ["incoming", "Object storage could not clear abandoned uploads (ENOENT)."],
    ["objects", "Object storage could not clear abandoned uploads (ENOENT)."],
  ])("fails its check when %s is lost", async (part, message) => {
    await lose(part);
    await expect(server.store.check()).rejects.toMatchObject({
      kind: "transient",
      code: "storage_unavailable",
      message,
    });
  });

  it("clears what a killed process left a day ago, and nothing younger or stored", async () => {
    const key = randomUUID();
    await store(key);
    const [object = ""] = await server.listFiles();
    const old = [join(server.directory, "incoming/a.part"), join(server.directory, "objects/b.probe")];
    const young = join(server.directory, "incoming/c.part");
    const dayAgo = new Date(Date.now() - 25 * HOUR_MS);
    for (const path of [...old, young]) await writeFile(path, "half");
    for (const path of [...old, object]) await utimes(path, dayAgo, dayAgo);
    await server.store.check();
    expect((await server.listFiles()).toSorted()).toEqual([object, young].toSorted());
  });
});

describe("a new disk store", () => {
  it("creates its directory", async () => {
    const parent = await mkdtemp(join(tmpdir(), "disk-store-"));
    const directory = join(parent, "data", "files");
    createDiskStore({ directory, publicUrl: () => "", secret: TEST_SECRET });
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    await rm(parent, { recursive: true });
  });
});
