import { codeSchemaVersion, type Database } from "@pipeline/db";
import { openTestDatabase, type TestDatabase } from "@pipeline/db/testing";
import { AppError, createLogger } from "@pipeline/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { awaitSchema } from "./await-schema.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

const log = createLogger({ level: "silent", service: "test" });

/** A database that answers the first question with this code. */
function failingOnce(code: string): Database {
  let isFirst = true;
  return {
    ...opened.database,
    many: async (...statement) => {
      if (!isFirst) return opened.database.many(...statement);
      isFirst = false;
      throw new AppError({ kind: "transient", code, message: "Nobody gets through." });
    },
  };
}

test("a database that is away at the start is waited for", async () => {
  let awayCount = 0;
  const onAway = (): void => void (awayCount += 1);
  const version = await awaitSchema(failingOnce("database_unavailable"), { log, onAway });
  expect({ version, awayCount }).toEqual({ version: await codeSchemaVersion(), awayCount: 1 });
});

test.each(["database_login_refused", "database_missing"])(
  "a start ends at %s, which passes while a service runs",
  async (code) => {
    await expect(awaitSchema(failingOnce(code), { log })).rejects.toMatchObject({ code });
  },
);
