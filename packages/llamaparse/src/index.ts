export { createLlamaParseClient } from "./client.ts";
export type { CallOptions, FindJobQuery, LlamaParseClient, LlamaParseOptions, ResultOptions } from "./client.ts";
export { CREDITS_PER_PAGE, TIERS, type Tier, USD_PER_CREDIT } from "./tiers.ts";
export { isEnded, type ProviderJob, type ProviderStatus } from "./provider-job.ts";
export type { ProviderResult } from "./read-result.ts";
export type { Submission, WebhookTarget } from "./submission-form.ts";
export { DEFAULT_JOB_TIMEOUTS, longestJobMs, type JobTimeouts } from "./timeouts.ts";
export { isSignatureValid, parseWebhook, readSignedWebhook } from "./webhook.ts";
export type { SignedDelivery, WebhookEvent } from "./webhook.ts";
