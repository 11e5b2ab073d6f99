import { randomUUID } from "node:crypto";
import { RESUMABLE_ROUTE } from "@pipeline/storage";
import { SignJWT, UnsecuredJWT, type JWTPayload } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { buildApi } from "../app.ts";
import { answerKeys, makeSigningKey, startJwksLoopback } from "../auth/jwks-loopback.fixture.ts";
import { createServiceVerifier } from "../auth/service-verifier.ts";
import { createTokenVerifier } from "../auth/token-verifier.ts";
import { issuerOf } from "../auth/verify-signature.ts";
import type { ReceivedAnswer } from "../testing/check-answer.ts";
import { listOperations, type NamedOperation } from "../testing/contract.ts";
import { injectRequest } from "../testing/inject-request.ts";
import { SEEDED_TEXT, seedUser, type SeededUser } from "../testing/seed-user.ts";
import {
  type Answer,
  linkOf,
  openTestApi,
  TOKEN_SECRET,
  tokenOf,
  uploadRequest,
  type TestApi,
} from "../testing/test-api.ts";
import { buildContract } from "./build-contract.ts";
import { OPERATIONS } from "./operations/index.ts";

const operations = listOperations(await buildContract());
const named = (ids: readonly string[]) =>
  operations.flatMap((each) => {
    const id = each.operation.operationId ?? each.name;
    return ids.includes(id) ? [[id, each] as const] : [];
  });

/**
 * Where another user's things could come through. Operations of an id are asked with each id of the owner's and with one that
 * never existed; the others have tests of their own below. `nothing` names nothing and answers nothing of anybody's.
 */
const MATRIX = {
  document: [
    "confirmUpload",
    "getDocument",
    "deleteDocument",
    "getDocumentStatus",
    "getDocumentContent",
    "listDocumentChunks",
    "signDocumentDownload",
    "reprocessDocument",
  ],
  job: ["getJob", "listJobEvents", "streamJob", "retryJob", "cancelJob"],
  list: ["listDocuments", "listJobs"],
  search: ["searchDocuments"],
  hash: ["createUpload", "createUploads"],
  link: [
    "putFile",
    "getFile",
    "beginResumableUpload",
    "getResumableOffset",
    "sendResumablePiece",
    "abandonResumableUpload",
  ],
  callback: ["receiveParserCallback"],
  operator: [
    "getQueue",
    "listWorkers",
    "listAlerts",
    "listAllJobs",
    "getAnyJob",
    "retryAnyJob",
    "cancelAnyJob",
    "listDeadLetters",
    "redriveJobs",
    "pauseClaims",
    "resumeClaims",
    "getSpending",
  ],
  nothing: ["getContract", "getHealth", "getLiveness", "getReadiness", "getMetrics", "getUploadLimits"],
} as const;

it("the matrix holds every operation of the contract", () => {
  const known = new Set<string>(Object.values(MATRIX).flat());
  expect(operations.map(({ name, operation }) => operation.operationId ?? name).filter((id) => !known.has(id))).toEqual(
    [],
  );
});

let api: TestApi;
/** Where it listens, for what is not to be tidied up on the way to it. */
let origin: string;
let owner: SeededUser;
/** Who has documents too, so that nothing is empty for want of any. */
let stranger: SeededUser;
beforeAll(async () => {
  api = await openTestApi();
  stranger = await seedUser(api.database);
  // The last one: seeding claims whatever is queued.
  owner = await seedUser(api.database);
  origin = await api.listen();
});
afterAll(() => api.close());

describe("another user's id", () => {
  it.each([...named(MATRIX.document), ...named(MATRIX.job)])(
    "makes %s answer as if it had never existed",
    async (operationId, operation) => {
      const isJob = MATRIX.job.some((id) => id === operationId);
      const unknown = await ask(operation, randomUUID());
      expect(unknown).toMatchObject({ status: 404 });
      for (const foreign of isJob ? owner.job_ids : owner.document_ids) {
        expect(await ask(operation, foreign)).toEqual(unknown);
      }
    },
  );

  it("changes nothing of the owner's", async () => {
    const rows = await api.database.many(
      z.object({ job_id: z.string(), state: z.string() }),
      `select job_id, state from ${api.database.schema}.upload_jobs where user_id = $1`,
      [owner.user_id],
    );
    const states = new Map(rows.map((row) => [row.job_id, row.state]));
    expect(owner.job_ids.map((id) => states.get(id))).toEqual([
      "done",
      "done",
      "deadletter",
      "cancelled",
      "working",
      "queued",
      "waiting",
    ]);
  });

  it("in a list's filter finds nothing, like one that never existed", async () => {
    const { user_id: user } = stranger;
    const unknown = await api.call({ path: `/jobs?document_id=${randomUUID()}`, user });
    for (const document_id of owner.document_ids) {
      const answer = await api.call({ path: `/jobs?document_id=${document_id}`, user });
      expect(answer.body).toEqual(unknown.body);
    }
    expect(unknown.body).toEqual({ jobs: [], next_cursor: null });
  });
});

describe("another user's cursor", () => {
  it.each(["documents", "jobs"])("goes on in one's own %s", async (list) => {
    const theirs = await api.call({ path: `/${list}?limit=2`, user: owner.user_id });
    const cursor = z.string().parse(theirs.body["next_cursor"]);
    const all = await api.call({ path: `/${list}?limit=100`, user: stranger.user_id });
    const rest = await api.call({ path: `/${list}?limit=100&cursor=${cursor}`, user: stranger.user_id });
    const own = listed(all.body[list]);
    expect(own).toHaveLength(7);
    expect(own).toEqual(expect.arrayContaining(listed(rest.body[list])));
  });
});

describe("search", () => {
  it("for another user's very words finds one's own passages alone", async () => {
    const found = z
      .object({ results: z.array(z.object({ document_id: z.string() })) })
      .parse(await search(stranger.user_id, { query: SEEDED_TEXT, threshold: -1 }));
    expect(found.results.length).toBeGreaterThan(0);
    for (const { document_id } of found.results) expect(stranger.document_ids).toContain(document_id);
  });

  it("in another user's documents finds nothing, as in such that never existed", async () => {
    const body = { query: SEEDED_TEXT, threshold: -1 };
    const unknown = await search(stranger.user_id, { ...body, document_ids: [randomUUID()] });
    expect(unknown).toEqual({ results: [], used_tokens: 0, other_model_documents: false });
    expect(await search(stranger.user_id, { ...body, document_ids: owner.document_ids })).toEqual(unknown);
    expect(await search(randomUUID(), { ...body, metadata: { plan: "gold" } })).toEqual(unknown);
  });
});

describe("another user's file", () => {
  it("is new to whoever promises it too, like one that nobody has", async () => {
    const [unknown, ...known] = [await promise("ab".repeat(32)), ...(await Promise.all(owner.sha256s.map(promise)))];
    for (const answer of known) {
      expect(answer).toMatchObject({ status: 201, body: { duplicate: false, state: "waiting", status: "uploaded" } });
      expect(owner.document_ids).not.toContain(answer.body["document_id"]);
      expect(Object.keys(answer.body)).toEqual(Object.keys(unknown?.body ?? {}));
    }
  });

  it("is new in a batch as well", async () => {
    const files = owner.sha256s.map((sha256) => uploadRequest({ sha256 }));
    const answer = await api.call({ method: "POST", path: "/upload/batch", user: randomUUID(), body: { files } });
    const results = z.object({ results: z.array(z.object({ status: z.number() })) }).parse(answer.body);
    expect(results.results.map(({ status }) => status)).toEqual(files.map(() => 201));
  });
});

describe("signed links", () => {
  it.each(named(MATRIX.link))("to another user's file do not open with one's own token: %s", async (_, operation) => {
    const theirs = await openLink(owner.user_id);
    const own = await openLink(stranger.user_id);
    const openWith = (path: string) => followLink(operation, { ...own, path });
    const unknown = await openWith(`${randomUUID()}/${randomUUID()}`);
    expect(unknown).toMatchObject({ status: 401 });
    expect(await openWith(theirs.path)).toEqual(unknown);
  });

  it.each(["?/", "?upload=/", "?%2F", "?/%2e/", "%3F/", "%3f%2f", "%2F", "%2f", "%5C", "/", "/../", ";/"])(
    "to one's own file do not open another's that is named behind it and %s",
    async (joint) => {
      const theirs = await openLink(owner.user_id);
      const own = await openLink(stranger.user_id);
      for (const link of [theirs, own]) expect(await sendPiece("POST", { ...link, address: "" })).toBe(201);
      const address = `/${resumableId(own)}${joint}${resumableId(theirs)}`;
      for (const method of ["HEAD", "PATCH", "DELETE"]) {
        expect([401, 404, 422]).toContain(await sendPiece(method, { ...own, address }));
      }
      // Nothing of it has come, and it can be sent still.
      expect(await sendPiece("PATCH", { ...theirs, address: `/${resumableId(theirs)}` })).toBe(204);
    },
  );
});

it("a callback that is not signed is refused for a job as for none", async () => {
  const unknown = await callBack(randomUUID());
  expect(unknown).toMatchObject({ status: 403 });
  for (const job_id of owner.job_ids) expect(await callBack(job_id)).toEqual(unknown);
});

describe("tokens", () => {
  const guarded = operations.filter(({ name }) => ["user", "service"].includes(OPERATIONS[name]?.access ?? ""));

  it("guard every operation below the prefix but the callback", () => {
    const open = operations.filter((each) => each.path.startsWith("/api/") && !guarded.includes(each));
    expect(open.map(({ operation }) => operation.operationId)).toEqual(MATRIX.callback);
  });

  it("that are not a user's of this project are refused by every operation", async ({ onTestFinished }) => {
    const project = await startJwksLoopback();
    const key = await makeSigningKey("ES256");
    project.answer = answerKeys(key);
    const options = { secret: TOKEN_SECRET, supabaseUrl: project.supabaseUrl };
    const verifyToken = createTokenVerifier(options);
    const app = await buildApi({ ...api.dependencies, verifyToken, verifyService: createServiceVerifier(options) });
    onTestFinished(async () => {
      await app.close();
      await project.close();
    });
    const now = Math.floor(Date.now() / 1_000);
    const iss = issuerOf(project.supabaseUrl);
    const claims: JWTPayload = { iss, aud: "authenticated", role: "authenticated", sub: randomUUID(), exp: now + 600 };
    const service: JWTPayload = { iss, role: "service_role", exp: now + 600 };
    const stray = await makeSigningKey("ES256", key.kid);
    const [, payload = ""] = (await sign({ ...claims, sub: owner.user_id })).split(".");
    const [header = "", , signature = ""] = (await sign(claims)).split(".");
    const refused = {
      "none at all": "",
      "no token": "abc",
      expired: await sign({ ...claims, exp: now - 600 }),
      "without an end": await sign({ iss, aud: "authenticated", role: "authenticated", sub: randomUUID() }),
      "of alg none": new UnsecuredJWT(claims).encode(),
      "of another secret": await sign(claims, "another secret, as long as the first"),
      "of a stray key of the same name": await stray.sign(claims),
      "signed with the public key as a secret": await sign(claims, key.publicPem),
      "of another audience": await sign({ ...claims, aud: "anon" }),
      "of another issuer": await sign({ ...claims, iss: "https://evil.example.test/auth/v1" }),
      "with another's payload": `${header}.${payload}.${signature}`,
      "the anonymous key": await sign({ iss: "supabase", role: "anon", exp: now + 600 }),
      "of a user without a subject": await sign({ ...claims, sub: "" }),
    };
    const user = await key.sign(claims);
    const operator = await sign(service);
    for (const operation of guarded) {
      const isOperators = OPERATIONS[operation.name]?.access === "service";
      const statusFor = async (bearer: string) => (await knock(operation, bearer)).status;
      for (const [what, bearer] of Object.entries(refused)) {
        expect(await statusFor(bearer), `${operation.name} with a token ${what}`).toBe(401);
      }
      expect(await statusFor(isOperators ? user : operator), operation.name).toBe(isOperators ? 403 : 401);
      expect([401, 403], operation.name).not.toContain(await statusFor(isOperators ? operator : user));
    }

    function knock(operation: NamedOperation, bearer: string): Promise<ReceivedAnswer> {
      const url = operation.path.replaceAll(/\{\w+\}/g, randomUUID());
      return injectRequest(app, {
        method: operation.method,
        url,
        headers: { authorization: `Bearer ${bearer}` },
        payload: undefined,
      });
    }
  });
});

async function search(user: string, body: Record<string, unknown>): Promise<unknown> {
  const answer = await api.call({ method: "POST", path: "/search", user, body });
  expect(answer.status).toBe(200);
  return answer.body;
}

function promise(sha256: string): Promise<Answer> {
  return api.call({ method: "POST", path: "/upload", user: stranger.user_id, body: uploadRequest({ sha256 }) });
}

async function openLink(user: string): Promise<ReturnType<typeof linkOf>> {
  return linkOf(await api.call({ method: "POST", path: "/upload", user, body: uploadRequest() }));
}

type Link = Pick<ReturnType<typeof linkOf>, "path" | "token">;

/** Where such a link leads, with the token in each place where one is looked for. */
async function followLink(operation: NamedOperation, link: Link) {
  const { path: key } = link;
  const path = operation.path.replace("{bucket}", "uploads").replace("{path}", key);
  const takesQuery = path !== operation.path;
  return shapeOf(
    await injectRequest(api.app, {
      method: operation.method,
      url: takesQuery ? `${path}?token=${link.token}` : path.replace("{upload_id}", resumableId(link)),
      headers: resumableHeaders(link),
      payload: undefined,
    }),
  );
}

/** The status of a request for a resumable upload of twelve bytes, of which it brings all if it brings any. */
async function sendPiece(method: string, link: Link & { address: string }): Promise<number> {
  const { "upload-length": length, ...rest } = resumableHeaders(link);
  const headers: Record<string, Record<string, string>> = {
    POST: { "upload-length": length },
    PATCH: { "content-type": "application/offset+octet-stream", "upload-offset": "0" },
  };
  const response = await fetch(`${origin}${RESUMABLE_ROUTE}${link.address}`, {
    method,
    headers: { ...rest, ...headers[method] },
    ...(method === "PATCH" ? { body: "twelve bytes" } : {}),
  });
  await response.arrayBuffer();
  return response.status;
}

function resumableId({ path }: Link): string {
  return path.replace("/", "_");
}

function resumableHeaders({ path, token }: Link) {
  const names = { bucketName: "uploads", objectName: path, contentType: "text/plain" };
  const metadata = Object.entries(names).map(([name, value]) => `${name} ${Buffer.from(value).toString("base64")}`);
  return {
    "x-signature": token,
    "tus-resumable": "1.0.0",
    "upload-length": "12",
    "upload-metadata": metadata.join(","),
  };
}

async function callBack(jobId: string) {
  return shapeOf(
    await injectRequest(api.app, {
      method: "POST",
      url: `/api/upload-pipeline/webhooks/llamaparse/${jobId}`,
      headers: { "content-type": "application/json" },
      payload: "{}",
    }),
  );
}

function sign(claims: JWTPayload, secret = TOKEN_SECRET): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(secret));
}

/** The answer to the stranger, without what differs from request to request. */
async function ask(operation: NamedOperation, id: string) {
  const authorization = `Bearer ${await tokenOf(stranger.user_id)}`;
  const example = operation.operation.requestBody?.content["application/json"]?.example;
  return shapeOf(
    await injectRequest(api.app, {
      method: operation.method,
      url: operation.path.replace(/\{\w+\}/, id),
      headers: { authorization, ...(example === undefined ? {} : { "content-type": "application/json" }) },
      payload: example === undefined ? undefined : JSON.stringify(example),
    }),
  );
}

const problemBody = z.looseObject({ correlation_id: z.string() });

function shapeOf({ status, headers, text }: ReceivedAnswer) {
  const { correlation_id: _, ...body } = text === "" ? {} : problemBody.parse(JSON.parse(text));
  const names = Object.keys(headers).filter((name) => name !== "date");
  return { status, body, names, type: headers["content-type"], length: headers["content-length"] };
}

const listedId = z.union([
  z.looseObject({ job_id: z.string(), document_id: z.string() }).transform(({ document_id }) => document_id),
  z.looseObject({ document_id: z.string() }).transform(({ document_id }) => document_id),
]);

function listed(rows: unknown): string[] {
  return z.array(listedId).parse(rows);
}
