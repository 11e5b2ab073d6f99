import { z } from "zod";
import { type Deployment, METRICS_TOKEN, needToken, type SectionChecks } from "../deployment.ts";
import { Fault, Skipped } from "../finding.ts";
import type { Health } from "../health-answer.ts";
import { type Answer, describeAnswer, read } from "../http.ts";

export const monitoring: SectionChecks = async (deployment, check) => {
  const { root, api, tokens } = deployment;
  await check("Metrics can be scraped", () => scrape(deployment));
  await check("No critical alert fires", async () => {
    const token = needToken(tokens, "service");
    return judgeAlerts(read(await api("/admin/alerts", { token }), 200, alertsAnswer));
  });
  await check("The API describes itself", async () => {
    const answer = await root("/docs");
    if (answer.status >= 400) throw new Fault(`/docs answered ${describeAnswer(answer)}`);
    return "/docs";
  });
};

async function scrape({ root, tokens, known }: Deployment) {
  const answer = await root("/metrics", { token: tokens.metrics });
  if (answer.status !== 200) throw explainRefusal(answer, { token: tokens.metrics, health: known.health });
  const families = answer.text.split("\n").filter((line) => line.startsWith("# TYPE "));
  if (families.length === 0) throw new Fault("/metrics holds no metric");
  return { detail: `${families.length} metrics`, figures: { metric_count: families.length } };
}

interface Asked {
  token: string | undefined;
  health: Health | undefined;
}

/** Staging and production have no metrics without METRICS_TOKEN, and hide them from nobody who has it. */
function explainRefusal(answer: Answer, { token, health }: Asked): Skipped | Fault {
  const isHidden = answer.status === 404 && ["staging", "production"].includes(health?.environment ?? "");
  if (token === undefined && (isHidden || answer.status === 401)) {
    return new Skipped(`answered ${answer.status} without a token; needs ${METRICS_TOKEN}`);
  }
  if (isHidden) return new Fault("/metrics answered 404: the API has no METRICS_TOKEN", "Set it there as well.");
  return new Fault(`/metrics answered ${describeAnswer(answer)}`);
}

const alertsAnswer = z.looseObject({
  alerts: z.array(
    z.looseObject({ name: z.string(), severity: z.string(), title: z.string(), advice: z.string(), state: z.string() }),
  ),
  evaluated_at: z.string().nullable(),
});

/** Warnings alone are no fault of a deployment, as they are none for the doctor; they are named. */
function judgeAlerts({ alerts, evaluated_at: at }: z.infer<typeof alertsAnswer>): string {
  if (at === null) throw new Fault("nobody has looked at the alerts yet", "Every API and worker does; see their logs.");
  const unknown = alerts.filter(({ state }) => state === "unknown");
  if (unknown.length > 0) throw new Fault(`nobody could look at ${unknown.map(({ name }) => name).join(", ")}`);
  const firing = alerts.filter(({ state }) => state === "firing");
  const critical = firing.filter(({ severity }) => severity === "critical");
  if (critical.length > 0) {
    throw new Fault(
      critical.map(({ name, title }) => `${name}: ${title}`).join("; "),
      critical.map(({ advice }) => advice).join(" "),
    );
  }
  const warnings = firing.map(({ name }) => name).join(", ");
  return `${alerts.length} alerts, ${warnings === "" ? "none fires" : `with warnings: ${warnings}`}`;
}
