export { startOpenAi, type OpenAi, type OpenAiOptions, type OpenAiStats } from "./openai/start-openai.ts";
