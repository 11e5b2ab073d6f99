import { AsyncLocalStorage } from "node:async_hooks";
import { type Context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, TraceFlags } from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, RandomIdGenerator, TracerProvider } from "@opentelemetry/sdk-trace";
import { currentCorrelationId, type Logger } from "@pipeline/runtime";
import { createPatientExporter, EXPORT_TIMEOUT_MS } from "./patient-exporter.ts";
import type { TracingOptions } from "./open-tracing.ts";
import { parseTraceparent, traceIdOf } from "./trace-id.ts";
import { NO_SPAN, type Span, type SpanAttributes, type SpanStart, type Tracing } from "./tracing.ts";

/** What is not sent by then is dropped: API and worker must be gone 10 and 30 s after their signal. */
const CLOSE_MS = 2_000;
/** Spans, of some 1 KiB each, that wait for an export; more are dropped. */
const MAX_WAITING = 2_048;
const MAX_BATCH = 512;
const BATCH_EVERY_MS = 5_000;

const KINDS = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  consumer: SpanKind.CONSUMER,
  internal: SpanKind.INTERNAL,
} as const;

/** Spans that go out in batches, by OTLP over HTTP as JSON. Whatever becomes of them, what they tell of is not disturbed. */
export function createOtlpTracing(options: TracingOptions & { endpoint: string }): Tracing {
  const around = new AsyncLocalStorage<Context>();
  const ids = createIds();
  const provider = createProvider(options, ids);
  const tracer = provider.getTracer("upload-pipeline");
  const begin = (name: string, start: SpanStart): Span => {
    const parent = around.getStore() ?? callerContext(start.traceparent);
    if (parent === undefined && start.kind === "client") return NO_SPAN;
    ids.nextTrace(start.attributes.correlation_id ?? currentCorrelationId());
    const { kind, attributes } = start;
    const span = tracer.startSpan(name, { kind: KINDS[kind], attributes: { ...attributes } }, parent ?? ROOT_CONTEXT);
    const context = trace.setSpan(parent ?? ROOT_CONTEXT, span);
    return {
      run: (work) => around.run(context, work),
      end: (ending: SpanAttributes = {}) => {
        if (!span.isRecording()) return;
        span.setAttributes({ ...ending });
        if (ending["error.type"] !== undefined) span.setStatus({ code: SpanStatusCode.ERROR });
        span.end();
      },
    };
  };
  return { begin, close: () => closeInTime(provider, options.log) };
}

function createProvider(options: TracingOptions & { endpoint: string }, ids: TraceIds): TracerProvider {
  return new TracerProvider({
    resource: resourceFromAttributes({
      "service.name": options.serviceName,
      "service.version": options.build,
      "deployment.environment.name": options.environment,
    }),
    idGenerator: ids,
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: createPatientExporter(options),
        maxQueueSize: MAX_WAITING,
        maxExportBatchSize: MAX_BATCH,
        scheduledDelayMillis: BATCH_EVERY_MS,
        exportTimeoutMillis: 2 * EXPORT_TIMEOUT_MS,
      }),
    ],
  });
}

type TraceIds = ReturnType<typeof createIds>;

/** The library asks for a trace id only where a span has no parent, and says nothing of the span then. */
function createIds() {
  const random = new RandomIdGenerator();
  let correlationId: string | undefined;
  return {
    nextTrace: (id: string | undefined): void => void (correlationId = id),
    generateTraceId: () => (correlationId === undefined ? random.generateTraceId() : traceIdOf(correlationId)),
    generateSpanId: () => random.generateSpanId(),
  };
}

function callerContext(traceparent: string | undefined): Context | undefined {
  const caller = parseTraceparent(traceparent);
  if (caller === undefined) return undefined;
  const { traceId, spanId, isSampled } = caller;
  const traceFlags = isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

async function closeInTime(provider: TracerProvider, log: Logger): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    log.warn({ after_ms: CLOSE_MS }, "traces not sent in time");
    late.resolve();
  }, CLOSE_MS);
  // What could not be sent was told by the exporter.
  await Promise.race([provider.shutdown().catch(() => undefined), late.promise]);
  clearTimeout(timer);
}
