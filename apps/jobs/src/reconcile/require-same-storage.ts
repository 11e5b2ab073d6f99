import { listLiveInstances, type Queryable } from "@pipeline/db";
import { AppError } from "@pipeline/runtime";

/**
 * Throws conflict `reconcile_refused` where a process that runs keeps files elsewhere than at `own`, as `describeStorage` has
 * it: compared with another store every row would have lost its file. Where nothing runs nobody can tell.
 */
export async function requireSameStorage(db: Queryable, own: string): Promise<void> {
  const instances = await listLiveInstances(db);
  const other = instances.find(({ storage }) => storage !== own);
  if (other === undefined) return;
  const { service, hostname, storage } = other;
  throw new AppError({
    kind: "conflict",
    code: "reconcile_refused",
    message: `The ${service} on ${hostname} keeps files at ${storage}, this command looks at ${own}. Give it the services' SUPABASE_URL or DATA_DIR.`,
  });
}
