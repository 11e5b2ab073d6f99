import { createHash } from "node:crypto";
import type { Agreement, Installation } from "@pipeline/db";

/**
 * Twelve characters that are the same for processes that work on the same rows in the same way, and differ otherwise:
 * database, schema, environment, schema version, storage and embedding model. Says nothing about any of them.
 */
export function fingerprintOf(
  installation: Installation,
  { environment, schema_version, storage, embed_model, schema }: Agreement & { schema: string },
): string {
  const { installation_id, database } = installation;
  const parts = [installation_id, database, schema, environment, schema_version, storage, embed_model];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 12);
}
