import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SignedUpload } from "./object-store.ts";
import { describeRefusal } from "./receive-resumable.ts";
import { RESUMABLE_ROUTE, RESUMABLE_TOKEN_HEADER } from "./upload-link.ts";
import { openUploadServer, type UploadServer } from "./upload-server.fixture.ts";

const WHOLE = "twelve bytes";
const HALF = "twelve";
const REST = " bytes";

let server: UploadServer;
beforeEach(async () => {
  server = await openUploadServer();
});
afterEach(() => server.close());

interface Call {
  method: string;
  /** Behind RESUMABLE_ROUTE, sent as it stands. */
  address: string;
  /** Whose token goes along. */
  by: SignedUpload;
  headers?: Record<string, string>;
  body?: string;
}

interface Reply {
  status: number | undefined;
  headers: IncomingMessage["headers"];
  body: string;
}

/** Sends what `fetch` would tidy up first. */
async function call({ method, address, by, headers, body }: Call): Promise<Reply> {
  const { hostname, port } = new URL(by.url);
  const sender = request({
    hostname,
    port,
    method,
    path: `${RESUMABLE_ROUTE}${address}`,
    headers: { "tus-resumable": "1.0.0", [RESUMABLE_TOKEN_HEADER]: by.token, ...headers },
  });
  sender.end(body);
  const [response]: IncomingMessage[] = await once(sender, "response");
  if (response === undefined) throw new Error("There was no answer.");
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

const idOf = (upload: SignedUpload): string => upload.path.replace("/", "_");

const head = (by: SignedUpload, address = `/${idOf(by)}`): Promise<Reply> => call({ method: "HEAD", address, by });

function begin(by: SignedUpload, address = ""): Promise<Reply> {
  const names = Object.entries(by.resumable.metadata);
  const metadata = names.map(([name, value]) => `${name} ${Buffer.from(value).toString("base64")}`).join(",");
  return call({ method: "POST", address, by, headers: { "upload-length": "12", "upload-metadata": metadata } });
}

function send(by: SignedUpload, part: { offset: number; body: string; address?: string }): Promise<Reply> {
  const { offset, body, address = `/${idOf(by)}` } = part;
  const type = "application/offset+octet-stream";
  return call({
    method: "PATCH",
    address,
    by,
    headers: { "content-type": type, "upload-offset": String(offset), "content-length": String(body.length) },
    body,
  });
}

/** An upload of which half has come. */
async function beginHalf(): Promise<SignedUpload> {
  const key = `${randomUUID()}/${randomUUID()}`;
  const upload = await server.store.signUpload({ key, mime: "text/plain", bytes_len: 12, expiresInSeconds: 60 });
  expect(await begin(upload)).toMatchObject({
    status: 201,
    headers: { location: expect.stringMatching(new RegExp(`${RESUMABLE_ROUTE}/${idOf(upload)}$`, "u")) },
  });
  expect((await send(upload, { offset: 0, body: HALF })).status).toBe(204);
  return upload;
}

/** Sends the rest. Answers how much had come before, and what is stored in the end. */
async function goOn(upload: SignedUpload): Promise<{ offset: unknown; stored: string }> {
  const { headers } = await head(upload);
  await send(upload, { offset: 6, body: REST });
  return { offset: headers["upload-offset"], stored: await text(await server.store.download(upload.path, {})) };
}

const UNTOUCHED = { offset: "6", stored: WHOLE };

/** Where the token's own upload stands at the place that is looked up, and another's at the end of the URL. */
const ADDRESSES: [string, (own: string, theirs: string) => string][] = [
  ["a query", (own, theirs) => `/${own}?/${theirs}`],
  ["a query that ends in a slash", (own, theirs) => `/${own}?/${theirs}/`],
  ["a parameter of a query", (own, theirs) => `/${own}?upload=/${theirs}`],
  ["a query with an escaped slash", (own, theirs) => `/${own}?%2F${theirs}`],
  ["a fragment", (own, theirs) => `/${own}#/${theirs}`],
  ["an escaped slash", (own, theirs) => `/${own}%2F${theirs}`],
  ["an escaped slash in lower case", (own, theirs) => `/${own}%2f${theirs}`],
  ["an escaped query", (own, theirs) => `/${own}%3F%2F${theirs}`],
  ["an escaped backslash", (own, theirs) => `/${own}%5C${theirs}`],
  ["an escaped parent", (own, theirs) => `/${own}%2F..%2F${theirs}`],
];

describe("a token of one upload", () => {
  it.each(ADDRESSES)("opens no other that is named by %s", async (_, addressOf) => {
    const theirs = await beginHalf();
    const own = await beginHalf();
    const address = addressOf(idOf(own), idOf(theirs));
    await send(own, { offset: 6, body: "??????", address });
    await call({ method: "DELETE", address, by: own });
    await begin(own, address);
    await head(own, address);
    expect(await goOn(theirs)).toEqual(UNTOUCHED);
  });

  it("opens none that stands at the place that is looked up, whatever else is named", async () => {
    const theirs = await beginHalf();
    const own = await beginHalf();
    for (const [, addressOf] of ADDRESSES) {
      const address = addressOf(idOf(theirs), idOf(own));
      const answers = [
        await head(own, address),
        await send(own, { offset: 6, body: "??????", address }),
        await call({ method: "DELETE", address, by: own }),
      ];
      expect(answers.map(({ status }) => status)).toEqual([401, 401, 401]);
    }
    expect(await goOn(theirs)).toEqual(UNTOUCHED);
    expect(await goOn(own)).toEqual(UNTOUCHED);
  });

  it("tells of its own upload alone", async () => {
    const theirs = await beginHalf();
    const own = await beginHalf();
    await send(own, { offset: 6, body: REST.slice(0, 3) });
    const answer = await head(own, `/${idOf(own)}?/${idOf(theirs)}`);
    expect(answer).toMatchObject({ status: 200, headers: { "upload-offset": "9" } });
  });
});

describe("a refusal of the protocol", () => {
  it.each([
    [400, undefined],
    [404, undefined],
    [413, undefined],
    [500, undefined],
    [418, 400],
    [501, 400],
    [502, 500],
    [507, 500],
  ])("of status %i never leaves as one that the contract does not declare", (status_code, status) => {
    expect(describeRefusal({ status_code, body: "as the library has it" })?.status_code).toBe(status);
  });

  it("without a status is left to be a 500", () => {
    expect(describeRefusal(new Error("unexpected"))).toBeUndefined();
  });
});
