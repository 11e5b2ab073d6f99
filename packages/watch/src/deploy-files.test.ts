import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { openPostgres } from "@pipeline/db";
import {
  addDatabaseMetrics,
  createApiMetrics,
  createCallMetrics,
  createRegistry,
  createWorkerMetrics,
} from "@pipeline/metrics";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { EVERY_RULE } from "./alert-rules.ts";

const ROOT = join(import.meta.dirname, "../../..");
const read = (path: string): Promise<string> => readFile(join(ROOT, path), "utf8");

/** Every metric there is, by the name that Prometheus stores it under. */
async function metricNames(): Promise<{ families: Set<string>; series: Set<string> }> {
  const registry = createRegistry({ service: "test", environment: "test", schema: "s", build: "b" });
  const database = openPostgres({
    url: "postgres://127.0.0.1:1/nowhere",
    schemaName: "upload_pipeline",
    applicationName: "test",
    poolSize: 1,
    onIdleError: () => undefined,
  });
  addDatabaseMetrics(registry, database, { budgetUsdPerDay: 1 });
  createCallMetrics(registry);
  createApiMetrics(registry);
  createWorkerMetrics(registry);
  const metrics = await registry.getMetricsAsJSON();
  await database.close();
  const families = new Set(metrics.map(({ name }) => name));
  const histograms = metrics.flatMap(({ name }) => ["_bucket", "_count", "_sum"].map((suffix) => `${name}${suffix}`));
  return { families, series: new Set([...families, ...histograms]) };
}

function metricsIn(expression: string): string[] {
  return [...expression.replaceAll(/\{[^}]*\}/g, "").matchAll(/\b(?:pipeline|process|nodejs)_\w+/g)].map(
    ([name]) => name,
  );
}

const rulesFile = z.object({
  groups: z.array(
    z.object({
      rules: z.array(
        z.object({
          alert: z.string(),
          expr: z.string(),
          for: z.string().default("0s"),
          labels: z.object({ severity: z.string() }),
        }),
      ),
    }),
  ),
});

test("Prometheus' rules are the alerts that the system evaluates, with their thresholds, times and severities", async () => {
  const { groups } = rulesFile.parse(parse(await read("deploy/prometheus/rules.yml")));
  const rules = groups.flatMap((group) => group.rules);
  const { series } = await metricNames();
  expect(rules.map(({ alert }) => alert).toSorted()).toEqual(EVERY_RULE.map(({ name }) => name).toSorted());
  for (const rule of EVERY_RULE) {
    const written = rules.find(({ alert }) => alert === rule.name);
    const isDatabase = rule.name === "database_unreachable";
    // There the value is a time, which rules have as their `for`.
    const condition = isDatabase ? "< 1" : `${rule.operator} ${rule.threshold}`;
    const forSeconds = isDatabase ? rule.threshold : rule.forSeconds;
    expect(written).toMatchObject({ for: `${forSeconds}s`, labels: { severity: rule.severity } });
    expect(`${written?.expr} `).toContain(`${condition} `);
    const named = metricsIn(written?.expr ?? "");
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((name) => !series.has(name))).toEqual([]);
  }
});

const dashboard = z.object({
  panels: z.array(z.object({ title: z.string(), targets: z.array(z.object({ expr: z.string() })).default([]) })),
});

test("every metric of the dashboard exists, and every metric of ours is on it", async () => {
  const { panels } = dashboard.parse(JSON.parse(await read("deploy/grafana/upload-pipeline.json")));
  const { families, series } = await metricNames();
  const shown = new Set(panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => metricsIn(expr))));
  expect([...shown].filter((name) => !series.has(name))).toEqual([]);
  const bases = new Set([...shown].map((name) => name.replace(/_(bucket|count|sum)$/, "")));
  const ours = [...families].filter((name) => name.startsWith("pipeline_"));
  expect(ours.filter((name) => !shown.has(name) && !bases.has(name))).toEqual([]);
});

test("docs/monitoring.md lists every metric and every alert as they are, and no other", async () => {
  const page = await read("docs/monitoring.md");
  const { families } = await metricNames();
  const listed = [...page.matchAll(/^\| `(pipeline_\w+)` \|/gm)].map(([, name = ""]) => name);
  expect(new Set(listed)).toEqual(new Set([...families].filter((name) => name.startsWith("pipeline_"))));
  expect(new Set(listed).size).toBe(listed.length);
  const alerts = [...page.matchAll(/^\| `([a-z_]+)` \| (\w+) \| (>=|>|<) ([\d.]+) .*? \| (at once|\d+ s) \|/gm)]
    .map(([, name, severity, operator, threshold, wait]) => ({
      name,
      severity,
      operator,
      threshold: Number(threshold),
      forSeconds: wait === "at once" ? 0 : Number.parseInt(wait ?? "", 10),
    }))
    .toSorted(byName);
  const rules = EVERY_RULE.map(({ name, severity, operator, threshold, forSeconds }) => {
    return { name, severity, operator, threshold, forSeconds };
  });
  expect(alerts).toEqual(rules.toSorted(byName));
});

function byName(left: { name?: string | undefined }, right: { name?: string | undefined }): number {
  return (left.name ?? "").localeCompare(right.name ?? "");
}
