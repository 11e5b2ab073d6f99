import type { Check } from "./checks.ts";
import type { FaultCounts } from "./plan.ts";
import type { LossKind } from "./takeovers.ts";

export interface ChaosReport {
  ok: boolean;
  interrupted: boolean;
  seed: number;
  server: string;
  plan: { seconds: number; documents: number; workers: number; counts: FaultCounts; spares_suspects: boolean };
  duration_s: number;
  documents: { sent: number; complete: number; repeated_uploads: number };
  faults: FaultCounts & { poison: number; spared: number; outage_s: number[] };
  takeovers: Record<LossKind | "alone", TakeoverFigures>;
  crashes: CrashFigures;
  stale_writes: { tried: number; accepted: number };
  workers: {
    started: number;
    ended_by_themselves: Record<string, number>;
    claim_ends: Record<string, number>;
    stage_failures: Record<string, number>;
    warnings: Record<string, number>;
  };
  events: Record<string, number>;
  leftovers: { copies: number; allowed: number };
  checks: Check[];
}

/** Times in milliseconds from the loss of the worker, by the database's clock; without losses in an outage's shadow. */
export interface TakeoverFigures {
  jobs: number;
  /** Of them, those that an outage of the server delayed, and that are not in the times. */
  in_outages: number;
  rescued_ms: Spread;
  taken_ms: Spread;
}

export interface Spread {
  p50: number | null;
  p95: number | null;
  max: number | null;
}

/** How the count of crashes treats jobs that were merely in hand. */
export interface CrashFigures {
  /** Claims lost with their worker, by how many crashes the job had before on that stage. */
  by_earlier_crashes: Record<string, number>;
  innocent_dead_letters: number;
  /** Of those, jobs that had their last worker to themselves. */
  innocent_dead_letters_alone: number;
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number | null => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    return value === undefined ? null : Math.round(value);
  };
  return { p50: at(0.5), p95: at(0.95), max: at(1) };
}

/** The report for people. */
export function formatReport(report: ChaosReport): string {
  const { documents, faults, stale_writes: stale, workers, crashes, leftovers } = report;
  const lines = [
    `seed ${report.seed} on ${report.server}, ${report.duration_s} s${report.interrupted ? ", INTERRUPTED" : ""}`,
    `documents   ${documents.sent} sent, ${documents.complete} complete, ${documents.repeated_uploads} uploads repeated`,
    `faults      ${Object.entries(faults)
      .flatMap(([name, count]) => (typeof count === "number" ? [`${name} ${count}`] : []))
      .join(", ")}`,
    `outages     ${faults.outage_s.map((seconds) => `${seconds} s`).join(", ") || "none"}`,
    ...Object.entries(report.takeovers).map(([kind, figures]) => formatTakeovers(kind, figures)),
    `crashes     by crashes before: ${formatCounts(crashes.by_earlier_crashes)}`,
    `innocents   ${crashes.innocent_dead_letters} dead-lettered as poison, ${crashes.innocent_dead_letters_alone} of them alone in hand`,
    `stale       ${stale.tried} writes tried, ${stale.accepted} accepted`,
    `workers     ${workers.started} started; ended by themselves: ${formatCounts(workers.ended_by_themselves)}`,
    `claims      ${formatCounts(workers.claim_ends)}`,
    `failures    ${formatCounts(workers.stage_failures)}`,
    `warnings    ${formatCounts(workers.warnings)}`,
    `events      ${formatCounts(report.events)}`,
    `leftovers   ${leftovers.copies} local copies of killed workers, at most ${leftovers.allowed} expected`,
    ...report.checks.map(formatCheck),
    report.ok ? "chaos: all checks hold" : "chaos: FAILED",
  ];
  return `${lines.join("\n")}\n`;
}

function formatTakeovers(kind: string, { jobs, in_outages, rescued_ms, taken_ms }: TakeoverFigures): string {
  const times = `rescued after ${formatSpread(rescued_ms)} ms, taken over after ${formatSpread(taken_ms)} ms (p50 / p95 / max)`;
  return `${kind.padEnd(11)} ${jobs} jobs lost their worker, ${in_outages} in outages; ${times}`;
}

function formatSpread({ p50, p95, max }: Spread): string {
  return `${p50 ?? "-"} / ${p95 ?? "-"} / ${max ?? "-"}`;
}

function formatCounts(counts: Record<string, number>): string {
  return (
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(", ") || "none"
  );
}

const SHOWN = 10;

function formatCheck({ check, title, offending, total, severity }: Check): string {
  if (total === 0) return `ok   ${check.padEnd(10)} ${title}`;
  const shown = offending.slice(0, SHOWN).map(({ id, why }) => `       ${id}: ${why}`);
  const verdict = severity === "error" ? "FAIL" : "warn";
  return [`${verdict} ${check.padEnd(10)} ${title}: ${total}`, ...shown].join("\n");
}
