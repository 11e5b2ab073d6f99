import type { PDFPageProxy } from "pdfjs-dist/legacy/build/pdf.mjs";
import { z } from "zod";

/** What somebody typed into a form's field: `rect` is left, bottom, right, top in page space. */
export interface FormValue {
  text: string;
  rect: [number, number, number, number];
}

const fieldSchema = z.object({
  subtype: z.literal("Widget"),
  fieldType: z.enum(["Tx", "Ch"]),
  fieldValue: z.union([z.string(), z.array(z.string())]),
  password: z.boolean().optional(),
  hidden: z.boolean().optional(),
  rect: z.tuple([z.number(), z.number(), z.number(), z.number()]),
});

/** Filled-in text and choice fields. They are no part of a page's own text, yet in a form they are what counts. */
export async function readFormValues(page: PDFPageProxy): Promise<FormValue[]> {
  // Broken annotations do not make a page unreadable.
  const annotations = await page.getAnnotations({ intent: "display" }).catch(() => []);
  return annotations.flatMap((annotation: unknown) => {
    const field = fieldSchema.safeParse(annotation);
    if (!field.success || field.data.password === true || field.data.hidden === true) return [];
    const { fieldValue, rect } = field.data;
    const text = (typeof fieldValue === "string" ? fieldValue : fieldValue.join(", ")).trim();
    return text === "" ? [] : [{ text, rect }];
  });
}
