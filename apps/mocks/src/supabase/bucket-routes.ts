import { z } from "zod";
import { type Answer, jsonAnswer } from "./answer.ts";
import { isService, requireService } from "./authorize.ts";
import { type Bucket, getBucket } from "./buckets.ts";
import { type Exchange, readJson } from "./exchange.ts";
import { refuse } from "./refusals.ts";

const newBucket = z.object({
  id: z.string().optional(),
  name: z.string().min(1),
  public: z.boolean().default(false),
  file_size_limit: z.int().positive().nullable().default(null),
  allowed_mime_types: z.array(z.string()).nullable().default(null),
});

export async function createBucket(exchange: Exchange): Promise<Answer> {
  await requireService(exchange);
  const parsed = newBucket.safeParse(await readJson(exchange));
  if (!parsed.success) throw refuse.invalidRequest("body must have required property 'name'");
  const { name, id = name, ...settings } = parsed.data;
  const { buckets } = exchange.project;
  if (buckets.has(id)) throw refuse.bucketExists();
  buckets.set(id, { id, ...settings, created_at: new Date().toISOString(), objects: new Map() });
  return jsonAnswer({ name });
}

export async function showBucket(exchange: Exchange): Promise<Answer> {
  if (!(await isService(exchange))) throw refuse.noSuchBucket();
  return jsonAnswer(describeBucket(getBucket(exchange.project.buckets, exchange.params["bucket"] ?? "")));
}

export async function listBuckets(exchange: Exchange): Promise<Answer> {
  const seen = (await isService(exchange)) ? [...exchange.project.buckets.values()] : [];
  return jsonAnswer(seen.map(describeBucket));
}

export async function deleteBucket(exchange: Exchange): Promise<Answer> {
  await requireService(exchange);
  const { buckets } = exchange.project;
  const bucket = getBucket(buckets, exchange.params["bucket"] ?? "");
  if (bucket.objects.size > 0) throw refuse.bucketNotEmpty();
  buckets.delete(bucket.id);
  return jsonAnswer({ message: "Successfully deleted" });
}

function describeBucket(bucket: Bucket) {
  const { objects: _, ...described } = bucket;
  return { ...described, name: bucket.id, owner: "", updated_at: bucket.created_at };
}
