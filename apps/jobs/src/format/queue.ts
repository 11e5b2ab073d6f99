import type { QueueControl, QueueCount, QueueStats, WorkerSession } from "@pipeline/db";
import { formatAge, formatSeconds } from "./age.ts";
import { shortId } from "./jobs.ts";
import { formatTable } from "./table.ts";

export function formatStats(
  input: { stats: QueueStats; control: QueueControl; live_worker_count: number },
  now: Date,
): string {
  const { stats, control, live_worker_count } = input;
  const headings = ["JOBS", "OLDEST", "UNCHANGED"];
  const statuses = stats.by_status.filter((group) => group.job_count > 0);
  return [
    formatTable(
      ["STATE", ...headings],
      stats.by_state.map((group) => rowOf(group.state, group)),
    ),
    statuses.length === 0
      ? "No job is unfinished.\n"
      : formatTable(
          ["UNFINISHED AT", ...headings],
          statuses.map((group) => rowOf(group.status, group)),
        ),
    `${stats.due_count} due, ${live_worker_count} live workers. ${formatControl(control, now)}`,
  ].join("\n");
}

export function formatControl({ paused_at, paused_by, reason }: QueueControl, now: Date): string {
  if (paused_at === null) return "Claiming is not paused.\n";
  return `Claiming is paused since ${formatAge(paused_at, now)} by ${paused_by ?? "somebody"}${reason === null ? "" : `: ${reason}`}.\n`;
}

export function formatWorkers(sessions: readonly WorkerSession[], now: Date): string {
  if (sessions.length === 0) return "No worker has ever run here.\n";
  return formatTable(
    ["SESSION", "WORKER", "HOST", "PID", "STATE", "JOBS", "STARTED", "HEARTBEAT"],
    sessions.map((session) => [
      shortId(session.session_id),
      session.worker_name,
      session.hostname,
      String(session.pid),
      stateOf(session),
      String(session.job_count),
      formatAge(session.started_at, now),
      formatAge(session.heartbeat_at, now),
    ]),
  );
}

function stateOf(session: WorkerSession): string {
  if (session.is_live) return "live";
  return session.ended_at === null ? "expired" : "ended";
}

function rowOf(kind: string, { job_count, oldest_seconds, idle_seconds }: QueueCount): string[] {
  return [kind, String(job_count), spanOf(oldest_seconds), spanOf(idle_seconds)];
}

function spanOf(seconds: number | null): string {
  return seconds === null ? "-" : formatSeconds(seconds);
}
