import { expect, test } from "vitest";
import { visitTerms } from "./lexical-terms.ts";

function listTerms(text: string): string[] {
  const terms: string[] = [];
  visitTerms(text, (term) => terms.push(term));
  return terms;
}

test.for<{ subject: string; text: string; terms: string[] }>([
  {
    subject: "words are stemmed",
    text: "policies POLICY renewals renewed",
    terms: ["polici", "polici", "renew", "renew"],
  },
  { subject: "the words of asking are dropped", text: "How much do I have to pay for it?", terms: ["pai"] },
  { subject: "amounts are plain numbers", text: "$1,500.00 or 20%", terms: ["dollar", "1500", "20", "percent"] },
  { subject: "fractions keep their point", text: "12.5 kg, 3.", terms: ["12.5", "kg", "3"] },
  { subject: "codes count whole and in parts", text: "HX-2291", terms: ["hx2291", "hx", "2291"] },
  { subject: "apostrophes are dropped", text: "insurer's l’assurance don't", terms: ["insur", "assur"] },
  {
    subject: "diacritics and ligatures are folded",
    text: "Café Straße ﬁre łódź",
    terms: ["cafe", "strass", "fire", "lodz"],
  },
  { subject: "other alphabets stay whole", text: "Москва हिन्दी", terms: ["москва", "हिन्दी"] },
  { subject: "scripts without spaces become pairs", text: "保険料100円", terms: ["保険", "険料", "100", "円"] },
  { subject: "marks alone are nothing", text: "— !! … \u0301", terms: [] },
])("$subject", ({ text, terms }) => {
  expect(listTerms(text)).toEqual(terms);
});

test.for(["a", "a-", "a'", "1,", "123,", "保", "é_"])("a million times %j is no trap", (unit) => {
  expect(() => listTerms(unit.repeat(1_000_000))).not.toThrow();
});
