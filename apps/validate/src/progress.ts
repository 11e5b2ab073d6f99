import type { Finding } from "./finding.ts";
import type { Validation } from "./run-validation.ts";
import { countVerdicts, explainIncomplete, resultOf } from "./write-report.ts";

/** Shows each finding as it comes, under its section's name; without a stream it shows nothing. */
export function createProgress(stream: { write(text: string): unknown } | undefined) {
  let shown: Finding["section"] | undefined;
  return {
    show: (finding: Finding): void => {
      if (finding.section !== shown) stream?.write(`\n${finding.section}\n`);
      shown = finding.section;
      stream?.write(`  ${finding.verdict}  ${finding.title}: ${finding.detail}\n`);
      if (finding.advice !== undefined) stream?.write(`        → ${finding.advice}\n`);
    },
    end: (validation: Validation): void => {
      stream?.write(`\n${resultOf(validation)}: ${countVerdicts(validation.findings)}, in ${validation.seconds} s.\n`);
      const missing = explainIncomplete(validation);
      if (missing !== undefined) stream?.write(`  Missing: ${missing}\n`);
    },
  };
}
