import type { Database } from "../database.ts";
import { translateDatabaseError } from "../errors.ts";
import { interceptStatements } from "./intercept-statements.ts";

/** One failure of one statement. */
export interface Failpoint {
  /** Which round trip fails, counted from 1, `begin` and `commit` among them. */
  nth: number;
  /** `before`: the statement takes no effect. `after`: it does, and its reply is lost. */
  moment: "before" | "after";
  /** What the driver is made to report, a connection's loss or a refusal. */
  sqlState: string;
}

export interface FailingDatabase {
  database: Database;
  /** Every statement so far, in the order in which they were sent. */
  statements: readonly string[];
}

/** The database, failing once as told; without a failpoint it only counts. */
export function openFailing(database: Database, failpoint?: Failpoint): FailingDatabase {
  const statements: string[] = [];
  return {
    statements,
    database: interceptStatements(database, async ({ sql }, send) => {
      const isStruck = statements.push(sql) === failpoint?.nth;
      if (isStruck && failpoint.moment === "before") throw driverError(failpoint.sqlState);
      const reply = await send();
      if (isStruck) throw driverError(failpoint.sqlState);
      return reply;
    }),
  };
}

function driverError(code: string): Error {
  const severity = /^(08|57P)/.test(code) ? "FATAL" : "ERROR";
  return translateDatabaseError(Object.assign(new Error(`made to fail with ${code}`), { code, severity }));
}
