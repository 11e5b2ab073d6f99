import { type Database, findVerifiedFile, listVerifiedFiles, recordLostFile, type VerifiedFile } from "@pipeline/db";
import type { ObjectStore } from "@pipeline/storage";

export interface LostFilesReport {
  /** Documents whose file must be there. */
  file_count: number;
  missing_count: number;
  /** Of the missing ones, those whose loss is now told by a dead letter. */
  recorded_count: number;
  /** The first of them. */
  missing: Pick<VerifiedFile, "document_id" | "job_id" | "status" | "state">[];
}

interface Input {
  database: Database;
  storage: ObjectStore;
  correlation_id: string;
  fix: boolean;
}

/** Rows read in one statement, and files looked for at once. */
const BATCH = 500;
const PARALLEL = 8;
/** Missing files that are named. */
const MOST_NAMED = 100;

/** Looks for the file of every document that a job has verified; with `fix` records each loss of a finished one. */
export async function recordLostFiles(input: Input): Promise<LostFilesReport> {
  const report: LostFilesReport = { file_count: 0, missing_count: 0, recorded_count: 0, missing: [] };
  let after: string | undefined;
  for (;;) {
    const files = await listVerifiedFiles(input.database, { after, limit: BATCH });
    report.file_count += files.length;
    for (let start = 0; start < files.length; start += PARALLEL) {
      const group = files.slice(start, start + PARALLEL);
      const lost = await Promise.all(group.map((file) => findLoss(input, file)));
      for (const file of lost) if (file !== undefined) await tell(input, { report, file });
    }
    after = files.at(-1)?.document_id;
    if (files.length < BATCH) return report;
  }
}

/** The row is asked again after storage was: what was replaced or deleted meanwhile has lost nothing. */
async function findLoss({ database, storage }: Input, file: VerifiedFile): Promise<VerifiedFile | undefined> {
  if ((await storage.stat(file.raw_path)) !== undefined) return undefined;
  return findVerifiedFile(database, file);
}

async function tell(
  { database, fix, correlation_id }: Input,
  { report, file }: { report: LostFilesReport; file: VerifiedFile },
): Promise<void> {
  const { document_id, raw_path, job_id, status, state } = file;
  report.missing_count += 1;
  if (report.missing.length < MOST_NAMED) report.missing.push({ document_id, job_id, status, state });
  if (!fix) return;
  const recorded = await database.transaction((tx) => recordLostFile(tx, { document_id, raw_path, correlation_id }));
  if (recorded !== undefined) report.recorded_count += 1;
}
