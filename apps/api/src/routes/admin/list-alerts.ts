import { ALERT_STATES, listLiveInstances } from "@pipeline/db";
import { findDifferences, OPERATORS, SEVERITIES, showAlerts, UNITS } from "@pipeline/watch";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { isoTime } from "../../contract/iso-time.ts";
import type { ApiDependencies } from "../../dependencies.ts";
import { ADMIN_PROBLEMS } from "../../problems/problem.ts";

const alertsBody = z.object({
  alerts: z.array(
    z.object({
      name: z.string(),
      severity: z.enum(SEVERITIES),
      title: z.string(),
      advice: z.string(),
      /** `pending` and `clearing` last until their time is up; `unknown`: nobody could look. */
      state: z.enum([...ALERT_STATES, "unknown"]),
      /** When its condition began to hold. */
      since: isoTime.nullable(),
      value: z.number().nullable(),
      unit: z.enum(UNITS),
      operator: z.enum(OPERATORS),
      threshold: z.number(),
      /** When it was told last that it fires. */
      notified_at: isoTime.nullable(),
      cleared_at: isoTime.nullable(),
    }),
  ),
  /** In what processes on this database do not fit together, and which has what; `/health` names the field alone. */
  differences: z.array(z.object({ field: z.string(), detail: z.string() })),
  /** When the alerts were looked at last; null: never. */
  evaluated_at: isoTime.nullable(),
});

/** Every alert there is, and how it stands. */
export const listAdminAlerts: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database, monitoring }) => {
  app.route({
    method: "GET",
    url: "/alerts",
    schema: { response: { 200: alertsBody, ...ADMIN_PROBLEMS } },
    handler: async () => ({
      ...(await showAlerts(database, monitoring?.watch.databaseAlert())),
      differences: findDifferences(await listLiveInstances(database)),
    }),
  });
};
