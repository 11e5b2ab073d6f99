import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { z } from "zod";

const attribute = z
  .strictObject({
    key: z.string(),
    value: z.union([
      z.strictObject({ stringValue: z.string() }).transform((value) => value.stringValue),
      z.strictObject({ intValue: z.number() }).transform((value) => value.intValue),
    ]),
  })
  .transform(({ key, value }) => [key, value] as const);

const attributes = z.array(attribute).transform((entries) => Object.fromEntries(entries));

const exported = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes }),
      scopeSpans: z.array(
        z.object({
          spans: z.array(
            z.object({
              traceId: z.string(),
              spanId: z.string(),
              parentSpanId: z.string().optional(),
              name: z.string(),
              kind: z.number(),
              attributes,
              events: z.array(z.unknown()),
              status: z.object({ code: z.number(), message: z.string().optional() }),
            }),
          ),
        }),
      ),
    }),
  ),
});

/** A span as OTLP's JSON has it; kind 1 internal, 2 server, 3 client, 5 consumer; status 2 is a failure. */
export type ReceivedSpan = z.infer<typeof exported>["resourceSpans"][number]["scopeSpans"][number]["spans"][number] & {
  resource: Record<string, string | number>;
};

/** An OTLP/HTTP receiver on loopback. */
export interface TraceReceiver {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  url: string;
  spans: ReceivedSpan[];
  /** Everything that was sent, as it came. */
  bodies: string[];
  /** Of each request. */
  headers: IncomingHttpHeaders[];
  /** The status of the next answers; 200 after that. */
  answerNext(...statuses: number[]): void;
  close(): Promise<void>;
}

export async function startTraceReceiver(): Promise<TraceReceiver> {
  const [spans, bodies, headers, planned]: [ReceivedSpan[], string[], IncomingHttpHeaders[], number[]] = [
    [],
    [],
    [],
    [],
  ];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await text(request);
    bodies.push(body);
    headers.push(request.headers);
    const status = request.url === "/v1/traces" ? (planned.shift() ?? 200) : 404;
    if (status === 200) spans.push(...spansOf(body));
    response.writeHead(status, { "content-type": "application/json" }).end("{}");
  };
  const server = createServer((request, response) => {
    void answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = z.object({ port: z.number() }).parse(server.address());
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    bodies,
    headers,
    answerNext: (...statuses) => void planned.push(...statuses),
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function spansOf(body: string): ReceivedSpan[] {
  const { resourceSpans } = exported.parse(JSON.parse(body));
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap((scope) => scope.spans.map((span) => ({ ...span, resource: resource.attributes }))),
  );
}
