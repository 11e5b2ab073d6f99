import { z } from "zod";

const failingPart = z.object({ part: z.string(), code: z.string(), detail: z.string() });

/** What `/health` must tell; more is welcome. */
export const healthAnswer = z.looseObject({
  status: z.string(),
  environment: z.string(),
  timestamp: z.iso.datetime(),
  database: z.string(),
  storage: z.string(),
  workers: z.looseObject({ live_count: z.number().nullable(), last_heartbeat_at: z.string().nullable() }),
  schema_version: z.number().nullable(),
  build: z.string(),
  failing: z.array(failingPart),
});
export type Health = z.infer<typeof healthAnswer>;

export const readyAnswer = z.looseObject({ status: z.string(), failing: z.array(failingPart) });

/** The parts that do not work, in one line. */
export function describeFailing(failing: readonly z.infer<typeof failingPart>[]): string {
  return failing.map(({ part, code, detail }) => `${part}: ${code}, ${detail}`).join("; ");
}
