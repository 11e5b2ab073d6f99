import { z } from "zod";
import type { Database } from "../database.ts";
import type { Parameter, Queryable } from "../queryable.ts";

export interface Statement {
  sql: string;
  parameters: readonly Parameter[];
  /** Of its parameters, where they cannot be told from the statement. */
  types?: readonly string[];
  /** `name=value`, in force while it is planned and run. */
  settings?: readonly string[];
}

/** The one statement that a function sends, without running it. */
export async function captureStatement(
  schema: string,
  send: (probe: Queryable) => Promise<unknown>,
): Promise<Statement> {
  const statements: Statement[] = [];
  await send({
    schema,
    many: async (_row, sql, parameters = []) => {
      statements.push({ sql, parameters });
      return [];
    },
    run: async (sql, parameters = []) => {
      statements.push({ sql, parameters });
      return 0;
    },
  });
  const [statement] = statements;
  if (!statement || statements.length > 1) throw new Error(`Sent ${statements.length} statements.`);
  return statement;
}

/** The statement inside the function that a statement calls, with the function's settings. */
export async function openFunction(database: Database, call: Statement): Promise<Statement> {
  const name = /\.(\w+)\(/.exec(call.sql)?.[1] ?? "";
  const [row] = await database.many(
    functionRow,
    `select prosrc, proargnames[:pronargs] as names, proargtypes::regtype[]::text[] as types, proconfig as settings
     from pg_proc where proname = $1 and pronamespace = $2::regnamespace`,
    [name, database.schema],
  );
  const body = /return query\n(.*);\nend\n$/s.exec(row?.prosrc ?? "")?.[1];
  if (!row || body === undefined) throw new Error(`${name} is not a function of one query.`);
  const sql = row.names.reduce(
    (text, each, index) => text.replaceAll(new RegExp(`\\b${each}\\b`, "g"), `$${index + 1}`),
    body,
  );
  return { sql, parameters: call.parameters, types: row.types, settings: row.settings };
}

const functionRow = z.object({
  prosrc: z.string(),
  names: z.array(z.string()),
  types: z.array(z.string()),
  settings: z.array(z.string()),
});

/** A plan node, with its parents' nodes left out. */
export type PlanNode = Record<string, unknown>;

/** Runs the statement in a transaction that is rolled back, under a generic plan, and answers the nodes of its plan. */
export async function explainGeneric(database: Database, statement: Statement): Promise<PlanNode[]> {
  const rollback = new Error("rolled back on purpose");
  let nodes: PlanNode[] = [];
  const running = database.transaction(async (tx) => {
    for (const setting of ["plan_cache_mode=force_generic_plan", "jit=off", ...(statement.settings ?? [])]) {
      const [name = "", value = ""] = setting.split(/=(.*)/s);
      await tx.run("select set_config($1, $2, true)", [name, value]);
    }
    const types = statement.types === undefined ? "" : `(${statement.types.join(", ")})`;
    await tx.run(`prepare probe ${types} as ${statement.sql}`);
    const [row] = await tx.many(
      planRow,
      `explain (analyze, format json) execute probe (${statement.parameters.map(toLiteral).join(", ")})`,
    );
    await tx.run("deallocate probe");
    nodes = (row?.["QUERY PLAN"] ?? []).flatMap((plan) => flatten(plan.Plan));
    throw rollback;
  });
  await running.catch((error: unknown) => {
    if (error !== rollback) throw error;
  });
  return nodes;
}

/** Rows that were looked at and thrown away, over all nodes and loops. */
export function discardedRows(nodes: readonly PlanNode[]): number {
  const keys = ["Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck"];
  return nodes.reduce((total, node) => {
    const loops = Number(node["Actual Loops"] ?? 1);
    return total + loops * keys.reduce((sum, key) => sum + Number(node[key] ?? 0), 0);
  }, 0);
}

const planRow = z.object({ "QUERY PLAN": z.array(z.object({ Plan: z.record(z.string(), z.unknown()) })) });
const children = z.array(z.record(z.string(), z.unknown())).default([]);

function flatten(node: PlanNode): PlanNode[] {
  const { Plans, ...own } = node;
  return [own, ...children.parse(Plans).flatMap(flatten)];
}

function toLiteral(parameter: Parameter): string {
  if (parameter === null) return "null";
  if (Array.isArray(parameter)) {
    const items = parameter.map((item) => `"${String(item).replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`);
    return quote(`{${items.join(",")}}`);
  }
  if (typeof parameter === "number") return String(parameter);
  return quote(parameter instanceof Date ? parameter.toISOString() : String(parameter));
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
