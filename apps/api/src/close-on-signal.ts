import type { Logger } from "@pipeline/runtime";

/** What a request in hand may still take; Render and Docker kill after 30 and 10 seconds. */
const DEADLINE_MS = 9_000;

/**
 * On SIGTERM or SIGINT closes and exits: 0 when all was closed in time, else 1. A second signal exits at once. For the first
 * moment of the process: as number 1 of a container it would never see a signal that nothing listens for. What is closed
 * is said by the answered function; before that nothing is.
 */
export function closeOnSignal(log: Logger): (close: () => Promise<void>) => void {
  let close: (() => Promise<void>) | undefined;
  let isClosing = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (isClosing) process.exit(1);
    isClosing = true;
    log.info({ signal }, "closing");
    setTimeout(() => {
      log.error({ deadline_ms: DEADLINE_MS }, "not closed in time");
      process.exit(1);
    }, DEADLINE_MS).unref();
    Promise.resolve(close?.()).then(
      () => {
        log.info("closed");
        process.exit(0);
      },
      (error: unknown) => {
        log.error({ err: error }, "closing failed");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  return (what) => {
    close = what;
  };
}
