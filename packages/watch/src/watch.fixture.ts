import { codeSchemaVersion, type Database } from "@pipeline/db";
import { createLogger } from "@pipeline/runtime";
import { createWatch, type Watch, type WatchOptions } from "./create-watch.ts";

/** `tick` is followed by the delivery of what it has to tell; `round` is not. */
export interface TestWatch extends Watch {
  round(): Promise<void>;
}

/** A process that watches; every field can be set. `lines` collects what it logs. */
export async function openWatch(
  database: Database,
  overrides: Partial<Omit<WatchOptions, "agreement">> & {
    agreement?: Partial<WatchOptions["agreement"]>;
    lines?: string[];
  } = {},
): Promise<TestWatch> {
  const { lines = [], agreement, ...others } = overrides;
  const watch = createWatch({
    database,
    log: createLogger({ level: "info", service: "test", stream: { write: (line) => void lines.push(line) } }),
    service: "api",
    build: "test",
    budgetUsdPerDay: undefined,
    webhookUrl: undefined,
    ...others,
    agreement: {
      environment: "test",
      schema_version: await codeSchemaVersion(),
      storage: "disk",
      embed_model: "model",
      ...agreement,
    },
  });
  return {
    ...watch,
    round: () => watch.tick(),
    tick: async () => {
      await watch.tick();
      await watch.deliver();
    },
  };
}

const earlier = (column: string): string => `${column} = ${column} - $1::float8 * interval '1 s'`;

/** Moves everything that alerts wait for into the past. */
export async function passTime(database: Database, seconds: number): Promise<void> {
  for (const [table, columns] of [
    ["alerts", ["state_since", "since", "notified_at"]],
    ["alert_messages", ["created_at", "due_at"]],
  ] as const) {
    await database.run(`update ${database.schema}.${table} set ${columns.map(earlier).join(", ")}`, [seconds]);
  }
}
