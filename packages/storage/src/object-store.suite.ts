import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { decodeJwt, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AppError } from "@pipeline/runtime";
import type { ListableStore, ListedObject, SignedUpload } from "./object-store.ts";

export type UploadBody = Uint8Array<ArrayBuffer> | AsyncIterable<Uint8Array>;

/** A running store, and the frontend's side of it. */
export interface ObjectStoreHarness {
  store: ListableStore;
  /**
   * Sends the PUT over HTTP with the upload's headers and these over them. `status` is what the answer means: Supabase
   * says 400 and puts the real status into the body. Rejects when the connection breaks.
   */
  put(upload: SignedUpload, body: UploadBody, headers: Record<string, string>): Promise<{ status: number }>;
  close(): Promise<void>;
}

export interface ObjectStoreContract {
  open: () => Promise<ObjectStoreHarness>;
  /**
   * True: a PUT with another length than the link promised is refused. False: it is stored, and `stat` tells the
   * length that really came, so that whoever reads can compare.
   */
  refusesOtherLengths: boolean;
  /**
   * False: of several PUTs side by side with one link one is stored and the others are refused. True: all of them are
   * answered as stored, and the last one stays; so whoever reads compares the hash, too.
   */
  acceptsParallelUploads: boolean;
  /** False: the declared type is compared letter by letter, so that `;charset=UTF-8` makes it another one. */
  acceptsTypeParameters: boolean;
  /** False: whatever serves the links over HTTP answers for them. */
  answersPreflight: boolean;
  /** The same link as it is when its time is over; left out where nobody but the server can sign one. */
  expire?: (upload: SignedUpload) => Promise<SignedUpload>;
}

const LARGE_BYTES = 25 * 1024 * 1024;
const DAY_MS = 24 * 60 * 60 * 1000;
/** More than a connection holds: who has taken that much has decided to take the upload. */
const UNBUFFERED_BYTES = 16 * 1024 * 1024;
const MIME = "application/pdf";

/** What every object store must do; each implementation's test runs it against a real server. */
export function describeObjectStore(name: string, contract: ObjectStoreContract): void {
  describe(`${name} as an object store`, () => {
    let harness: ObjectStoreHarness;
    beforeAll(async () => {
      harness = await contract.open();
    });
    afterAll(() => harness.close());

    const sign = (bytes_len: number, key = newKey(), mime = MIME) =>
      harness.store.signUpload({ key, mime, bytes_len, expiresInSeconds: 600 });
    const store = async (body: Uint8Array<ArrayBuffer>) => {
      const upload = await sign(body.byteLength);
      expect(await harness.put(upload, body, {})).toMatchObject({ status: 200 });
      return upload.path;
    };

    it("keeps a file from its signed link to its removal", async () => {
      const body = randomBytes(5000);
      const key = newKey();
      const upload = await sign(body.byteLength, key);
      expect(upload).toMatchObject({ method: "PUT", path: key });
      expect(upload.url).toContain(`/storage/v1/object/upload/sign/${upload.bucket}/${key}?token=${upload.token}`);
      expect(await harness.put(upload, body, {})).toMatchObject({ status: 200 });
      expect(await harness.store.stat(key)).toEqual({ bytes_len: 5000 });
      expect(await buffer(await harness.store.download(key, {}))).toEqual(body);
      await harness.store.remove([key]);
      expect(await harness.store.stat(key)).toBeUndefined();
    });

    it("streams a file of 25 MiB in and out unchanged", async () => {
      const key = newKey();
      const upload = await sign(LARGE_BYTES, key);
      const sent = createHash("sha256");
      expect(await harness.put(upload, largeBody(sent), {})).toMatchObject({ status: 200 });
      expect(await harness.store.stat(key)).toEqual({ bytes_len: LARGE_BYTES });
      expect(await sha256(await harness.store.download(key, {}))).toBe(sent.digest("hex"));
      await harness.store.remove([key]);
    });

    it("answers that an object that was never stored is not there", async () => {
      const key = newKey();
      await sign(10, key);
      expect(await harness.store.stat(key)).toBeUndefined();
      await expect(harness.store.download(key, {})).rejects.toMatchObject({
        kind: "permanent",
        code: "object_not_found",
      });
    });

    it("answers that a path written by hand is not there, and removes it without complaint", async () => {
      for (const path of ["test/path/document.pdf", "../../etc/passwd", "/etc/passwd", ""]) {
        expect(await harness.store.stat(path)).toBeUndefined();
        await expect(harness.store.download(path, {})).rejects.toMatchObject({ code: "object_not_found" });
        await harness.store.remove([path]);
      }
    });

    it("signs no link for a key that is not made of UUIDs", async () => {
      for (const key of ["test/path/document.pdf", `../${randomUUID()}`, `${randomUUID()}/`, ""]) {
        await expect(sign(10, key)).rejects.toMatchObject({ kind: "invalid", code: "invalid_object_key" });
      }
    });

    it("removes what is there, skips what is not, and may do so again", async () => {
      const first = await store(randomBytes(10));
      const second = await store(randomBytes(10));
      const keys = [first, newKey(), second];
      await harness.store.remove(keys);
      await harness.store.remove(keys);
      await harness.store.remove([]);
      expect(await harness.store.stat(first)).toBeUndefined();
      expect(await harness.store.stat(second)).toBeUndefined();
    });

    it("keeps the other objects when one is removed", async () => {
      const document = randomUUID();
      const [removed, kept] = [`${document}/${randomUUID()}`, `${document}/${randomUUID()}`];
      for (const key of [removed, kept]) await harness.put(await sign(3, key), Buffer.from("abc"), {});
      await harness.store.remove([removed]);
      expect(await harness.store.stat(kept)).toEqual({ bytes_len: 3 });
    });

    it.skipIf(contract.expire === undefined)("refuses a link whose time is over", async () => {
      const upload = await sign(4);
      const expired = await contract.expire?.(upload);
      const answer = await harness.put(expired ?? upload, Buffer.from("late"), {});
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(await harness.store.stat(upload.path)).toBeUndefined();
    });

    it("refuses a link whose token was changed", async () => {
      const upload = await sign(4);
      const [header = "", payload = "", signature = ""] = upload.token.split(".");
      const token = [header, payload, signature.toLowerCase()].join(".");
      const changed = { ...upload, url: upload.url.replace(upload.token, token), token };
      const answer = await harness.put(changed, Buffer.from("evil"), {});
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(await harness.store.stat(upload.path)).toBeUndefined();
    });

    it("refuses a link that was signed for another path", async () => {
      const upload = await sign(4);
      const elsewhere = newKey();
      const url = upload.url.replace(upload.path, elsewhere);
      const answer = await harness.put({ ...upload, url, path: elsewhere }, Buffer.from("evil"), {});
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(await harness.store.stat(elsewhere)).toBeUndefined();
    });

    it("refuses a second file for the same link and keeps the first", async () => {
      const upload = await sign(5);
      expect(await harness.put(upload, Buffer.from("first"), {})).toMatchObject({ status: 200 });
      expect(await harness.put(upload, Buffer.from("other"), {})).toMatchObject({ status: 409 });
      expect(await buffer(await harness.store.download(upload.path, {}))).toEqual(Buffer.from("first"));
    });

    it("does not let a fresh link replace a stored file", async () => {
      const key = await store(Buffer.from("first"));
      const replace = async () => {
        const { status } = await harness.put(await sign(5, key), Buffer.from("other"), {});
        return status === 409 ? "upload_already_received" : status;
      };
      const outcome = await replace().catch((error: unknown) => (error instanceof AppError ? error.code : error));
      expect(outcome).toBe("upload_already_received");
      expect(await buffer(await harness.store.download(key, {}))).toEqual(Buffer.from("first"));
    });

    it("keeps one whole file of several that arrive with one link side by side", async () => {
      const upload = await sign(UNBUFFERED_BYTES);
      const fills = ["a", "b", "c"];
      const meet = meetingOf(fills.length);
      const answers = await Promise.all(fills.map((fill) => harness.put(upload, metBody(fill, meet), {})));
      const statuses = answers.map((answer) => answer.status).toSorted((left, right) => left - right);
      expect(statuses).toEqual(contract.acceptsParallelUploads ? [200, 200, 200] : [200, 409, 409]);
      const stored = await buffer(await harness.store.download(upload.path, {}));
      expect(fills.map((fill) => stored.equals(Buffer.alloc(UNBUFFERED_BYTES, fill)))).toContain(true);
    });

    it("takes the promised file by the link that has refused another type", async () => {
      const upload = await sign(5);
      const refused = await harness.put(upload, Buffer.from("PK..."), { "content-type": "application/zip" });
      expect(refused.status).toBeGreaterThanOrEqual(400);
      expect(await harness.store.stat(upload.path)).toBeUndefined();
      expect(await harness.put(upload, Buffer.from("%PDF-"), {})).toMatchObject({ status: 200 });
    });

    it("takes a type with parameters only where it compares without them", async () => {
      const { status } = await harness.put(await sign(3), Buffer.from("abc"), {
        "content-type": `${MIME};charset=UTF-8`,
      });
      expect(status).toBe(contract.acceptsTypeParameters ? 200 : 415);
    });

    it("signs a link whose own headers are taken, even if the promised type has parameters", async () => {
      const upload = await sign(3, newKey(), "Text/Plain; charset=utf-8");
      expect(await harness.put(upload, Buffer.from("abc"), {})).toMatchObject({ status: 200 });
    });

    it.skipIf(!contract.answersPreflight)("lets the pages of any origin upload", async () => {
      const upload = await sign(3);
      const answer = await fetch(upload.url, {
        method: "OPTIONS",
        headers: {
          origin: "https://app.example.com",
          "access-control-request-method": upload.method,
          "access-control-request-headers": Object.keys(upload.headers).join(),
        },
      });
      expect(answer.ok).toBe(true);
      expect(["*", "https://app.example.com"]).toContain(answer.headers.get("access-control-allow-origin"));
      expect(answer.headers.get("access-control-allow-methods")).toContain(upload.method);
      expect(answer.headers.get("access-control-allow-headers")?.toLowerCase()).toContain("content-type");
    });

    it.each([0, 99, 101])("does not let a file of %d bytes pass for the 100 that were promised", async (bytes_len) => {
      const upload = await sign(100);
      const { status } = await harness.put(upload, randomBytes(bytes_len), {});
      const seen = { isAccepted: status === 200, stat: await harness.store.stat(upload.path) };
      const refused = { isAccepted: false, stat: undefined };
      const toldApart = { isAccepted: true, stat: { bytes_len } };
      expect(seen).toEqual(contract.refusesOtherLengths ? refused : toldApart);
    });

    it("stores nothing of an upload that breaks off, and lets the same link be used again", async () => {
      const body = randomBytes(200_000);
      const upload = await sign(body.byteLength);
      const broken = harness.put(upload, breaksOffAfter(body.subarray(0, 100_000)), {});
      await expect(broken).rejects.toBeInstanceOf(Error);
      expect(await harness.store.stat(upload.path)).toBeUndefined();
      expect(await harness.put(upload, body, {})).toMatchObject({ status: 200 });
      expect(await buffer(await harness.store.download(upload.path, {}))).toEqual(body);
    });

    it("ends a download when its reader gives up", async () => {
      const key = await store(randomBytes(1_000_000));
      const reader = new AbortController();
      const body = await harness.store.download(key, { signal: reader.signal });
      const read = async () => {
        for await (const _ of body) reader.abort();
      };
      await expect(read()).rejects.toMatchObject({ name: "AbortError" });
      await expect(harness.store.download(key, { signal: reader.signal })).rejects.toMatchObject({
        name: "AbortError",
      });
    });

    it("ends a download with the AbortError whatever its reader's reason was", async () => {
      const reader = new AbortController();
      const body = await harness.store.download(await store(randomBytes(1_000_000)), { signal: reader.signal });
      const read = async () => {
        for await (const _ of body) reader.abort(new Error("the deadline is over"));
      };
      await expect(read()).rejects.toMatchObject({ name: "AbortError" });
    });

    it("lists what is stored, whatever the depth of its key, and nothing that was removed", async () => {
      const outer = randomUUID();
      const keys = [outer, `${outer}/${randomUUID()}`, `${outer}/${randomUUID()}/${randomUUID()}`, newKey()];
      for (const [position, key] of keys.entries()) {
        await harness.put(await sign(position + 1, key), randomBytes(position + 1), {});
      }
      const listed = await collectObjects(harness.store.list());
      expect(listed).toHaveLength(new Set(listed.map(({ key }) => key)).size);
      const lengths = keys.map((key) => listed.find((object) => object.key === key)?.bytes_len);
      expect(lengths).toEqual([1, 2, 3, 4]);
      // Clocks of two machines differ; a day would be another unit or another zone.
      for (const { stored_at } of listed) expect(Math.abs(Date.now() - stored_at.getTime())).toBeLessThan(DAY_MS);
      await harness.store.remove(keys);
      const remaining = (await collectObjects(harness.store.list())).map(({ key }) => key);
      expect(remaining.filter((key) => keys.includes(key))).toEqual([]);
    });

    it("passes its own check", async () => {
      await expect(harness.store.check()).resolves.toBeUndefined();
    });
  });
}

/** The PUT as a browser sends it; every harness can start from it. */
export function putWithFetch(
  upload: SignedUpload,
  body: UploadBody,
  headers: Record<string, string>,
): Promise<Response> {
  return fetch(upload.url, {
    method: upload.method,
    headers: { ...upload.headers, ...headers },
    body,
    duplex: "half",
  });
}

/** The link as it is when its time is over, signed by whoever knows the secret. */
export async function expireWith(secret: string, upload: SignedUpload): Promise<SignedUpload> {
  const token = await new SignJWT(decodeJwt(upload.token))
    .setProtectedHeader({ alg: "HS256" })
    .setExpirationTime("1 second ago")
    .sign(new TextEncoder().encode(secret));
  return { ...upload, url: upload.url.replace(upload.token, token), token };
}

function newKey(): string {
  return `${randomUUID()}/${randomUUID()}`;
}

async function* largeBody(hash: ReturnType<typeof createHash>): AsyncGenerator<Uint8Array> {
  const blockBytes = 64 * 1024;
  for (let sent = 0; sent < LARGE_BYTES; sent += blockBytes) {
    const block = Buffer.alloc(blockBytes, `block at ${sent} `);
    hash.update(block);
    yield block;
  }
}

export async function collectObjects(objects: AsyncIterable<ListedObject>): Promise<ListedObject[]> {
  const collected: ListedObject[] = [];
  for await (const object of objects) collected.push(object);
  return collected;
}

/** Resolves for all at once, when as many as were announced have come. */
function meetingOf(size: number): () => Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let missing = size;
  return () => {
    missing -= 1;
    if (missing === 0) resolve();
    return promise;
  };
}

/** Keeps its end back until every other body at the meeting is being taken, too. */
async function* metBody(fill: string, meet: () => Promise<void>): AsyncGenerator<Uint8Array> {
  const block = Buffer.alloc(64 * 1024, fill);
  for (let sent = block.byteLength; sent < UNBUFFERED_BYTES; sent += block.byteLength) yield block;
  await meet();
  yield block;
}

async function sha256(body: Readable): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of body) hash.update(chunk);
  return hash.digest("hex");
}

async function* breaksOffAfter(start: Uint8Array): AsyncGenerator<Uint8Array> {
  yield start;
  throw new Error("the frontend went away");
}
