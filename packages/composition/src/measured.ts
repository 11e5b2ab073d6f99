import type { Embedder } from "@pipeline/embedding";
import type { LlamaParseClient } from "@pipeline/llamaparse";
import { type CallMetrics, measureCall } from "@pipeline/metrics";
import type { ObjectStore, SignUploadInput } from "@pipeline/storage";

/** The same store; how long each request to it took, and how it ended, is counted. A download lasts until its first byte. */
export function measureStore<S extends ObjectStore>(store: S, metrics: CallMetrics): S {
  const measure = <T>(operation: string, call: () => Promise<T>): Promise<T> =>
    measureCall(metrics, { provider: store.kind, operation }, call);
  return {
    ...store,
    signUpload: (input: SignUploadInput) => measure("sign_upload", () => store.signUpload(input)),
    stat: (key: string) => measure("stat", () => store.stat(key)),
    download: (key: string, options: { signal?: AbortSignal }) =>
      measure("download", () => store.download(key, options)),
    remove: (keys: string[]) => measure("remove", () => store.remove(keys)),
    check: () => measure("check", () => store.check()),
  };
}

/** The same embedder; besides, the tokens are counted that its provider bills, and what they cost. */
export function measureEmbedder(embedder: Embedder, metrics: CallMetrics): Embedder {
  const provider = embedder.provider?.name ?? "local";
  const usdPerToken = (embedder.provider?.usdPerMillionTokens ?? 0) / 1_000_000;
  return {
    ...embedder,
    embed: async (texts, options) => {
      const result = await measureCall(metrics, { provider, operation: "embed" }, () => embedder.embed(texts, options));
      metrics.tokens.inc({ provider }, result.total_tokens);
      metrics.cost.inc({ provider }, result.total_tokens * usdPerToken);
      return result;
    },
  };
}

export function measureLlamaParse(client: LlamaParseClient, metrics: CallMetrics): LlamaParseClient {
  const measure = <T>(operation: string, call: () => Promise<T>): Promise<T> =>
    measureCall(metrics, { provider: "llamaparse", operation }, call);
  return {
    ...client,
    submit: (submission, options) => measure("submit", () => client.submit(submission, options)),
    findJob: (query, options) => measure("find_job", () => client.findJob(query, options)),
    status: (id, options) => measure("status", () => client.status(id, options)),
    result: (id, options) => measure("result", () => client.result(id, options)),
    cancel: (id, options) => measure("cancel", () => client.cancel(id, options)),
  };
}
