import { explainFailure } from "./explain-failure.ts";
import type { Logger } from "./log.ts";

/** Says what a signal closes. */
export type CloseWith = (close: () => Promise<void>) => void;

interface ServiceProcess {
  /** For people: The NAME did not start. */
  name: string;
  log: Logger;
  /** After so long closing is given up; below what the platform grants between SIGTERM and SIGKILL. */
  closeWithinMs: number;
  /** Resolves once it serves. Whatever it has not told `closeWith` is not closed by a signal. */
  start: (closeWith: CloseWith) => Promise<void>;
}

/**
 * The life of a service's process. On SIGTERM or SIGINT it closes and exits: 0 when all was closed in time, else 1, and at once
 * on a second signal. What did not start, or failed where nobody caught it, ends with 1. Call it in the first moment of the
 * process: as number 1 of a container it would never see a signal that nothing listens for.
 */
export async function runService({ name, log, closeWithinMs, start }: ServiceProcess): Promise<void> {
  exitOnFatalErrors(log);
  const closeWith = closeOnSignal(log, closeWithinMs);
  try {
    await start(closeWith);
  } catch (error) {
    log.fatal({ err: error }, "did not start");
    process.stderr.write(`The ${name} did not start. ${explainFailure(error)}\n`);
    process.exit(1);
  }
}

/** After either of these nobody knows what state the process is in. */
function exitOnFatalErrors(log: Logger): void {
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (err: unknown) => {
      log.fatal({ err }, event);
      process.exit(1);
    });
  }
}

function closeOnSignal(log: Logger, closeWithinMs: number): CloseWith {
  let close: (() => Promise<void>) | undefined;
  let isClosing = false;
  const onSignal = async (signal: NodeJS.Signals): Promise<void> => {
    if (isClosing) process.exit(1);
    isClosing = true;
    log.info({ signal }, "closing");
    setTimeout(() => {
      log.error({ deadline_ms: closeWithinMs }, "not closed in time");
      process.exit(1);
    }, closeWithinMs).unref();
    try {
      await close?.();
    } catch (error) {
      log.error({ err: error }, "closing failed");
      process.exit(1);
    }
    log.info("closed");
    process.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, (received) => void onSignal(received));
  return (what) => {
    close = what;
  };
}
