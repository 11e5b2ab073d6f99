import { type Answer, jsonAnswer } from "./answer.ts";
import type { Exchange } from "./exchange.ts";

/** Shared secrets are never listed, so a project of the older kind has an empty list. */
export async function showPublicKeys({ project }: Exchange): Promise<Answer> {
  const answer = jsonAnswer({ keys: project.keys.jwks.keys.filter((key) => key.kty !== "oct") });
  return { ...answer, headers: { ...answer.headers, "cache-control": "public, max-age=600" } };
}
