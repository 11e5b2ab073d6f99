import type PdfKit from "pdfkit";

export type Pdf = InstanceType<typeof PdfKit>;

/** Points, 72 to the inch. */
export const MARGINS = { top: 76, bottom: 66, left: 62, right: 62 };

export const INK = "#1d2b33";
export const ACCENT = "#12384f";
export const GREY = "#5b6b75";
export const LINE = "#a9b7c0";
export const TINT = "#e3ecf1";
