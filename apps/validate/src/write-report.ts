import { type Finding, type Section, SECTIONS, type Verdict } from "./finding.ts";
import type { Validation } from "./run-validation.ts";

/** INCOMPLETE: nothing failed, and what matters most was not looked at. */
export type Result = "PASS" | "FAIL" | "INCOMPLETE";

const ESSENTIAL: Section = "End-to-end document";

/** The dated report in Markdown, in the order of the operators' guide: sections, then issues, then recommendations. */
export function writeReport(validation: Validation): string {
  const { url, environment, build, started_at, seconds, findings, is_complete } = validation;
  const missing = explainIncomplete(validation);
  return [
    `# Validation of ${url}`,
    "",
    `- Date: ${started_at}`,
    `- Environment: ${environment}`,
    `- Build: ${build}`,
    `- Took: ${seconds} s${is_complete ? "" : ", stopped before its end"}`,
    `- Result: **${resultOf(validation)}** (${countVerdicts(findings)})`,
    ...(missing === undefined ? [] : [`- Missing: ${missing}`]),
    ...SECTIONS.flatMap((section) => {
      const own = findings.filter((finding) => finding.section === section);
      return own.length === 0 ? [] : ["", `## ${section}`, ""].concat(tableOf(own));
    }),
    "",
    "## Issues",
    "",
    ...listIssues(findings),
    "",
    "## Recommendations",
    "",
    ...listRecommendations(findings),
    "",
  ].join("\n");
}

type Walked = Pick<Validation, "findings" | "is_complete">;

/** PASS only where the walk came to its end, a document went all the way, and nothing has failed. */
export function resultOf(validation: Walked): Result {
  if (validation.findings.some(({ verdict }) => verdict === "FAIL")) return "FAIL";
  return explainIncomplete(validation) === undefined ? "PASS" : "INCOMPLETE";
}

/** What keeps a walk without failures from being a PASS, and what it would have needed. */
export function explainIncomplete({ findings, is_complete }: Walked): string | undefined {
  if (!is_complete) return "the walk was stopped before its end";
  const skipped = findings.find(({ section, verdict }) => section === ESSENTIAL && verdict === "SKIP");
  return skipped === undefined ? undefined : `no document was taken through: ${skipped.title}: ${skipped.detail}`;
}

export function countVerdicts(findings: readonly Finding[]): string {
  const count = (wanted: Verdict): number => findings.filter(({ verdict }) => verdict === wanted).length;
  return `${count("PASS")} passed, ${count("FAIL")} failed, ${count("SKIP")} skipped`;
}

function tableOf(findings: readonly Finding[]): string[] {
  return [
    "| result | check | seen | figures |",
    "|---|---|---|---|",
    ...findings.map(
      ({ verdict, title, detail, figures }) =>
        `| ${verdict} | ${cell(title)} | ${cell(detail)} | ${cell(
          Object.entries(figures)
            .map(([name, value]) => `${name} ${value}`)
            .join(", "),
        )} |`,
    ),
  ];
}

/** What a deployment answers must not break the table. */
function cell(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|");
}

function listIssues(findings: readonly Finding[]): string[] {
  const failed = findings.filter(({ verdict }) => verdict === "FAIL");
  if (failed.length === 0) return ["None."];
  return failed.map(({ section, title, detail }) => `- ${section}: ${title}: ${cell(detail)}`);
}

function listRecommendations(findings: readonly Finding[]): string[] {
  const advised = findings.flatMap(({ title, advice }) => (advice === undefined ? [] : [`- ${title}: ${advice}`]));
  const skipped = findings.flatMap(({ title, verdict, detail }) =>
    verdict === "SKIP" ? [`- Not looked at: ${title}: ${cell(detail)}`] : [],
  );
  return advised.length + skipped.length === 0 ? ["None."] : [...new Set([...advised, ...skipped])];
}
