import { createHash } from "node:crypto";
import type { EmbeddingInput } from "./embedding-request.ts";

export interface BilledInput {
  /** Of the input's text. */
  sha256: string;
  model: string;
  tokens: number;
  paid_count: number;
  /** Payments whose answer did not reach the client: paying again was no mistake. */
  lost_count: number;
  /** Payments after one whose answer was not lost. */
  paid_again_count: number;
}

/** What the service would bill, input by input. */
export interface Ledger {
  /** Books one answer; call what is returned when it turns out lost. */
  bill(model: string, inputs: readonly EmbeddingInput[]): () => void;
  read(): { billed_tokens: number; paid_again_count: number; inputs: BilledInput[] };
}

interface Payment {
  isLost: boolean;
}

interface Entry {
  sha256: string;
  model: string;
  tokens: number;
  payments: Payment[];
}

export function createLedger(): Ledger {
  const booked = new Map<string, Entry>();
  return {
    bill(model, inputs) {
      const payment: Payment = { isLost: false };
      for (const { text, tokens } of inputs) {
        const sha256 = createHash("sha256").update(text).digest("hex");
        const entry = booked.get(`${model} ${sha256}`) ?? { sha256, model, tokens, payments: [] };
        booked.set(`${model} ${sha256}`, entry);
        entry.payments.push(payment);
      }
      return () => {
        payment.isLost = true;
      };
    },
    read() {
      const inputs = [...booked.values()].map(judge);
      return {
        billed_tokens: inputs.reduce((sum, { tokens, paid_count }) => sum + tokens * paid_count, 0),
        paid_again_count: inputs.reduce((sum, { paid_again_count }) => sum + paid_again_count, 0),
        inputs,
      };
    },
  };
}

function judge({ sha256, model, tokens, payments }: Entry): BilledInput {
  const firstKept = payments.findIndex(({ isLost }) => !isLost);
  return {
    sha256,
    model,
    tokens,
    paid_count: payments.length,
    lost_count: payments.filter(({ isLost }) => isLost).length,
    paid_again_count: firstKept === -1 ? 0 : payments.length - firstKept - 1,
  };
}
