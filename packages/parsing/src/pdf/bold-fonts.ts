import type { PDFPageProxy } from "pdfjs-dist/legacy/build/pdf.mjs";
import { z } from "zod";

/** The operators of a page cost as much as its text, and most documents show all their fonts on a few pages. */
const MAX_PAGES_ASKED = 8;

const fontSchema = z.object({
  bold: z.boolean().optional(),
  black: z.boolean().optional(),
  name: z.string().optional(),
});

/** Remembers which fonts are bold. pdf.js tells only when it prepares a page's drawing, so a few pages are prepared. */
export function createBoldFonts(): {
  find: (page: PDFPageProxy, fonts: ReadonlySet<string>) => Promise<ReadonlySet<string>>;
} {
  const known = new Set<string>();
  const bold = new Set<string>();
  let asked = 0;
  return {
    async find(page, fonts) {
      const unknown = [...fonts].filter((font) => !known.has(font));
      if (unknown.length === 0 || asked >= MAX_PAGES_ASKED) return bold;
      asked += 1;
      // A page that cannot be drawn has text all the same; its fonts then count as regular.
      await page.getOperatorList().catch(() => undefined);
      for (const font of unknown) {
        known.add(font);
        if (isBoldFont(page, font)) bold.add(font);
      }
      return bold;
    },
  };
}

function isBoldFont(page: PDFPageProxy, font: string): boolean {
  if (!page.commonObjs.has(font)) return false;
  const details = fontSchema.safeParse(page.commonObjs.get(font));
  if (!details.success) return false;
  const { bold, black, name } = details.data;
  return bold === true || black === true || /bold|black|heavy|demi/i.test(name ?? "");
}
