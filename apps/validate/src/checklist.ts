import { toAppError } from "@pipeline/runtime";
import { Fault, type Finding, type Section, Skipped } from "./finding.ts";

/** What a check that passes has to say. */
export interface Seen {
  detail: string;
  figures?: Readonly<Record<string, number>>;
}

/** Runs the check and keeps its finding; resolves to whether it passed. Never throws. */
export type Check = (title: string, look: () => Promise<Seen | string>) => Promise<boolean>;

export interface Checklist {
  findings: readonly Finding[];
  inSection(section: Section): Check;
}

export function createChecklist(onFinding: (finding: Finding) => void): Checklist {
  const findings: Finding[] = [];
  return {
    findings,
    inSection: (section) => async (title, look) => {
      const finding = { section, title, ...(await judge(look)) };
      findings.push(finding);
      onFinding(finding);
      return finding.verdict === "PASS";
    },
  };
}

async function judge(look: () => Promise<Seen | string>): Promise<Omit<Finding, "section" | "title">> {
  try {
    const seen = await look();
    if (typeof seen === "string") return { verdict: "PASS", detail: seen, figures: {} };
    return { verdict: "PASS", detail: seen.detail, figures: seen.figures ?? {} };
  } catch (error) {
    return describe(error);
  }
}

function describe(error: unknown): Omit<Finding, "section" | "title"> {
  if (error instanceof Skipped) return { verdict: "SKIP", detail: error.message, figures: {} };
  if (error instanceof Fault) {
    const { advice } = error;
    return { verdict: "FAIL", detail: error.message, figures: {}, ...(advice === undefined ? {} : { advice }) };
  }
  const { code, message } = toAppError(error);
  return { verdict: "FAIL", detail: `${code}: ${message}`, figures: {} };
}
