import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { z } from "zod";

const slackBody = z.strictObject({
  text: z.string(),
  attachments: z.array(
    z.strictObject({
      color: z.string(),
      fields: z.array(z.strictObject({ title: z.string(), value: z.string(), short: z.boolean() })),
    }),
  ),
});

/** A message's fields by their titles, with its text. */
export type Received = Record<string, string>;

/** A webhook on loopback, of Slack's shape. */
export interface WebhookReceiver {
  url: string;
  /** What was taken, in order. */
  received: Received[];
  /** Requests so far, refused ones too. */
  requestCount(): number;
  /** What the next requests are answered with, one after the other; 200 after that. */
  answerNext(...answers: { status: number; headers?: Record<string, string> }[]): void;
  close(): Promise<void>;
}

export async function startWebhookReceiver(): Promise<WebhookReceiver> {
  const received: Received[] = [];
  const planned: { status: number; headers?: Record<string, string> }[] = [];
  let requestCount = 0;
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await text(request);
    requestCount += 1;
    const { status, headers } = planned.shift() ?? { status: 200 };
    if (status === 200) received.push(fieldsOf(body));
    response.writeHead(status, headers).end("ok");
  };
  const server = createServer((request, response) => {
    void answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = z.object({ port: z.number() }).parse(server.address());
  return {
    url: `http://127.0.0.1:${port}/services/secret-part-of-the-address`,
    received,
    requestCount: () => requestCount,
    answerNext: (...answers) => void planned.push(...answers),
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function fieldsOf(body: string): Received {
  const { text: line, attachments } = slackBody.parse(JSON.parse(body));
  const fields = attachments.flatMap((attachment) => attachment.fields);
  return { text: line, ...Object.fromEntries(fields.map(({ title, value }) => [title, value])) };
}
