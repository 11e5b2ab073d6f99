import { type Tier, TIERS } from "@pipeline/llamaparse";

export interface LiveLlamaParse {
  apiKey: string;
  baseUrl?: string;
  tier: Tier;
  version: string;
}

/**
 * The account that TEST_LLAMAPARSE_API_KEY names, at TEST_LLAMAPARSE_BASE_URL or in North America; undefined without a key.
 * TEST_LLAMAPARSE_TIER and TEST_LLAMAPARSE_VERSION choose what is paid.
 */
export function liveLlamaParse(): LiveLlamaParse | undefined {
  const apiKey = process.env["TEST_LLAMAPARSE_API_KEY"] || undefined;
  if (apiKey === undefined) return undefined;
  const baseUrl = process.env["TEST_LLAMAPARSE_BASE_URL"] || undefined;
  return {
    apiKey,
    ...(baseUrl === undefined ? {} : { baseUrl }),
    tier: TIERS.find((name) => name === process.env["TEST_LLAMAPARSE_TIER"]) ?? "cost_effective",
    version: process.env["TEST_LLAMAPARSE_VERSION"] || "latest",
  };
}
