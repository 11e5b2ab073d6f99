import { AppError, type Environment } from "@pipeline/runtime";
import { z } from "zod";

const TIMEOUT_MS = 10_000;
const DEFAULT_BASE_URL = "https://api.openai.com/v1";

/** What the names of OpenAI's own embedding models begin with. */
const OPENAI_PREFIX = "text-embedding-";

const modelList = z.object({ data: z.array(z.object({ id: z.string() })) });

/**
 * Lists the embedding provider's models, which costs nothing: the address answers, the key is good and the model is
 * there. Undefined where the local embedder serves. Throws permanent `embedding_unauthorized` and
 * `embedding_model_not_found`, rate_limited `embedding_rate_limited`, transient `embedding_unavailable`.
 */
export function createEmbedderCheck(environment: Environment): (() => Promise<void>) | undefined {
  const { OPENAI_API_KEY: key, OPENAI_BASE_URL: baseUrl = DEFAULT_BASE_URL, RAG_EMBEDDING_MODEL: model } = environment;
  if (key === undefined) return undefined;
  return async () => {
    const { data: models } = modelList.safeParse(await listModels(baseUrl, key));
    const names = models?.data.map(({ id }) => id) ?? [];
    // Servers of other makers need not list their models, nor under the names that they answer to.
    if (names.includes(model) || !names.some((name) => name.startsWith(OPENAI_PREFIX))) return;
    throw new AppError({
      kind: "permanent",
      code: "embedding_model_not_found",
      message: "The embedding service does not list the model of RAG_EMBEDDING_MODEL.",
    });
  };
}

/** Undefined where the server has no such list, or not for this key. */
async function listModels(baseUrl: string, key: string): Promise<unknown> {
  const response = await request(baseUrl, key);
  const text = await response.text().catch(() => undefined);
  if (text === undefined) throw unavailable();
  if (response.status === 404 || mayNotList(response.status, text)) return undefined;
  if (!response.ok) throw refusal(response.status);
  try {
    return JSON.parse(text);
  } catch {
    throw unavailable("its answer cannot be read");
  }
}

async function request(baseUrl: string, key: string): Promise<Response> {
  try {
    return await fetch(`${baseUrl}/models`, {
      headers: { authorization: `Bearer ${key}` },
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    // What `fetch` throws can quote the address and, for a key that no header may hold, the key.
    throw unavailable();
  }
}

/** Of a key that is restricted to embeddings OpenAI says this, and it is as good as any. */
function mayNotList(status: number, text: string): boolean {
  return status === 403 || (status === 401 && /missing scopes|insufficient permissions/iu.test(text));
}

function refusal(status: number): AppError {
  if (status === 401) {
    const message = "The embedding service refused OPENAI_API_KEY.";
    return new AppError({ kind: "permanent", code: "embedding_unauthorized", message });
  }
  if (status === 429) {
    const message = "The embedding service asks us to slow down.";
    return new AppError({ kind: "rate_limited", code: "embedding_rate_limited", message });
  }
  return unavailable(`status ${status}`);
}

function unavailable(reason = "no usable answer"): AppError {
  return new AppError({
    kind: "transient",
    code: "embedding_unavailable",
    message: `The embedding service is not available (${reason}).`,
  });
}
