import { type AppError, isRetryable, type Logger, toAppError } from "@pipeline/runtime";
import type { DiskStore, SupabaseStore } from "@pipeline/storage";

interface SelfTest {
  part: "storage" | "parser" | "embedder";
  run: Check;
}

type Check = () => Promise<void>;

/**
 * Tries whatever outside service is configured, once, before anything is served: an object is written, read and removed,
 * and the providers are asked for what they list without cost. What no waiting mends (a bucket of other limits, a key that is refused) is
 * thrown, and the process ends. What may pass is logged with its code; health goes on asking.
 */
export async function selfTest(
  services: { storage: DiskStore | SupabaseStore; checkParser?: Check | undefined; checkEmbedder?: Check | undefined },
  log: Logger,
): Promise<void> {
  const { storage, checkParser, checkEmbedder } = services;
  const tests: SelfTest[] = [
    ...(storage.kind === "disk" ? [] : [{ part: "storage" as const, run: () => storage.check() }]),
    ...(checkParser === undefined ? [] : [{ part: "parser" as const, run: checkParser }]),
    ...(checkEmbedder === undefined ? [] : [{ part: "embedder" as const, run: checkEmbedder }]),
  ];
  const faults = await Promise.all(tests.map((test) => runTest(test, log)));
  const fatal = faults.find((fault) => fault !== undefined && isFatal(fault));
  if (fatal !== undefined) throw fatal;
}

async function runTest({ part, run }: SelfTest, log: Logger): Promise<AppError | undefined> {
  const startedAt = performance.now();
  try {
    await run();
    log.info({ part, ms: Math.round(performance.now() - startedAt) }, "self-test passed");
    return undefined;
  } catch (error) {
    const fault = toAppError(error);
    log.error({ part, err: fault }, "self-test failed");
    return fault;
  }
}

/** To a document a refused key is transient, because an operator mends it; to a start it is a broken configuration. */
function isFatal(fault: AppError): boolean {
  return !isRetryable(fault) || fault.code === "storage_unauthorized";
}
