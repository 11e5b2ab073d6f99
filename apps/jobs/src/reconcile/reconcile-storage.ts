import type { Database } from "@pipeline/db";
import { AppError } from "@pipeline/runtime";
import type { ListableStore } from "@pipeline/storage";
import { countOrphans, type OrphanReport, removeOrphans } from "./orphans.ts";
import { type LostFilesReport, recordLostFiles } from "./lost-files.ts";

export interface ReconcileInput {
  database: Database;
  storage: ListableStore;
  /** Of the jobs that record a loss. */
  correlation_id: string;
  /** False: nothing is changed. */
  fix: boolean;
  /** Repairs even where most of what there is would be repaired. */
  acceptsMost: boolean;
  /** Younger objects are never orphans. */
  storedBefore: Date;
}

export type Reconciliation = OrphanReport & LostFilesReport;

/**
 * Compares storage with the database, in batches, so that neither is ever held whole. Looks at everything before it
 * changes anything: throws conflict `reconcile_refused` where more than half of the objects or of the rows would be
 * repaired, because then this is more likely the storage of another database. Throws what storage and database throw;
 * what was repaired by then stays so.
 */
export async function reconcileStorage(input: ReconcileInput): Promise<Reconciliation> {
  const orphans = await countOrphans(input);
  const lost = await recordLostFiles({ ...input, fix: false });
  if (!input.fix) return { ...orphans, ...lost };
  if (!input.acceptsMost) {
    refuseMost("objects have no row", { bad: orphans.orphan_count, all: orphans.object_count });
    refuseMost("rows have no object", { bad: lost.missing_count, all: lost.file_count });
  }
  const left = await removeOrphans(input);
  const removed_count = Math.max(0, orphans.orphan_count - left);
  return { ...orphans, ...(await recordLostFiles(input)), removed_count };
}

/** Up to so many are repaired whatever their share is. */
const FEW = 10;

function refuseMost(what: string, { bad, all }: { bad: number; all: number }): void {
  if (bad <= FEW || bad * 2 <= all) return;
  throw new AppError({
    kind: "conflict",
    code: "reconcile_refused",
    message: `${bad} of ${all} ${what}. Do this storage and this database belong together? If so, repair with --all.`,
  });
}
