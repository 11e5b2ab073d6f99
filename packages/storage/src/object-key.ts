import { AppError } from "@pipeline/runtime";

const UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";

/** Four is more than any key of ours has and keeps a path far below what file systems allow. */
const OBJECT_KEY = new RegExp(`^${UUID}(?:/${UUID}){0,3}$`, "u");

/**
 * True for one to four lower-case UUIDs joined by "/". Nothing else ever becomes part of a path or a URL:
 * that rules out traversal, and the names that Supabase signs and then stores elsewhere or refuses.
 */
export function isObjectKey(value: string): boolean {
  return OBJECT_KEY.test(value);
}

export function requireObjectKey(value: string): void {
  if (isObjectKey(value)) return;
  throw new AppError({
    kind: "invalid",
    code: "invalid_object_key",
    message: 'An object key is one to four lower-case UUIDs joined by "/".',
  });
}
