import { isIP } from "node:net";
import { createLlamaParseClient, type LlamaParseClient, type Tier } from "@pipeline/llamaparse";
import type { Environment } from "@pipeline/runtime";

/** How documents are read by LlamaParse. */
export interface LlamaParseSetup {
  client: LlamaParseClient;
  tier: Tier;
  /** A dated version of the tier, or `latest`. */
  version: string;
  /** Where the provider calls back for a job; undefined: it cannot reach us, and looking there finds the end alone. */
  webhookUrl?: ((jobId: string) => string) | undefined;
  /** What reads a document when the provider's faults outlast the retries; undefined: nothing does, the job fails. */
  fallback?: "local" | undefined;
}

/** Below the API's prefix, with the job's id behind it. */
const WEBHOOK_PATH = "/api/upload-pipeline/webhooks/llamaparse/";

/** LlamaParse where a key is configured; undefined: documents are read on this machine. */
export function createLlamaParse(environment: Environment): LlamaParseSetup | undefined {
  const { LLAMAPARSE_API_KEY: apiKey, LLAMAPARSE_BASE_URL: baseUrl } = environment;
  if (apiKey === undefined) return undefined;
  const { LLAMAPARSE_TIER: tier, LLAMAPARSE_VERSION: version } = environment;
  const client = createLlamaParseClient({ apiKey, tier, version, ...(baseUrl === undefined ? {} : { baseUrl }) });
  const fallback = environment.LLAMAPARSE_FALLBACK;
  return { client, tier, version, fallback, webhookUrl: webhookUrl(environment.SERVICE_PUBLIC_URL) };
}

/** The provider's limit is 199 characters; behind this much comes the path, with the id. */
const LONGEST_PUBLIC_URL = 199 - `${WEBHOOK_PATH}00000000-0000-0000-0000-000000000000`.length;

/** Only where the provider calls: by TLS, a name that everybody can look up, and no longer than it takes. */
function webhookUrl(publicUrl: string | undefined): ((jobId: string) => string) | undefined {
  if (publicUrl === undefined || publicUrl.length > LONGEST_PUBLIC_URL) return undefined;
  const { protocol, hostname } = new URL(publicUrl);
  if (protocol !== "https:" || !isPublicName(hostname)) return undefined;
  return (jobId) => `${publicUrl}${WEBHOOK_PATH}${jobId}`;
}

function isPublicName(hostname: string): boolean {
  const isAddress = isIP(hostname.replaceAll(/^\[|\]$/g, "")) !== 0;
  return !isAddress && hostname.includes(".") && !/\.(local|localhost|internal)\.?$/.test(hostname);
}
