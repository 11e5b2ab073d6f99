import { readClock } from "@pipeline/db";
import { isFiring, showAlerts } from "@pipeline/watch";
import type { Command } from "commander";
import { formatAlerts, isCurrent } from "../format/alerts.ts";
import { addCommand, flags } from "../options.ts";
import { type Answer, type Desk, runCommand } from "../run-command.ts";

/** What fires, for people and for scripts: the command exits with 1 while anything does, or while nobody looks. */
export function addAlertsCommand(program: Command): void {
  addCommand(
    program,
    "alerts",
    "Shows every alert and how it stands; exits with 1 while one fires, or nobody looks.",
  ).action((raw: unknown) => runCommand(flags.parse(raw), listAlerts));
}

async function listAlerts({ database }: Desk): Promise<Answer> {
  const shown = await showAlerts(database);
  const now = await readClock(database);
  const is_current = isCurrent(shown, now);
  return {
    json: { ...shown, is_current },
    text: formatAlerts(shown, now),
    hasFindings: !is_current || shown.alerts.some(isFiring),
  };
}
