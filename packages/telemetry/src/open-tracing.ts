import type { Logger } from "@pipeline/runtime";
import { NO_TRACING, type Tracing } from "./tracing.ts";

export interface TracingOptions {
  /** Base address of an OTLP/HTTP receiver; undefined: nothing is traced, and nothing of OpenTelemetry loaded. */
  endpoint: string | undefined;
  /** Sent along with every export; secret. */
  headers?: Readonly<Record<string, string>> | undefined;
  serviceName: string;
  /** Version and commit of what runs. */
  build: string;
  environment: string;
  log: Logger;
}

/** Traces to where OTEL_EXPORTER_OTLP_ENDPOINT says. No call is made: a receiver that is away shows at the first export. */
export async function openTracing({ endpoint, ...options }: TracingOptions): Promise<Tracing> {
  if (endpoint === undefined) return NO_TRACING;
  const { createOtlpTracing } = await import("./otlp-tracing.ts");
  return createOtlpTracing({ ...options, endpoint });
}
