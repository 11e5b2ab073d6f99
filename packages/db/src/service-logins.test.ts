import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { z } from "zod";
import { openPostgres } from "./database.ts";
import { migrate } from "./migrate.ts";
import { allowServiceLogins } from "./service-logins.ts";
import { hasParallelConnections, openTestDatabase } from "./testing/index.ts";

test.skipIf(!hasParallelConnections())(
  "a service logs in as its role with the password that migrate was given, and no other: needs a server",
  async () => {
    // Roles are the server's: a schema name of its own keeps others' roles as they are.
    const schemaName = `logins_${randomUUID().slice(0, 8)}`;
    const opened = await openTestDatabase(schemaName);
    await migrate(opened.database);
    expect(await allowServiceLogins(opened.database, { api: "first password" })).toEqual([`${schemaName}_api`]);
    const passwords = { api: "päss'word \\ of the API", worker: "password of the worker" };
    expect(await allowServiceLogins(opened.database, passwords)).toEqual([`${schemaName}_api`, `${schemaName}_worker`]);

    const connect = async (user: string, password: string): Promise<unknown> => {
      const url = new URL(opened.url ?? "");
      url.username = user;
      url.password = encodeURIComponent(password);
      const service = { schemaName, applicationName: "test", poolSize: 1, onIdleError: () => undefined };
      const database = openPostgres({ ...service, url: url.toString() });
      try {
        const row = z.object({ user: z.string(), count: z.number() });
        return await database.many(row, `select current_user as user, count(*)::int from ${database.schema}.documents`);
      } finally {
        await database.close();
      }
    };
    expect(await connect(`${schemaName}_api`, passwords.api)).toEqual([{ user: `${schemaName}_api`, count: 0 }]);
    expect(await connect(`${schemaName}_worker`, passwords.worker)).toMatchObject([{ count: 0 }]);
    for (const wrong of ["first password", passwords.worker]) {
      await expect(connect(`${schemaName}_api`, wrong)).rejects.toMatchObject({ code: "database_login_refused" });
    }
    const roles = [`${schemaName}_api`, `${schemaName}_worker`].join(", ");
    await opened.database.run(`drop schema "${schemaName}" cascade; drop role ${roles}`);
    await opened.close();
  },
);
