import { readClock } from "@pipeline/db";
import { isFiring, showAlerts } from "@pipeline/watch";
import type { Command } from "commander";
import { formatAlerts } from "../format/alerts.ts";
import { addCommand, flags } from "../options.ts";
import { type Answer, type Desk, runCommand } from "../run-command.ts";

/** What fires, for people and for scripts: the command exits with 1 while anything does. */
export function addAlertsCommand(program: Command): void {
  addCommand(program, "alerts", "Shows every alert and how it stands; exits with 1 while one fires.").action(
    (raw: unknown) => runCommand(flags.parse(raw), listAlerts),
  );
}

async function listAlerts({ database }: Desk): Promise<Answer> {
  const shown = await showAlerts(database);
  return {
    json: shown,
    text: formatAlerts(shown, await readClock(database)),
    hasFindings: shown.alerts.some(isFiring),
  };
}
