/**
 * What may stand in a span, and nothing else: no text of documents or questions, no file names, no tokens, no URLs. A call of
 * a service says what its metric says.
 */
export interface SpanAttributes {
  "http.request.method"?: string;
  /** The route's template. */
  "http.route"?: string;
  "http.response.status_code"?: number;
  /** Present: it failed, and this is why, by a code of ours. */
  "error.type"?: string;
  correlation_id?: string;
  job_id?: string;
  document_id?: string;
  stage?: string;
  /** From 1. */
  attempt?: number;
  outcome?: string;
  code?: string;
  provider?: string;
  operation?: string;
}

export interface SpanStart {
  /** Answers a request, calls a service outside, takes up a job, or works on inside one of them. */
  kind: "server" | "client" | "consumer" | "internal";
  attributes: SpanAttributes;
  /** Of the caller's trace (W3C `traceparent`): goes on in it where it is valid. Elsewhere the span around it counts. */
  traceparent?: string | undefined;
}

/** Something under way whose duration is told. */
export interface Span {
  /** Runs `work` so that spans that begin in it are parts of this one. */
  run<T>(work: () => T): T;
  /** Ends it, once; later calls change nothing. */
  end(attributes?: SpanAttributes): void;
}

/** How a process tells where its time goes. */
export interface Tracing {
  /**
   * Begins a span: of the span around it, else of the caller's trace, else of the trace of the correlation id, which all
   * processes agree on. `client` spans exist inside others alone: a call for no request and no job is counted, not traced.
   */
  begin(name: string, start: SpanStart): Span;
  /** Sends what is left, within some two seconds. Never rejects. */
  close(): Promise<void>;
}

/** Tells nothing of what it runs. */
export const NO_SPAN: Span = { run: (work) => work(), end: () => undefined };

/** Where nobody wants to know. */
export const NO_TRACING: Tracing = { begin: () => NO_SPAN, close: async () => undefined };
