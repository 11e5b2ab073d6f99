import type { Database } from "../database.ts";
import type { Parameter, Queryable } from "../queryable.ts";
import type { Statement } from "./explain.ts";

/**
 * Stands between a program and its database, one round trip at a time, `begin` and `commit` among them. Call `send` to
 * let it happen; throw before that and the statement never left, throw after it and its reply was lost.
 */
export type Intercept = <T>(statement: Statement, send: () => Promise<T>) => Promise<T>;

/** A database on which every statement passes `intercept`. What fails inside a transaction loses all of it. */
export function interceptStatements(database: Database, intercept: Intercept): Database {
  return {
    ...database,
    ...interceptQueryable(database, intercept),
    transaction: (work) => interceptTransaction({ database, intercept }, work),
  };
}

function interceptQueryable(db: Queryable, intercept: Intercept): Queryable {
  return {
    schema: db.schema,
    many: (row, sql, parameters = [], options = {}) =>
      intercept({ sql, parameters }, () => db.many(row, sql, parameters, options)),
    run: (sql, parameters = []) => intercept({ sql, parameters }, () => db.run(sql, parameters)),
  };
}

const NO_PARAMETERS: readonly Parameter[] = [];
const BEGIN: Statement = { sql: "begin", parameters: NO_PARAMETERS };
const COMMIT: Statement = { sql: "commit", parameters: NO_PARAMETERS };

async function interceptTransaction<T>(
  { database, intercept }: { database: Database; intercept: Intercept },
  work: (tx: Queryable) => Promise<T>,
): Promise<T> {
  await intercept(BEGIN, () => Promise.resolve());
  const atCommit = Promise.withResolvers<void>();
  const mayCommit = Promise.withResolvers<void>();
  const running = database.transaction(async (tx) => {
    const result = await work(interceptQueryable(tx, breakAfterFailure(intercept)));
    atCommit.resolve();
    await mayCommit.promise;
    return result;
  });
  // Whichever is first: the work is done, or it has failed and is rolled back.
  await Promise.race([atCommit.promise, running]);
  try {
    return await intercept(COMMIT, () => {
      mayCommit.resolve();
      return running;
    });
  } catch (error) {
    mayCommit.reject(error);
    await running.catch(() => undefined);
    throw error;
  }
}

/** A connection that was lost in the middle of a transaction answers nothing more. */
function breakAfterFailure(intercept: Intercept): Intercept {
  let failure: { error: unknown } | undefined;
  return async (statement, send) => {
    if (failure) throw failure.error;
    try {
      return await intercept(statement, send);
    } catch (error) {
      failure = { error };
      throw error;
    }
  };
}
