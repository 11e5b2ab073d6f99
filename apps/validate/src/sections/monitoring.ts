import type { SectionChecks } from "../deployment.ts";
import { Fault } from "../finding.ts";
import { describeAnswer } from "../http.ts";

export const monitoring: SectionChecks = async ({ root, tokens }, check) => {
  await check("Metrics can be scraped", async () => {
    const answer = await root("/metrics", { token: tokens.service });
    if (answer.status !== 200) throw new Fault(`/metrics answered ${describeAnswer(answer)}`);
    const families = answer.text.split("\n").filter((line) => line.startsWith("# TYPE "));
    if (families.length === 0) throw new Fault("/metrics holds no metric");
    return { detail: `${families.length} metrics`, figures: { metric_count: families.length } };
  });
  await check("The API describes itself", async () => {
    const answer = await root("/docs");
    if (answer.status >= 400) throw new Fault(`/docs answered ${describeAnswer(answer)}`);
    return "/docs";
  });
};
