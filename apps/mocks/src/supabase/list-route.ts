import { z } from "zod";
import { type Answer, jsonAnswer } from "./answer.ts";
import { isService } from "./authorize.ts";
import type { StoredObject } from "./buckets.ts";
import { type Exchange, readJson } from "./exchange.ts";
import { refuse } from "./refusals.ts";

const listInput = z.object({
  prefix: z.string(),
  limit: z.int().positive().default(100),
  offset: z.int().nonnegative().default(0),
  search: z.string().default(""),
  sortBy: z
    .object({ column: z.enum(["name", "created_at", "updated_at"]), order: z.enum(["asc", "desc"]).default("asc") })
    .default({ column: "name", order: "asc" }),
});
type ListInput = z.infer<typeof listInput>;

interface Entry {
  name: string;
  /** Undefined for a folder. */
  object: StoredObject | undefined;
}

/** What lies directly in the folder `prefix`: objects, and folders as entries without an id. */
export async function listObjects(exchange: Exchange): Promise<Answer> {
  const isAllowed = await isService(exchange);
  const parsed = listInput.safeParse(await readJson(exchange));
  if (!parsed.success) throw refuse.invalidRequest("body must have required property 'prefix'");
  const objects = exchange.project.buckets.get(exchange.params["bucket"] ?? "")?.objects;
  if (!isAllowed || objects === undefined) return jsonAnswer([]);
  const { limit, offset } = parsed.data;
  const entries = sortEntries(readFolder(objects, parsed.data), parsed.data.sortBy);
  return jsonAnswer(entries.slice(offset, offset + limit).map(describeEntry));
}

function readFolder(objects: Map<string, StoredObject>, { prefix, search }: ListInput): Entry[] {
  const folder = prefix.replace(/\/+$/u, "");
  const start = folder === "" ? "" : `${folder}/`;
  const entries = new Map<string, Entry>();
  for (const [key, object] of objects) {
    if (!key.startsWith(start)) continue;
    const [name = "", ...rest] = key.slice(start.length).split("/");
    if (!name.startsWith(search)) continue;
    // An object and a folder of the same name are two entries.
    if (rest.length === 0) entries.set(name, { name, object });
    else entries.set(`${name}/`, { name, object: undefined });
  }
  return [...entries.values()];
}

function sortEntries(entries: Entry[], { column, order }: ListInput["sortBy"]): Entry[] {
  const valueOf = ({ name, object }: Entry) => (column === "name" ? name : (object?.[column] ?? ""));
  const sorted = entries.toSorted((left, right) => (valueOf(left) < valueOf(right) ? -1 : 1));
  return order === "asc" ? sorted : sorted.toReversed();
}

function describeEntry({ name, object }: Entry) {
  if (object === undefined) {
    return { name, id: null, created_at: null, updated_at: null, last_accessed_at: null, metadata: null };
  }
  const { id, created_at, updated_at } = object;
  const metadata = {
    eTag: object.etag,
    size: object.bytes.byteLength,
    mimetype: object.content_type,
    cacheControl: object.cache_control,
    lastModified: updated_at,
    contentLength: object.bytes.byteLength,
    httpStatusCode: 200,
  };
  return { name, id, created_at, updated_at, last_accessed_at: created_at, metadata };
}
