import { ACCENT, INK, LINE, MARGINS, type Pdf, TINT } from "./pdf-page.ts";

type Column = { x: number; width: number };

const SIZE = 8.8;
const PADDING = 4;

/** Draws a table across the page; its first row is the header and is repeated on every page that the table reaches. */
export function drawTable(pdf: Pdf, rows: string[][]): void {
  const [header, ...body] = rows;
  if (header === undefined) return;
  const columns = fitColumns(pdf, rows);
  pdf.y += 3;
  drawRow(pdf, header, { columns, isHeader: true });
  for (const row of body) {
    const height = rowHeight(pdf, row, columns);
    if (pdf.y + height > pdf.page.height - MARGINS.bottom) {
      pdf.addPage();
      drawRow(pdf, header, { columns, isHeader: true });
    }
    drawRow(pdf, row, { columns, isHeader: false });
  }
  pdf.x = MARGINS.left;
  pdf.y += 10;
}

/** Shares the width out by the square root of each column's longest cell, so that long notes don't starve figures. */
function fitColumns(pdf: Pdf, rows: string[][]): Column[] {
  const total = pdf.page.width - MARGINS.left - MARGINS.right;
  const weights = (rows[0] ?? []).map((_, column) => {
    return Math.sqrt(Math.max(...rows.map((row) => (row[column] ?? "").length), 10));
  });
  const sum = weights.reduce((left, right) => left + right, 0);
  let x = MARGINS.left;
  return weights.map((weight) => {
    const column = { x, width: (total * weight) / sum };
    x += column.width;
    return column;
  });
}

function rowHeight(pdf: Pdf, row: string[], columns: Column[]): number {
  pdf.fontSize(SIZE);
  const heights = columns.map((column, index) => {
    return pdf.heightOfString(row[index] ?? "", { width: column.width - 2 * PADDING });
  });
  return Math.max(...heights) + 2 * PADDING;
}

function drawRow(pdf: Pdf, row: string[], { columns, isHeader }: { columns: Column[]; isHeader: boolean }): void {
  pdf.font(isHeader ? "Helvetica-Bold" : "Helvetica");
  const height = rowHeight(pdf, row, columns);
  const top = pdf.y;
  const left = columns[0]?.x ?? 0;
  const width = columns.reduce((sum, column) => sum + column.width, 0);
  if (isHeader) pdf.rect(left, top, width, height).fill(TINT);
  pdf
    .moveTo(left, top + height)
    .lineTo(left + width, top + height)
    .lineWidth(0.5)
    .stroke(LINE);
  pdf.fontSize(SIZE).fillColor(isHeader ? ACCENT : INK);
  for (const [index, column] of columns.entries()) {
    pdf.text(row[index] ?? "", column.x + PADDING, top + PADDING, { width: column.width - 2 * PADDING });
  }
  pdf.y = top + height;
}
