import { describeStorage, openStorage, publicUrl } from "@pipeline/composition";
import { readClock } from "@pipeline/db";
import type { Command } from "commander";
import { z } from "zod";
import { formatReconciliation } from "../format/reconciliation.ts";
import { addCommand, flags, parseAge } from "../options.ts";
import { reconcileStorage } from "../reconcile/reconcile-storage.ts";
import { requireSameStorage } from "../reconcile/require-same-storage.ts";
import { type Answer, type Desk, runCommand } from "../run-command.ts";

const DAY_MS = 86_400_000;

const reconcileOptions = flags.extend({ fix: z.boolean(), all: z.boolean(), grace: z.number() });

/** The command that compares storage with the database. */
export function addReconcileCommand(program: Command): void {
  addCommand(program, "reconcile", "Finds stored files that no row needs, and rows whose file is gone.")
    .option("--fix", "remove the files, and record the loss as a dead letter that a new upload replaces", false)
    .option("--grace <age>", "leave files alone that are younger: 12h, 1d", parseAge, 1)
    .option("--all", "go on where more than half of what there is would be repaired", false)
    .addHelpText(
      "after",
      "\nSafe while the system runs. Exits with 1 when something is left that is not as it should be. Jobs under way whose file is gone are told and left to their workers.",
    )
    .action((raw: unknown) => {
      const options = reconcileOptions.parse(raw);
      return runCommand(options, (desk) => reconcile(desk, options));
    });
}

async function reconcile(
  { environment, database, correlation_id }: Desk,
  options: z.infer<typeof reconcileOptions>,
): Promise<Answer> {
  await requireSameStorage(database, describeStorage(environment));
  const storage = await openStorage(environment, { publicUrl: () => publicUrl(environment) });
  const now = await readClock(database);
  const found = await reconcileStorage({
    database,
    storage,
    correlation_id,
    fix: options.fix,
    acceptsMost: options.all,
    storedBefore: new Date(now.getTime() - options.grace * DAY_MS),
  });
  const left = found.orphan_count - found.removed_count + (found.missing_count - found.recorded_count);
  return { json: { ...found, correlation_id }, text: formatReconciliation(found), hasFindings: left > 0 };
}
