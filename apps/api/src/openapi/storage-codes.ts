import type { ProblemCode } from "../problems/codes.ts";

/** What an object store that is away, or refuses us, comes to. */
export const STORAGE_CODES = [
  "storage_unavailable",
  "storage_full",
  "storage_unauthorized",
  "storage_bucket_missing",
] as const satisfies readonly ProblemCode[];
