import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { afterEach, expect, it } from "vitest";
import { createChecklist } from "../checklist.ts";
import { API_PREFIX } from "../deployment.ts";
import type { Finding } from "../finding.ts";
import { createHttp } from "../http.ts";
import { prepareTokens } from "../tokens.ts";
import { monitoring } from "./monitoring.ts";

const METRICS_TOKEN = "opens-the-metrics-alone";
const SERVICE_KEY = "sb_secret_of_nobody_0123456789";
const METRICS = "Metrics can be scraped";
const ALERTS = "No critical alert fires";

let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
});

interface Deployed {
  environment?: string;
  /** As METRICS_TOKEN is set there. */
  metrics?: "open" | "closed" | { token: string };
  alerts?: { name: string; severity: string; state: string }[];
}

/** Answers as an API that is configured so. */
async function deploy({ metrics = { token: METRICS_TOKEN }, alerts = [] }: Deployed): Promise<string> {
  const told = alerts.map((alert) => ({ ...alert, title: "A title", advice: "Do this." }));
  const answers: Record<string, (token: string | undefined) => [number, string]> = {
    "/docs": () => [200, ""],
    "/metrics": (token) => {
      if (metrics === "closed") return [404, ""];
      return metrics !== "open" && token !== `Bearer ${metrics.token}` ? [401, ""] : [200, "# TYPE a counter\n"];
    },
    [`${API_PREFIX}/admin/alerts`]: (token) =>
      token === `Bearer ${SERVICE_KEY}`
        ? [200, JSON.stringify({ alerts: told, evaluated_at: "2026-01-31T12:00:00.000Z" })]
        : [401, ""],
  };
  const opened = createServer((request, response) => {
    const [status, body] = answers[request.url ?? ""]?.(request.headers.authorization) ?? [404, ""];
    response.writeHead(status).end(body);
  }).listen(0, "127.0.0.1");
  server = opened;
  await once(opened, "listening");
  const address = opened.address();
  if (address === null || typeof address === "string") throw new Error("The server has no port.");
  return `http://127.0.0.1:${address.port}`;
}

async function look(deployed: Deployed, given: { metricsToken?: string; serviceKey?: string }, title: string) {
  const url = await deploy(deployed);
  const findings: Finding[] = [];
  const checklist = createChecklist((finding) => findings.push(finding));
  const tokens = await prepareTokens({
    jwtSecret: undefined,
    supabaseUrl: undefined,
    token: undefined,
    otherToken: undefined,
    serviceKey: given.serviceKey,
    metricsToken: given.metricsToken,
  });
  await monitoring(
    {
      settings: {
        url,
        environment: undefined,
        origin: undefined,
        maxLatencyMs: 1,
        documentTimeoutMs: 1,
        maxRetries: 3,
      },
      root: createHttp(url),
      api: createHttp(`${url}${API_PREFIX}`),
      tokens,
      database: undefined,
      known: {
        health: {
          status: "healthy",
          environment: deployed.environment ?? "production",
          timestamp: "2026-01-31T12:00:00.000Z",
          database: "healthy",
          storage: "healthy",
          workers: { live_count: 1, last_heartbeat_at: null },
          schema_version: 1,
          build: "abc",
          failing: [],
        },
      },
    },
    checklist.inSection("Monitoring"),
  );
  return findings.find((finding) => finding.title === title);
}

it("closed metrics are opened by their own token, and by no service key", async () => {
  expect(await look({}, { metricsToken: METRICS_TOKEN }, METRICS)).toMatchObject({ verdict: "PASS" });
  expect(await look({}, { metricsToken: SERVICE_KEY }, METRICS)).toMatchObject({ verdict: "FAIL" });
  expect(await look({}, { serviceKey: SERVICE_KEY }, METRICS)).toMatchObject({
    verdict: "SKIP",
    detail: expect.stringContaining("--metrics-token"),
  });
});

it("metrics that staging and production do not have are only missed by who has a token for them", async () => {
  const deployed: Deployed = { metrics: "closed" };
  expect(await look(deployed, {}, METRICS)).toMatchObject({ verdict: "SKIP" });
  expect(await look(deployed, { metricsToken: METRICS_TOKEN }, METRICS)).toMatchObject({
    verdict: "FAIL",
    detail: expect.stringContaining("no METRICS_TOKEN"),
  });
  expect(await look({ ...deployed, environment: "development" }, {}, METRICS)).toMatchObject({ verdict: "FAIL" });
});

it("open metrics need no token", async () => {
  expect(await look({ environment: "development", metrics: "open" }, {}, METRICS)).toMatchObject({ verdict: "PASS" });
});

it("a critical alert that fires fails, a warning is named, and neither is seen without the service key", async () => {
  const warning = { name: "budget", severity: "warning", state: "firing" };
  const critical = { name: "no_live_worker", severity: "critical", state: "firing" };
  const passing = { ...critical, state: "clearing" };
  const serviceKey = SERVICE_KEY;
  expect(await look({ alerts: [warning, passing] }, { serviceKey }, ALERTS)).toMatchObject({
    verdict: "PASS",
    detail: "2 alerts, with warnings: budget",
  });
  expect(await look({ alerts: [warning, critical] }, { serviceKey }, ALERTS)).toMatchObject({
    verdict: "FAIL",
    detail: "no_live_worker: A title",
    advice: "Do this.",
  });
  expect(await look({ alerts: [critical] }, {}, ALERTS)).toMatchObject({
    verdict: "SKIP",
    detail: expect.stringContaining("--service-key"),
  });
});
