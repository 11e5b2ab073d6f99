export interface LiveOpenAi {
  apiKey: string;
  baseUrl: string | undefined;
  model: string;
}

/** The account that TEST_OPENAI_API_KEY names, at TEST_OPENAI_BASE_URL or OpenAI's own; undefined without a key. */
export function liveOpenAi(): LiveOpenAi | undefined {
  const apiKey = process.env["TEST_OPENAI_API_KEY"] || undefined;
  if (apiKey === undefined) return undefined;
  return {
    apiKey,
    baseUrl: process.env["TEST_OPENAI_BASE_URL"] || undefined,
    model: process.env["TEST_OPENAI_MODEL"] || "text-embedding-3-small",
  };
}
