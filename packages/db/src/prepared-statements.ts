import { hash } from "node:crypto";
import type { ClientBase } from "pg";
import { z } from "zod";

/**
 * The name under which this connection keeps the statement parsed and planned, which is half of what a small one costs.
 * Undefined where somebody stands between us and the server: the next transaction may get another connection of a pooler's.
 */
export type StatementNames = (client: ClientBase, sql: string) => Promise<string | undefined>;

/** For one pool. */
export function createStatementNames(): StatementNames {
  const isDirect = new WeakMap<ClientBase, boolean>();
  /** As many as there are statements in this package that ask for it. */
  const names = new Map<string, string>();
  return async (client, sql) => {
    const direct = isDirect.get(client) ?? (await asksItsBackend(client));
    isDirect.set(client, direct);
    if (!direct) return undefined;
    const name = names.get(sql) ?? hash("sha256", sql, "base64url");
    names.set(sql, name);
    return name;
  };
}

/** True where a kept statement is out of date: its tables or functions were changed, or the connection is another's. */
export function isOutOfDate(thrown: unknown): thrown is Error {
  return thrown instanceof Error && "code" in thrown && OUT_OF_DATE.has(String(thrown.code));
}

/** "cached plan must not change result type", a name that is not known, and one that is taken. */
const OUT_OF_DATE = new Set(["0A000", "26000", "42P05"]);

/** A pooler makes up the process id that it tells at the start of a connection. */
async function asksItsBackend(client: ClientBase): Promise<boolean> {
  if (!("processID" in client)) return false;
  const { rows } = await client.query("select pg_backend_pid() as pid");
  return pidRow.safeParse(rows[0]).data?.pid === client.processID;
}

const pidRow = z.object({ pid: z.number() });
