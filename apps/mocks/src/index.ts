export {
  startLlamaParse,
  type LlamaParse,
  type LlamaParseOptions,
  type LlamaParseStats,
} from "./llamaparse/start-llamaparse.ts";
export { startOpenAi, type OpenAi, type OpenAiOptions, type OpenAiStats } from "./openai/start-openai.ts";
export { MOCK_PORTS, type Mocks, type MocksOptions, startMocks } from "./start-mocks.ts";
