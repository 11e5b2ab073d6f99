import { ExportResultCode } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import type { SpanExporter } from "@opentelemetry/sdk-trace";
import type { Logger } from "@pipeline/runtime";

/** Of one batch, its repetitions included. */
export const EXPORT_TIMEOUT_MS = 5_000;

interface Options {
  endpoint: string;
  headers?: Readonly<Record<string, string>> | undefined;
  log: Logger;
}

/**
 * An OTLP exporter that tells its failures by itself: one warning when they begin, one line when they are over. The library
 * would tell them to a handler that all of a process shares.
 */
export function createPatientExporter({ endpoint, headers = {}, log }: Options): SpanExporter {
  const exporter = new OTLPTraceExporter({
    url: `${endpoint}/v1/traces`,
    headers: { ...headers },
    timeoutMillis: EXPORT_TIMEOUT_MS,
  });
  let isFailing = false;
  const note = (error: Error | undefined, hasFailed: boolean): void => {
    if (hasFailed === isFailing) return;
    isFailing = hasFailed;
    if (hasFailed) log.warn({ err: error }, "traces not taken");
    else log.info("traces taken again");
  };
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        note(result.error, result.code === ExportResultCode.FAILED);
        // Else the library would drop what waits behind a batch that failed, at the end.
        done({ code: ExportResultCode.SUCCESS });
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush(),
  };
}
