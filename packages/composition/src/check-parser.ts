import { AppError, type Environment } from "@pipeline/runtime";
import { createLlamaParse } from "./llamaparse.ts";

const TIMEOUT_MS = 10_000;

/**
 * Asks the parsing provider for its list of jobs, which costs nothing: the address answers, and the key is one of its
 * region. Undefined where documents are read on this machine. Throws permanent `llamaparse_unauthorized`, rate_limited
 * `llamaparse_rate_limited`, transient `llamaparse_unavailable` and `llamaparse_invalid_answer`.
 */
export function createParserCheck(environment: Environment): (() => Promise<void>) | undefined {
  if (environment.LLAMAPARSE_API_KEY === undefined) return undefined;
  return async () => {
    const llamaparse = createLlamaParse(environment);
    try {
      await llamaparse?.client.check({ signal: AbortSignal.timeout(TIMEOUT_MS) });
    } catch (error) {
      throw error instanceof AppError ? explain(error) : tookTooLong();
    } finally {
      await llamaparse?.client.close();
    }
  };
}

/** A key of another region is refused like a wrong one. */
function explain(error: AppError): AppError {
  if (error.code !== "llamaparse_unauthorized") return error;
  const message = "LlamaParse refused LLAMAPARSE_API_KEY. Keys are good in one region only: see LLAMAPARSE_BASE_URL.";
  return new AppError({ kind: "permanent", code: error.code, message });
}

function tookTooLong(): AppError {
  const message = "LlamaParse did not answer in time.";
  return new AppError({ kind: "transient", code: "llamaparse_unavailable", message });
}
