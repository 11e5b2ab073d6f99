import { readCommandLine } from "@pipeline/runtime";
import { Command } from "commander";
import { addAlertsCommand } from "./commands/alerts.ts";
import { addChangeCommands } from "./commands/change.ts";
import { addGovernCommands } from "./commands/govern.ts";
import { addLookCommands } from "./commands/look.ts";
import { addReconcileCommand } from "./commands/reconcile.ts";
import { addSpendCommands } from "./commands/spend.ts";

const line = readCommandLine(process.argv.slice(2), { usageExitCode: 1 });
const program = new Command("jobs")
  .configureOutput(line.output)
  .exitOverride(line.exit)
  .description("Looks at the queue in the database of DATABASE_URL, and acts on its jobs, whosever they are.")
  .addHelpText(
    "after",
    "\nExits with 1 and a code on standard error when something fails; with --json that is JSON too.",
  );
addLookCommands(program);
addChangeCommands(program);
addGovernCommands(program);
addReconcileCommand(program);
addSpendCommands(program);
addAlertsCommand(program);
await program.parseAsync(line.args, { from: "user" });
