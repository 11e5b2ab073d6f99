import type { Reconciliation } from "../reconcile/reconcile-storage.ts";
import { formatTable } from "./table.ts";

export function formatReconciliation(found: Reconciliation): string {
  return [
    `${found.object_count} objects, ${found.orphan_count} that no row needs (${found.orphan_bytes} bytes, ${found.removed_count} removed), ` +
      `${found.young_count} more too young to tell.\n`,
    formatOrphans(found),
    `${found.file_count} verified files, ${found.missing_count} gone (${found.recorded_count} recorded).\n`,
    formatMissing(found),
  ].join("");
}

function formatOrphans({ orphans, orphan_count }: Reconciliation): string {
  const lines = orphans.map((key) => `  ${key}\n`).join("");
  return orphans.length < orphan_count ? `${lines}  and ${orphan_count - orphans.length} more\n` : lines;
}

function formatMissing({ missing, missing_count }: Reconciliation): string {
  if (missing.length === 0) return "";
  const rows = missing.map(({ document_id, job_id, state, status }) => [document_id, job_id, state, status]);
  const table = formatTable(["DOCUMENT", "JOB", "STATE", "STATUS"], rows);
  return missing.length < missing_count ? `${table}and ${missing_count - missing.length} more\n` : table;
}
