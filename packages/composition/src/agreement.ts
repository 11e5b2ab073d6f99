import { join } from "node:path";
import { type Agreement, codeSchemaVersion } from "@pipeline/db";
import type { Environment } from "@pipeline/runtime";
import { dataDirectory } from "./adapters.ts";
import { bucketOf } from "./storage.ts";

/** What this process must have in common with all that work on the same rows. */
export async function describeAgreement(environment: Environment, embedModel: string): Promise<Agreement> {
  return {
    environment: environment.ENVIRONMENT,
    schema_version: await codeSchemaVersion(),
    storage: describeStorage(environment),
    embed_model: embedModel,
  };
}

/** Where files are, without keys: the same for all that work on the same ones. */
export function describeStorage(environment: Environment): string {
  const { SUPABASE_URL: url, DATABASE_SCHEMA: schema } = environment;
  if (url === undefined) return `disk ${join(dataDirectory(environment), "objects")}`;
  return `supabase ${new URL(url).host}/${bucketOf(schema)}`;
}
