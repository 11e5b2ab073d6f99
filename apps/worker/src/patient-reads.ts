import type { Queryable } from "@pipeline/db";
import { type DatabaseRetry, retryDatabase } from "./retry-database.ts";

/**
 * The database as stages read it: a connection that breaks is no failure of the document and costs no attempt. For reads
 * and for what may be written twice, since each statement may run more than once.
 */
export function createPatientReads(database: Queryable, retry: DatabaseRetry): Queryable {
  return {
    schema: database.schema,
    many: (...statement) => retryDatabase(() => database.many(...statement), retry),
    run: (sql, parameters) => retryDatabase(() => database.run(sql, parameters), retry),
  };
}
