import { startChild } from "../queue/child.ts";
import { loadReport, type LoadInput, type LoadReport } from "./messages.ts";

/** Loads a server from another process. Throws where a request failed: such figures would mean something else. */
export async function runLoad(input: LoadInput): Promise<LoadReport> {
  const child = startChild(new URL("load-process.ts", import.meta.url), input);
  try {
    const report = await child.receive(loadReport);
    await child.ended(10_000);
    if (report.answered === 0) throw new Error("No request was answered.");
    if (report.failed > 0) throw new Error(`${report.failed} requests failed, ${report.answered} were answered.`);
    return report;
  } finally {
    child.kill();
  }
}
