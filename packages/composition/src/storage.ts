import { join } from "node:path";
import { AppError, type Environment } from "@pipeline/runtime";
import {
  createDiskStore,
  createSupabaseStore,
  type DiskStore,
  loadOrCreateSecret,
  type SupabaseStore,
  UPLOAD_BUCKET,
} from "@pipeline/storage";
import { dataDirectory } from "./adapters.ts";

/**
 * Supabase Storage where SUPABASE_URL names a project, else the disk store; `publicUrl` is where clients reach the API,
 * asked whenever the disk store signs a link. No call is made: `check` and the first upload do that, and create Supabase's
 * bucket if it has not yet been seen. Throws AppError invalid `invalid_config` where the project's key is missing.
 */
export async function openStorage(
  environment: Environment,
  options: { publicUrl: () => string },
): Promise<DiskStore | SupabaseStore> {
  if (environment.SUPABASE_URL !== undefined) return openProject(environment, environment.SUPABASE_URL);
  const directory = dataDirectory(environment);
  return createDiskStore({
    directory: join(directory, "objects"),
    publicUrl: options.publicUrl,
    secret: await loadOrCreateSecret({ directory, name: "storage-secret" }),
  });
}

function openProject(environment: Environment, url: string): SupabaseStore {
  const { SUPABASE_SERVICE_ROLE_KEY: serviceRoleKey, DATABASE_SCHEMA: schema } = environment;
  if (serviceRoleKey === undefined) {
    const message = "SUPABASE_SERVICE_ROLE_KEY is missing: SUPABASE_URL needs it.";
    throw new AppError({ kind: "invalid", code: "invalid_config", message });
  }
  const store = createSupabaseStore({ url, serviceRoleKey, bucket: bucketOf(schema) });
  let isPrepared = false;
  const prepare = async (): Promise<void> => {
    await store.prepare();
    isPrepared = true;
  };
  return {
    ...store,
    prepare,
    // A project that was away at the start gets its bucket when it is back: at the first upload, or when health is asked.
    signUpload: async (input) => {
      if (!isPrepared) await prepare();
      return store.signUpload(input);
    },
    check: async () => {
      if (!isPrepared) await prepare();
      await store.check();
    },
  };
}

const DEFAULT_SCHEMA = "upload_pipeline";

/** Each schema has a bucket of its own: what no row refers to is swept up, and the other schema's rows are not seen. */
export function bucketOf(schema: string): string {
  return schema === DEFAULT_SCHEMA ? UPLOAD_BUCKET : `${UPLOAD_BUCKET}-${schema}`;
}
