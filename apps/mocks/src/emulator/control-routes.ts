import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { FAULTS, type FaultPlan } from "./fault-plan.ts";

const orderSchema = z.strictObject({
  fault: z.enum(FAULTS),
  route: z.string().optional(),
  times: z.int().min(1).max(10_000).default(1),
});

/** What tests in other processes ask of the emulator itself; no key is needed, and no fault is met here. */
export function addControlRoutes(app: FastifyInstance, parts: { plan: FaultPlan; stats: () => unknown }): void {
  app.get("/__emulator/stats", () => parts.stats());
  app.post("/__emulator/faults", async (request, reply) => {
    const order = orderSchema.safeParse(request.body);
    if (!order.success) return reply.code(400).send({ detail: z.prettifyError(order.error) });
    const { fault, route, times } = order.data;
    parts.plan.failNext(fault, { times, ...(route === undefined ? {} : { route }) });
    return reply.code(204).send();
  });
}
