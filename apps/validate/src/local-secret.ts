import { compactVerify } from "jose";
import type { LocalSecret } from "./config.ts";
import type { Http } from "./http.ts";
import { signUserToken } from "./tokens.ts";

interface Deployed {
  api: Http;
  /** A user's token that was given. */
  token: string | undefined;
}

/** False where the deployment signs with another secret than this checkout; true where it cannot be asked. */
export async function isOfDeployment({ secret }: LocalSecret, { api, token }: Deployed): Promise<boolean> {
  if (token !== undefined && !(await isSignedWith(secret, token))) return false;
  const answer = await api("/documents?limit=1", { token: await signUserToken({ secret }) }).catch(() => undefined);
  return answer?.status !== 401;
}

async function isSignedWith(secret: string, token: string): Promise<boolean> {
  const verified = compactVerify(token, new TextEncoder().encode(secret));
  return verified.then(
    () => true,
    () => false,
  );
}
