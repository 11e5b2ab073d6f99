import {
  addAlertMessage,
  type AlertRow,
  beginEvaluation,
  type Database,
  listAlerts,
  type MessageKind,
  readClock,
  saveAlerts,
} from "@pipeline/db";
import { readAlertFigures } from "./alert-figures.ts";
import { type Origin, writeMessage } from "./alert-message.ts";
import { ALERT_RULES, type AlertRule } from "./alert-rules.ts";
import { judgeAlert } from "./judge-alert.ts";

export interface Evaluation {
  /** The process that holds the watch. */
  holder: string;
  origin: Origin;
}

/** An alert that began to fire, went on or was cleared. */
export interface AlertChange {
  rule: AlertRule;
  alert: AlertRow;
  kind: MessageKind;
}

/**
 * Looks at every alert once. Their new states and the messages about them are one transaction: what is told is told once,
 * whoever looks next and whatever restarts. Answers the changes; none where another process looks by now.
 */
export async function evaluateAlerts(database: Database, evaluation: Evaluation): Promise<AlertChange[]> {
  const figures = await readAlertFigures(database);
  return database.transaction(async (tx) => {
    if (!(await beginEvaluation(tx, evaluation.holder))) return [];
    const now = await readClock(tx);
    const known = new Map((await listAlerts(tx)).map((alert) => [alert.alert_name, alert]));
    const looks = ALERT_RULES.map((rule) => {
      const before = known.get(rule.name);
      const { alert, kind } = judgeAlert(rule, { before, value: rule.read(figures), now });
      return { rule, before, alert, kind };
    });
    await saveAlerts(
      tx,
      looks.map(({ alert }) => alert),
    );
    const changes: AlertChange[] = [];
    for (const { rule, before, alert, kind } of looks) {
      if (kind === undefined) continue;
      changes.push({ rule, alert, kind });
      const since = alert.since ?? before?.since ?? now;
      const body = writeMessage({ rule, alert, kind, since }, evaluation.origin);
      await addAlertMessage(tx, { alert_name: rule.name, kind, body });
    }
    return changes;
  });
}
