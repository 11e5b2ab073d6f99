import { z } from "zod";
import { one, type Queryable } from "./queryable.ts";

/** The database's time, which every time in its rows is of; a client's own clock may be wrong. */
export async function readClock(db: Queryable): Promise<Date> {
  return (await one(db, z.object({ now: z.date() }), "select now() as now")).now;
}
