import { z } from "zod";
import { type Answer, emptyAnswer, jsonAnswer } from "./answer.ts";
import { isService, isServiceOrAnybody, requireService } from "./authorize.ts";
import { type Bucket, getObject, type StoredObject } from "./buckets.ts";
import { type Exchange, header, readJson } from "./exchange.ts";
import { signLink, verifyLink } from "./project-keys.ts";
import { refuse } from "./refusals.ts";

/** What is not there, and what the caller may not see, answer alike; so does a token that is not valid. */
export async function showInfo(exchange: Exchange): Promise<Answer> {
  const { key, object } = await findVisible(exchange);
  return jsonAnswer({
    id: object.id,
    name: key,
    version: object.version,
    bucket_id: exchange.params["bucket"],
    size: object.bytes.byteLength,
    content_type: object.content_type,
    cache_control: object.cache_control,
    etag: object.etag,
    metadata: {},
    last_modified: object.updated_at,
    created_at: object.created_at,
  });
}

export async function download(exchange: Exchange): Promise<Answer> {
  const { object } = await findVisible(exchange);
  return objectAnswer(exchange, object);
}

const signInput = z.object({ expiresIn: z.int().positive() });

export async function signDownload(exchange: Exchange): Promise<Answer> {
  const { bucket = "", key = "" } = exchange.params;
  if (!(await isService(exchange))) throw refuse.noSuchKey();
  const parsed = signInput.safeParse(await readJson(exchange));
  if (!parsed.success) throw refuse.invalidRequest("body must have required property 'expiresIn'");
  getObject(bucketOf(exchange), key);
  const url = `${bucket}/${key}`;
  const link = { url, scope: "download", seconds: parsed.data.expiresIn } as const;
  return jsonAnswer({ signedURL: `/object/sign/${url}?token=${await signLink(exchange.project.keys, link)}` });
}

export async function downloadSigned(exchange: Exchange): Promise<Answer> {
  const { bucket = "", key = "" } = exchange.params;
  const token = exchange.url.searchParams.get("token");
  if (token === null) throw refuse.invalidRequest("querystring must have required property 'token'");
  await verifyLink(exchange.project.keys, { token, url: `${bucket}/${key}`, scope: "download" });
  const answer = objectAnswer(exchange, getObject(bucketOf(exchange), key));
  const filename = exchange.url.searchParams.get("download");
  if (filename !== null) answer.headers["content-disposition"] = attachment(filename);
  return answer;
}

const removeInput = z.object({ prefixes: z.array(z.string()).min(1).max(1_000) });

/** Answers with what was removed; what is not there, or is somebody else's, is passed over. */
export async function removeObjects(exchange: Exchange): Promise<Answer> {
  const isAllowed = await isService(exchange);
  const parsed = removeInput.safeParse(await readJson(exchange));
  if (!parsed.success) throw refuse.invalidRequest("body/prefixes must hold 1 to 1000 items");
  const objects = exchange.project.buckets.get(exchange.params["bucket"] ?? "")?.objects;
  const removed = isAllowed ? parsed.data.prefixes.filter((key) => objects?.delete(key)) : [];
  return jsonAnswer(removed.map((name) => ({ name, bucket_id: exchange.params["bucket"] })));
}

export async function removeObject(exchange: Exchange): Promise<Answer> {
  await requireService(exchange);
  const { key = "" } = exchange.params;
  getObject(bucketOf(exchange), key);
  bucketOf(exchange).objects.delete(key);
  return jsonAnswer({ message: "Successfully deleted" });
}

async function findVisible(exchange: Exchange): Promise<{ key: string; object: StoredObject }> {
  if (!(await isServiceOrAnybody(exchange))) throw refuse.noSuchKey();
  const { key = "" } = exchange.params;
  return { key, object: getObject(bucketOf(exchange), key) };
}

/** A missing bucket looks like a missing object to whoever asks for one. */
function bucketOf(exchange: Exchange): Bucket {
  const bucket = exchange.project.buckets.get(exchange.params["bucket"] ?? "");
  if (bucket === undefined) throw refuse.noSuchKey();
  return bucket;
}

function objectAnswer(exchange: Exchange, object: StoredObject): Answer {
  const headers = {
    "accept-ranges": "bytes",
    // Web pages are never shown as such.
    "content-type": object.content_type.includes("text/html") ? "text/plain" : object.content_type,
    etag: object.etag,
    "cache-control": object.cache_control,
    "last-modified": new Date(object.updated_at).toUTCString(),
  };
  const range = header(exchange, "range");
  if (range === undefined) return { status: 200, headers, body: object.bytes };
  const { start, end } = readRange(range, object.bytes.byteLength);
  return {
    status: 206,
    headers: { ...headers, "content-range": `bytes ${start}-${end}/${object.bytes.byteLength}` },
    body: object.bytes.subarray(start, end + 1),
  };
}

function readRange(range: string, length: number): { start: number; end: number } {
  const [, from = "", to = ""] = /^bytes=(\d*)-(\d*)$/u.exec(range) ?? [];
  if (from === "" && to === "") throw refuse.invalidRange();
  const start = from === "" ? Math.max(0, length - Number(to)) : Number(from);
  const end = from === "" || to === "" ? length - 1 : Math.min(Number(to), length - 1);
  if (start > end) throw refuse.invalidRange();
  return { start, end };
}

function attachment(filename: string): string {
  if (filename === "") return "attachment;";
  const name = encodeURIComponent(filename);
  return `attachment; filename=${name}; filename*=UTF-8''${name}`;
}

export function headOf(answer: Answer): Answer {
  return emptyAnswer(answer.status, { ...answer.headers, "content-length": String(answer.body.byteLength) });
}
