import { ENVIRONMENTS } from "@pipeline/runtime";
import { SEVERITIES } from "@pipeline/watch";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { isoTime } from "../contract/iso-time.ts";
import { failingPart } from "../contract/failing-part.ts";
import type { FailingPart, HealthReport } from "../health/health-checks.ts";
import type { ApiSettings } from "../settings.ts";

const condition = z.enum(["healthy", "unhealthy"]);

const healthBody = z.object({
  status: z.enum(["healthy", "degraded"]),
  environment: z.enum(ENVIRONMENTS),
  timestamp: isoTime,
  database: condition,
  storage: condition,
  /** Null where the database could not tell. */
  workers: z.object({ live_count: z.number().nullable(), last_heartbeat_at: isoTime.nullable() }),
  schema_version: z.number().nullable(),
  build: z.string(),
  /** The same for API and workers that work on the same rows in the same way; null until the database has answered. */
  fingerprint: z.string().nullable(),
  /** Alerts that fire; `/admin/alerts` has all of them. */
  alerts: z.array(
    z.object({
      name: z.string(),
      severity: z.enum(SEVERITIES),
      title: z.string(),
      since: isoTime.nullable(),
      value: z.number().nullable(),
      threshold: z.number(),
    }),
  ),
  failing: z.array(failingPart),
});

/** The state of the whole system. Always 200, so that its reader gets the body: `status` tells. */
export const getHealth: FastifyPluginAsyncZod<{
  checkHealth: () => Promise<HealthReport>;
  settings: ApiSettings;
}> = async (app, { checkHealth, settings }) => {
  app.route({
    method: "GET",
    url: "/health",
    schema: { response: { 200: healthBody } },
    handler: async () => {
      const { failing, schemaVersion, workers, alerts, fingerprint } = await checkHealth();
      const conditionOf = (part: FailingPart["part"]) =>
        failing.some((fault) => fault.part === part) ? ("unhealthy" as const) : ("healthy" as const);
      return {
        status: failing.length === 0 ? ("healthy" as const) : ("degraded" as const),
        environment: settings.environment,
        timestamp: new Date(),
        database: conditionOf("database"),
        storage: conditionOf("storage"),
        workers: workers ?? { live_count: null, last_heartbeat_at: null },
        schema_version: schemaVersion ?? null,
        build: settings.build,
        fingerprint: fingerprint ?? null,
        alerts,
        failing,
      };
    },
  });
};
