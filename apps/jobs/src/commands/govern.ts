import { deleteFinished, type DeletedBatch, pauseClaims, readClock, resumeClaims } from "@pipeline/db";
import type { Command } from "commander";
import { z } from "zod";
import { operatorName } from "../config.ts";
import { formatControl } from "../format/queue.ts";
import { addCommand, flags, parseAge, parseText } from "../options.ts";
import { type Answer, type Desk, runCommand } from "../run-command.ts";

/** Commands on the queue as a whole. */
export function addGovernCommands(program: Command): void {
  addCommand(program, "pause", "Lets no worker claim any more. Jobs in hand go on.")
    .option("--reason <text>", "why; shown by stats", parseText)
    .option("--by <name>", "who asks", parseText, operatorName())
    .action((raw: unknown) => {
      const { json, by, reason = null } = flags.extend({ by: z.string(), reason: z.string().optional() }).parse(raw);
      return runCommand({ json }, (desk) => pause(desk, { paused_by: by, reason }));
    });
  addCommand(program, "resume", "Lets workers claim again.").action((raw: unknown) =>
    runCommand(flags.parse(raw), resume),
  );
  addCommand(program, "prune", "Deletes what is left of jobs that ended long ago, and of workers long gone.")
    .requiredOption("--older-than <age>", "how long ago they ended: 12h, 30d, 4w", parseAge)
    .addHelpText(
      "after",
      "\nOf a document's newest job the last event stays; its earlier jobs go whole. Documents and passages stay.",
    )
    .action((raw: unknown) => {
      const { json, olderThan } = flags.extend({ olderThan: z.number() }).parse(raw);
      return runCommand({ json }, (desk) => prune(desk, olderThan));
    });
}

async function pause({ database }: Desk, input: { paused_by: string; reason: string | null }): Promise<Answer> {
  const control = await pauseClaims(database, input);
  return { json: { control }, text: formatControl(control, await readClock(database)) };
}

async function resume({ database, wake }: Desk): Promise<Answer> {
  const control = await resumeClaims(database);
  wake();
  return { json: { control }, text: formatControl(control, await readClock(database)) };
}

/** Finished jobs looked at, and sessions deleted, in one statement: few enough that no lock lasts and nobody waits. */
const BATCH = 1_000;

async function prune({ database }: Desk, olderThanDays: number): Promise<Answer> {
  const totals = { event_count: 0, job_count: 0, session_count: 0 };
  let after: string | undefined;
  for (;;) {
    const batch: DeletedBatch = await deleteFinished(database, { olderThanDays, limit: BATCH, after });
    totals.event_count += batch.event_count;
    totals.job_count += batch.job_count;
    totals.session_count += batch.session_count;
    // There can be more sessions than jobs; then the last jobs are looked at once more.
    if (batch.next === null && batch.session_count < BATCH) break;
    after = batch.next ?? after;
  }
  const { event_count, job_count, session_count } = totals;
  return { json: totals, text: `Deleted ${event_count} events, ${job_count} jobs, ${session_count} sessions.\n` };
}
