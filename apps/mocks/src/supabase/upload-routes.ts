import { z } from "zod";
import { type Answer, jsonAnswer } from "./answer.ts";
import { requireService } from "./authorize.ts";
import { type Bucket, getBucket, type NewObject, putObject, requireAllowedType, requireValidKey } from "./buckets.ts";
import { contentLength, type Exchange, header, readBody, readForm } from "./exchange.ts";
import { signLink, verifyLink } from "./project-keys.ts";
import { refuse } from "./refusals.ts";

/** The service's own limit for buckets that set none. */
const LARGEST_FILE_BYTES = 50 * 1024 * 1024;

/** Signs for keys that it then does not take, but not for one that is there. */
export async function signUpload(exchange: Exchange): Promise<Answer> {
  const { bucket, key } = target(exchange);
  await requireService(exchange);
  const upsert = header(exchange, "x-upsert") === "true";
  if (!upsert && getBucket(exchange.project.buckets, bucket).objects.has(key)) throw refuse.keyExists();
  const url = `${bucket}/${key}`;
  const { keys, uploadLinkSeconds } = exchange.project;
  const token = await signLink(keys, { url, upsert, scope: "upload", seconds: uploadLinkSeconds });
  return jsonAnswer({ url: `/object/upload/sign/${url}?token=${token}`, token });
}

export async function uploadToSignedUrl(exchange: Exchange): Promise<Answer> {
  const { bucket, key } = target(exchange);
  const token = exchange.url.searchParams.get("token");
  if (token === null) throw refuse.invalidRequest("querystring must have required property 'token'");
  const url = `${bucket}/${key}`;
  const { upsert } = await verifyLink(exchange.project.keys, { token, url, scope: "upload" });
  await storeUpload(exchange, { upsert: upsert === true });
  return jsonAnswer({ Key: url });
}

export async function uploadAsService(exchange: Exchange): Promise<Answer> {
  const { bucket, key } = target(exchange);
  await requireService(exchange);
  const { id } = await storeUpload(exchange, { upsert: header(exchange, "x-upsert") === "true" });
  return jsonAnswer({ Key: `${bucket}/${key}`, Id: id });
}

export function sizeLimit(bucket: Bucket): number {
  return Math.min(bucket.file_size_limit ?? LARGEST_FILE_BYTES, LARGEST_FILE_BYTES);
}

async function storeUpload(exchange: Exchange, options: { upsert: boolean }): Promise<{ id: string }> {
  const { bucket: id, key } = target(exchange);
  const bucket = getBucket(exchange.project.buckets, id);
  const isForm = header(exchange, "content-type")?.startsWith("multipart/form-data") === true;
  const read = isForm ? await readFile(exchange, bucket) : openRaw(exchange, bucket);
  requireValidKey(key);
  if (!options.upsert && bucket.objects.has(key)) throw refuse.keyExists();
  return putObject(bucket, key, await read());
}

/** Refuses what the headers give away; the result reads the body. */
function openRaw(exchange: Exchange, bucket: Bucket): () => Promise<NewObject> {
  const content_type = header(exchange, "content-type") ?? "application/octet-stream";
  requireAllowedType(bucket, content_type);
  const limit = sizeLimit(bucket);
  if ((contentLength(exchange) ?? 0) > limit) throw refuse.tooLarge();
  return async () => ({
    bytes: await readBody(exchange, limit),
    content_type,
    cache_control: header(exchange, "cache-control") ?? "no-cache",
  });
}

/** As browsers send a Blob or File: the field `cacheControl`, then a file without a name. */
async function readFile(exchange: Exchange, bucket: Bucket): Promise<() => Promise<NewObject>> {
  const limit = sizeLimit(bucket);
  const form = await readForm(exchange, limit);
  const file = [...form.values()].find((value) => typeof value !== "string");
  if (file === undefined) throw refuse.invalidRequest("No content provided");
  const declared = form.get("contentType");
  // Unlike a raw body's, the type of a part is taken without its parameters.
  const [partType = ""] = file.type.split(";", 1);
  const content_type = typeof declared === "string" ? declared : partType;
  requireAllowedType(bucket, content_type);
  if (file.size > limit) throw refuse.tooLarge();
  const cacheControl = form.get("cacheControl");
  return async () => ({
    bytes: Buffer.from(await file.arrayBuffer()),
    content_type,
    cache_control: typeof cacheControl === "string" ? `max-age=${cacheControl}` : "no-cache",
  });
}

const targetSchema = z.object({ bucket: z.string(), key: z.string() });

function target(exchange: Exchange): { bucket: string; key: string } {
  return targetSchema.parse(exchange.params);
}
