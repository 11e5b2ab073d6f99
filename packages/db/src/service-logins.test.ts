import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { z } from "zod";
import { openPostgres } from "./database.ts";
import { migrate } from "./migrate.ts";
import { allowServiceLogins } from "./service-logins.ts";
import { searchChunks } from "./search.ts";
import { storeEmbeddings } from "./generations.ts";
import { hasParallelConnections, openTestDatabase, vectorOf } from "./testing/index.ts";

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
        const row = z.object({ user: z.string(), count: z.number(), timeout: z.string() });
        return await database.many(
          row,
          `select current_user as user, count(*)::int, current_setting('statement_timeout') as timeout
           from ${database.schema}.documents`,
        );
      } finally {
        await database.close();
      }
    };
    expect(await connect(`${schemaName}_api`, passwords.api)).toEqual([
      { user: `${schemaName}_api`, count: 0, timeout: "1min" },
    ]);
    expect(await connect(`${schemaName}_worker`, passwords.worker)).toMatchObject([{ count: 0 }]);
    for (const wrong of ["first password", passwords.worker]) {
      await expect(connect(`${schemaName}_api`, wrong)).rejects.toMatchObject({ code: "database_login_refused" });
    }
    // As in a Supabase project: in a schema that the logins neither search nor may use.
    await opened.database.run("create schema extensions; alter extension vector set schema extensions");
    const url = new URL(opened.url ?? "");
    url.username = `${schemaName}_worker`;
    url.password = encodeURIComponent(passwords.worker);
    const service = { schemaName, applicationName: "test", poolSize: 1, onIdleError: () => undefined };
    const worker = openPostgres({ ...service, url: url.toString() });
    const query = { user_id: randomUUID(), text: "x", model: "m", threshold: 0, limit: 1 };
    const anywhere = { documentIds: undefined, metadata: undefined };
    expect(await searchChunks(worker, { ...query, ...anywhere, vector: vectorOf(1) })).toEqual([]);
    const embeddings = [{ chunk_id: randomUUID(), vector: vectorOf(1) }];
    const generation = { document_id: randomUUID(), generation: 1 };
    expect(await storeEmbeddings(worker, generation, { model: "m", version: "1", embeddings })).toBe(0);
    await worker.close();
    const roles = [`${schemaName}_api`, `${schemaName}_worker`].join(", ");
    await opened.database.run(`drop schema "${schemaName}" cascade; drop role ${roles}`);
    await opened.close();
  },
);
