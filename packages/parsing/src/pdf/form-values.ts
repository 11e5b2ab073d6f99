import type { PDFPageProxy } from "pdfjs-dist/legacy/build/pdf.mjs";
import { z } from "zod";

/** What somebody typed onto a page: `rect` is left, bottom, right, top in page space. */
export interface FormValue {
  text: string;
  rect: [number, number, number, number];
}

const rectSchema = z.tuple([z.number(), z.number(), z.number(), z.number()]);

const fieldSchema = z
  .object({
    subtype: z.literal("Widget"),
    fieldType: z.enum(["Tx", "Ch"]),
    fieldValue: z.union([z.string(), z.array(z.string())]),
    password: z.boolean().optional(),
    hidden: z.boolean().optional(),
    rect: rectSchema,
  })
  .transform(({ fieldValue, password, hidden, rect }) => ({
    text: typeof fieldValue === "string" ? fieldValue : fieldValue.join(", "),
    isHidden: password === true || hidden === true,
    rect,
  }));

const freeTextSchema = z
  .object({
    subtype: z.literal("FreeText"),
    contentsObj: z.object({ str: z.string() }),
    hidden: z.boolean().optional(),
    rect: rectSchema,
  })
  .transform(({ contentsObj, hidden, rect }) => ({ text: contentsObj.str, isHidden: hidden === true, rect }));

const typedSchema = z.union([fieldSchema, freeTextSchema]);

/**
 * Filled-in text and choice fields, and text put on top with a viewer's typewriter. They are no part of
 * the page's own text, yet in a form they are what counts.
 */
export async function readFormValues(page: PDFPageProxy): Promise<FormValue[]> {
  // Broken annotations do not make a page unreadable.
  const annotations = await page.getAnnotations({ intent: "display" }).catch(() => []);
  return annotations.flatMap((annotation: unknown) => {
    const typed = typedSchema.safeParse(annotation);
    if (!typed.success || typed.data.isHidden) return [];
    return linesOf(typed.data);
  });
}

/** Several lines share the height of their rectangle, top to bottom. */
function linesOf(typed: FormValue): FormValue[] {
  const lines = typed.text.split(/\r\n?|\n/).map((line) => line.trim());
  const [left, bottom, right, top] = typed.rect;
  const height = (top - bottom) / lines.length;
  return lines.flatMap((text, index): FormValue[] =>
    text === "" ? [] : [{ text, rect: [left, top - (index + 1) * height, right, top - index * height] }],
  );
}
