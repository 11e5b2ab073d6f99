import type { IncomingMessage, ServerResponse } from "node:http";
import type { Answer } from "./answer.ts";
import type { Fault } from "./faults.ts";

/** How much of a refused body is read and thrown away, so that its sender gets to read the answer. */
const MAX_DISCARDED_BYTES = 64 * 1024 * 1024;

export function sendAnswer(
  exchange: { request: IncomingMessage; response: ServerResponse; fault: Fault | undefined },
  answer: Answer,
): void {
  const { request, response, fault } = exchange;
  discardRest(request);
  if (fault === "cut_answer" || fault === "short_answer") {
    sendHalf(response, { answer, isCut: fault === "cut_answer" });
    return;
  }
  // An answer to HEAD brings the length of what it leaves out; a 204 must have none.
  const length = answer.status === 204 ? {} : { "content-length": String(answer.body.byteLength) };
  response.writeHead(answer.status, { ...length, ...answer.headers });
  response.end(answer.body);
}

/** Either the connection breaks before all promised bytes are there, or nothing was promised and nothing breaks. */
function sendHalf(response: ServerResponse, { answer, isCut }: { answer: Answer; isCut: boolean }): void {
  const half = answer.body.subarray(0, Math.floor(answer.body.byteLength / 2));
  if (!isCut) {
    response.writeHead(answer.status, { ...answer.headers, "transfer-encoding": "chunked" });
    response.end(half);
    return;
  }
  response.writeHead(answer.status, { ...answer.headers, "content-length": String(answer.body.byteLength) });
  if (half.byteLength === 0) response.destroy();
  else response.write(half, () => response.destroy());
}

function discardRest(request: IncomingMessage): void {
  let discarded = 0;
  request.on("data", (chunk: Uint8Array) => {
    discarded += chunk.byteLength;
    if (discarded > MAX_DISCARDED_BYTES) request.destroy();
  });
  request.resume();
}
