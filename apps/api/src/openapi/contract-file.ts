import { join } from "node:path";
import type { ContractDocument } from "./contract-document.ts";

/** Where the contract is committed; a test compares it with what the routes say. */
export const CONTRACT_FILE = join(import.meta.dirname, "../../../../openapi.json");

export function printContract(document: ContractDocument): string {
  return `${JSON.stringify(document, undefined, 2)}\n`;
}
