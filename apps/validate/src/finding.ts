export const SECTIONS = [
  "Service health",
  "Database",
  "Job queue",
  "End-to-end document",
  "Communication",
  "Error handling",
  "Security",
  "Performance",
  "Environment isolation",
  "Monitoring",
] as const;
export type Section = (typeof SECTIONS)[number];

export type Verdict = "PASS" | "FAIL" | "SKIP";

/** What one check found. */
export interface Finding {
  section: Section;
  /** What must hold. */
  title: string;
  verdict: Verdict;
  /** What was seen; of a failure what is wrong, with its code; of a skipped check what it would have needed. */
  detail: string;
  /** Measured, by name with its unit, such as `p95_ms`. */
  figures: Readonly<Record<string, number>>;
  /** What to do about a failure. */
  advice?: string;
}

/** Ends a check as failed: the deployment is not as it must be. */
export class Fault extends Error {
  readonly advice: string | undefined;

  constructor(detail: string, advice?: string) {
    super(detail);
    this.name = "Fault";
    this.advice = advice;
  }
}

/** Ends a check without a verdict: what it needs was not given, or an earlier check has failed. */
export class Skipped extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = "Skipped";
  }
}
