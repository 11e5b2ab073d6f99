import { z } from "zod";
import { isObjectKey } from "./object-key.ts";
import type { ListedObject } from "./object-store.ts";
import { type BucketPlace, requireVisibleBucket } from "./supabase-bucket.ts";
import { supabaseFault, unavailable } from "./supabase-failure.ts";

const DOING = "list its objects";

/** The server lists folder by folder; a folder has no id. Names that are no part of a key are somebody else's. */
const entrySchema = z.object({
  name: z.string(),
  id: z.string().nullable(),
  updated_at: z.coerce.date().nullable(),
  metadata: z.object({ size: z.int().nonnegative() }).nullable(),
});
type Entry = z.infer<typeof entrySchema>;

const PAGE_SIZE = 1_000;

export async function* listSupabase(place: BucketPlace): AsyncGenerator<ListedObject> {
  // To a key that may not look, the server shows an empty bucket.
  await requireVisibleBucket(place);
  yield* listFolder(place, "");
}

async function* listFolder(place: BucketPlace, folder: string): AsyncGenerator<ListedObject> {
  for await (const entry of listEntries(place, folder)) {
    const key = folder === "" ? entry.name : `${folder}/${entry.name}`;
    // Only keys can have keys below them.
    if (!isObjectKey(key)) continue;
    if (entry.id === null) yield* listFolder(place, key);
    else yield readEntry(key, entry);
  }
}

async function* listEntries(place: BucketPlace, folder: string): AsyncGenerator<Entry> {
  for (let offset = 0; ; offset += PAGE_SIZE) {
    const { data, error } = await place.client.from(place.bucket).list(folder, { limit: PAGE_SIZE, offset });
    if (error !== null) throw supabaseFault(DOING, error);
    const parsed = z.array(entrySchema).safeParse(data);
    if (!parsed.success) throw unavailable(DOING, "unexpected answer");
    yield* parsed.data;
    if (parsed.data.length < PAGE_SIZE) return;
  }
}

function readEntry(key: string, { metadata, updated_at }: Entry): ListedObject {
  if (metadata === null || updated_at === null) throw unavailable(DOING, "unexpected answer");
  return { key, bytes_len: metadata.size, stored_at: updated_at };
}
