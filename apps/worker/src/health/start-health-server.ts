import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { hasMetricsToken } from "@pipeline/metrics";
import type { Logger } from "@pipeline/runtime";
import type { Complaint } from "../vitals.ts";
import type { WorkerReport } from "./report-health.ts";

export interface HealthServerOptions {
  host: string;
  /** 0 takes any free port. */
  port: number;
  /** What a new process could mend; empty: leave this one alone. Asks nobody. */
  findDeadly: () => Complaint[];
  report: () => Promise<WorkerReport>;
  readMetrics: () => Promise<{ contentType: string; text: string }>;
  /** What /metrics asks for; undefined: nothing. */
  metricsToken: string | undefined;
  log: Logger;
}

export interface HealthServer {
  port: number;
  close(): Promise<void>;
}

interface Reply {
  status: number;
  contentType?: string;
  body: string;
}

/** Answers `/health`, `/health/live`, `/health/ready` and `/metrics`, and nothing else. */
export async function startHealthServer(options: HealthServerOptions): Promise<HealthServer> {
  const server = createServer(
    { requestTimeout: 10_000 },
    (request, response) => void answer(request, response, options),
  );
  server.listen(options.port, options.host);
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : options.port,
    close: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, options: HealthServerOptions): Promise<void> {
  const { status, contentType = "application/json", body } = await replyTo(request, options);
  response.writeHead(status, { "content-type": contentType, "cache-control": "no-store" }).end(body);
}

async function replyTo(request: IncomingMessage, options: HealthServerOptions): Promise<Reply> {
  if (request.method !== "GET" && request.method !== "HEAD") return json(405, { status: "method_not_allowed" });
  try {
    switch (request.url?.split("?")[0] ?? "") {
      case "/health/live":
        return replyLive(options.findDeadly());
      case "/health/ready":
        return replyReady(await options.report());
      case "/health":
        return json(200, await options.report());
      case "/metrics":
        return await replyMetrics(request, options);
      default:
        return json(404, { status: "not_found" });
    }
  } catch (error) {
    options.log.error({ err: error }, "health request failed");
    return json(500, { status: "failed" });
  }
}

function replyLive(failing: readonly Complaint[]): Reply {
  return json(failing.length === 0 ? 200 : 503, { status: failing.length === 0 ? "live" : "dead", failing });
}

function replyReady({ failing }: WorkerReport): Reply {
  return json(failing.length === 0 ? 200 : 503, { status: failing.length === 0 ? "ready" : "not_ready", failing });
}

async function replyMetrics(
  request: IncomingMessage,
  { metricsToken, readMetrics }: HealthServerOptions,
): Promise<Reply> {
  if (!hasMetricsToken(request.headers.authorization, metricsToken)) return json(401, { status: "unauthorized" });
  const { contentType, text } = await readMetrics();
  return { status: 200, contentType, body: text };
}

function json(status: number, body: object): Reply {
  return { status, body: `${JSON.stringify(body)}\n` };
}
