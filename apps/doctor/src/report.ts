import type { Diagnosis } from "@pipeline/db";

/** True where something that must hold does not; warnings are none. */
export function isViolated({ severity, total }: Diagnosis): boolean {
  return severity === "error" && total > 0;
}

/** One line per check, under it the offending ids with why, and a line that sums up. */
export function formatReport(diagnoses: readonly Diagnosis[]): string {
  return [...diagnoses.flatMap(formatDiagnosis), "", formatSummary(diagnoses), ""].join("\n");
}

function formatDiagnosis(diagnosis: Diagnosis): string[] {
  const { invariant, title, offending, total, unexamined } = diagnosis;
  const count = total === 0 ? "" : `: ${total}`;
  const note = unexamined === 0 ? "" : ` (${unexamined} not read; --all reads them)`;
  const hidden = total - offending.length;
  return [
    `${verdictOf(diagnosis).padEnd(5)} ${invariant.padEnd(4)} ${title}${count}${note}`,
    ...offending.map(({ id, why }) => `             ${id}  ${why}`),
    ...(hidden > 0 ? [`             and ${hidden} more`] : []),
  ];
}

function verdictOf(diagnosis: Diagnosis): string {
  if (isViolated(diagnosis)) return "FAIL";
  return diagnosis.total > 0 ? "warn" : "ok";
}

function formatSummary(diagnoses: readonly Diagnosis[]): string {
  const violated = diagnoses.filter(isViolated).length;
  const warnings = diagnoses.filter(({ total }) => total > 0).length - violated;
  return `${diagnoses.length} checks, ${violated} violated, ${warnings} with warnings.`;
}
