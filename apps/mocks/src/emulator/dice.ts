import { createHash } from "node:crypto";

/** From and to, both included. */
export type Range = readonly [low: number, high: number];

/** Numbers that depend on a seed and a name alone, and not on what others have drawn before. */
export interface Dice {
  /** 0 up to, not including, 1. Eight different numbers, then they repeat. */
  next(): number;
  /** A whole number. */
  between(range: Range): number;
}

export function createDice(seed: number, name: string): Dice {
  const digest = createHash("sha256").update(`${seed}\n${name}`).digest();
  let drawn = 0;
  const next = (): number => {
    const word = digest.readUInt32BE((drawn % 8) * 4);
    drawn += 1;
    return word / 2 ** 32;
  };
  return { next, between: ([low, high]) => low + Math.floor(next() * (high - low + 1)) };
}
