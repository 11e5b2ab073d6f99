import { describe } from "vitest";
import { describeEmbedder } from "./embedder.suite.ts";
import { createOpenAiEmbedder } from "./openai-embedder.ts";
import { liveOpenAi } from "./testing/config.ts";

const live = liveOpenAi();

describe.skipIf(live === undefined)("with TEST_OPENAI_API_KEY", () => {
  describeEmbedder("the OpenAI embedder on a real account", () => {
    if (live === undefined) throw new Error("No account is named.");
    const { apiKey, baseUrl, model } = live;
    // The price is nobody's business here, and other servers' models have none that is known.
    return createOpenAiEmbedder({
      apiKey,
      model,
      usdPerMillionTokens: 0,
      ...(baseUrl === undefined ? {} : { baseUrl }),
    });
  });
});
