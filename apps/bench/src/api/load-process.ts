import { randomBytes } from "node:crypto";
import { request as openRequest, type ClientRequest } from "node:http";
import autocannon, { type Request } from "autocannon";
import { sendToParent } from "../queue/child.ts";
import { loadInput } from "./messages.ts";

/** Sends requests from a process of its own, so that making them costs the server nothing but the machine. */
const input = loadInput.parse(JSON.parse(process.argv[2] ?? "{}"));
const open = new Set<ClientRequest>();
await Promise.all(input.streams.map(openStream));
const { rate } = input;
const result = await autocannon({
  url: input.url,
  connections: input.connections,
  duration: input.seconds,
  ...(rate === undefined ? {} : { overallRate: rate }),
  requests: input.requests.map(toRequest),
});
await sendToParent({
  requests_per_second: result["2xx"] / result.duration,
  p50_ms: result.latency.p50,
  p99_ms: result.latency.p99,
  answered: result["2xx"],
  failed: result.non2xx + result.errors,
  streams: open.size,
});
for (const stream of open) stream.destroy();
process.disconnect();

function authorize(bearer: number | undefined): Record<string, string> {
  return bearer === undefined ? {} : { authorization: `Bearer ${input.tokens[bearer]}` };
}

function toRequest({ path, bearer, isUpload }: (typeof input.requests)[number]): Request {
  const headers = authorize(bearer);
  if (!isUpload) return { method: "GET", path, headers };
  return {
    method: "POST",
    path,
    headers: { ...headers, "content-type": "application/json" },
    setupRequest: (request) => ({ ...request, body: promiseOfFile() }),
  };
}

function promiseOfFile(): string {
  const sha256 = randomBytes(32).toString("hex");
  return JSON.stringify({ filename: "letter.txt", mime: "text/plain", bytes_len: 12, sha256 });
}

/** Resolves with the first bytes of the stream. */
function openStream({ path, bearer }: (typeof input.streams)[number]): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = openRequest(new URL(path, input.url), { headers: authorize(bearer) });
    request.on("response", (response) => {
      if (response.statusCode !== 200) {
        response.resume();
        reject(new Error(`A stream was answered with ${response.statusCode}.`));
        return;
      }
      open.add(request);
      response.on("close", () => open.delete(request));
      response.once("data", () => resolve());
    });
    request.on("error", (error) => {
      open.delete(request);
      reject(error);
    });
    request.end();
  });
}
