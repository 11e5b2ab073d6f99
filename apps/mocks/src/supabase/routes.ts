import type { Answer } from "./answer.ts";
import { createBucket, deleteBucket, listBuckets, showBucket } from "./bucket-routes.ts";
import type { Exchange } from "./exchange.ts";
import { listObjects } from "./list-route.ts";
import {
  download,
  downloadSigned,
  headOf,
  removeObject,
  removeObjects,
  showInfo,
  signDownload,
} from "./object-routes.ts";
import { showPublicKeys } from "./public-keys-route.ts";
import { refuse } from "./refusals.ts";
import {
  continueResumable,
  createResumable,
  describeResumable,
  showResumable,
  terminateResumable,
} from "./resumable-routes.ts";
import { signUpload, uploadAsService, uploadToSignedUrl } from "./upload-routes.ts";

export interface Route {
  /** Method and pattern: what faults and counts are named by. */
  name: string;
  handle: (exchange: Exchange) => Promise<Answer>;
}

/** The first match counts. `:name` is one segment, `*` the rest; "{/sign}?" is there or not. */
const ROUTES: ReadonlyArray<readonly [name: string, handle: Route["handle"]]> = [
  ["GET /auth/v1/.well-known/jwks.json", showPublicKeys],
  ["POST /storage/v1/bucket", createBucket],
  ["GET /storage/v1/bucket", listBuckets],
  ["GET /storage/v1/bucket/:bucket", showBucket],
  ["DELETE /storage/v1/bucket/:bucket", deleteBucket],
  ["POST /storage/v1/object/upload/sign/:bucket/*", signUpload],
  ["PUT /storage/v1/object/upload/sign/:bucket/*", uploadToSignedUrl],
  ["POST /storage/v1/object/sign/:bucket/*", signDownload],
  ["GET /storage/v1/object/sign/:bucket/*", downloadSigned],
  ["POST /storage/v1/object/list/:bucket", listObjects],
  ["GET /storage/v1/object/info/:bucket/*", showInfo],
  ["POST /storage/v1/object/:bucket/*", uploadAsService],
  ["GET /storage/v1/object/:bucket/*", download],
  ["HEAD /storage/v1/object/:bucket/*", async (exchange) => headOf(await download(exchange))],
  ["DELETE /storage/v1/object/:bucket", removeObjects],
  ["DELETE /storage/v1/object/:bucket/*", removeObject],
  ["POST /storage/v1/upload/resumable{/sign}?", createResumable],
  ["HEAD /storage/v1/upload/resumable{/sign}?/:id", showResumable],
  ["PATCH /storage/v1/upload/resumable{/sign}?/:id", continueResumable],
  ["DELETE /storage/v1/upload/resumable{/sign}?/:id", terminateResumable],
  ["OPTIONS /storage/v1/upload/resumable{/sign}?", describeResumable],
];

const COMPILED = ROUTES.map(([name, handle]) => {
  const [method = "", path = ""] = name.split(" ");
  const pattern = path
    .replaceAll(".", String.raw`\.`)
    .replace("{/sign}?", "(?<signed>/sign)?")
    .replaceAll(/:(\w+)/gu, "(?<$1>[^/]+)")
    .replace(/\*$/u, "(?<key>.+)");
  return { name, handle, method, pattern: new RegExp(`^${pattern}/?$`, "u") };
});

/** Undefined where nothing matches. A path that is no valid encoding is refused, as `50%.pdf` is. */
export function findRoute(
  method: string,
  pathname: string,
): { route: Route; params: Record<string, string> } | undefined {
  for (const route of COMPILED) {
    const match = route.method === method ? route.pattern.exec(pathname) : null;
    if (match !== null) return { route, params: decodeAll(match.groups ?? {}) };
  }
  return undefined;
}

function decodeAll(groups: Record<string, string | undefined>): Record<string, string> {
  const found = Object.entries(groups).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  );
  try {
    return Object.fromEntries(found.map(([name, value]) => [name, decodeURIComponent(value)]));
  } catch {
    throw refuse.invalidRequest("The path is not a valid url component");
  }
}
