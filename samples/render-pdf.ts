import PdfKit from "pdfkit";
import { ACCENT, GREY, INK, LINE, MARGINS, type Pdf, TINT } from "./pdf-page.ts";
import { drawTable } from "./pdf-table.ts";
import type { Block, Run } from "./read-source.ts";

export type PdfOptions = { title: string; header: string; date: string };

const BODY_SIZE = 10;
const HEADING_SIZES = [28, 17, 12.5];

/** Renders blocks as a PDF booklet. `date` is `YYYY-MM-DD`; the same blocks and options give the same bytes. */
export async function renderPdf(blocks: Block[], options: PdfOptions): Promise<Uint8Array> {
  const created = new Date(`${options.date}T09:00:00Z`);
  const pdf = new PdfKit({
    size: "LETTER",
    margins: MARGINS,
    bufferPages: true,
    // zlib's output differs between its builds and processors; plain streams are the same bytes everywhere.
    compress: false,
    lang: "en",
    info: { Title: options.title, Author: "Harbour Mutual", CreationDate: created, ModDate: created },
  });
  const finished = collect(pdf);
  drawCoverBand(pdf);
  for (const [index, block] of blocks.entries()) {
    makeRoom(pdf, blocks.slice(index));
    drawBlock(pdf, block);
  }
  drawPageFurniture(pdf, options.header);
  pdf.end();
  return finished;
}

function collect(pdf: Pdf): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    pdf.on("data", (part: Uint8Array) => parts.push(part));
    pdf.on("end", () => resolve(Buffer.concat(parts)));
    pdf.on("error", reject);
  });
}

function drawCoverBand(pdf: Pdf): void {
  pdf.rect(0, 0, pdf.page.width, 210).fill(ACCENT);
  pdf.font("Helvetica-Bold").fontSize(20).fillColor("#ffffff").text("Harbour Mutual", MARGINS.left, 92);
  pdf.font("Helvetica").fontSize(11).text("Group Benefits");
  pdf.y = 270;
}

/** Starts a new page where what leads in to a block would stand alone at the foot of one, or a short block be torn. */
function makeRoom(pdf: Pdf, [block, ...following]: Block[]): void {
  if (block === undefined || block.kind === "page_break") return;
  const left = pdf.page.height - MARGINS.bottom - pdf.y;
  if (!leadsIn(block)) {
    const needed = heightOf(pdf, block);
    if (needed > left && needed < 150) pdf.addPage();
    return;
  }
  const opened = following.findIndex((next) => !leadsIn(next));
  const leads = [block, ...following.slice(0, opened)];
  const start = following[opened];
  const needed = leads.reduce((sum, lead) => sum + heightOf(pdf, lead), 0);
  if (needed + (start === undefined ? 0 : Math.min(heightOf(pdf, start), 110)) > left) pdf.addPage();
}

function leadsIn(block: Block): boolean {
  return block.kind === "heading" || (block.kind === "paragraph" && plain(block.runs).endsWith(":"));
}

function heightOf(pdf: Pdf, block: Block): number {
  const width = textWidth(pdf);
  switch (block.kind) {
    case "heading":
      return headingSize(block.depth) * 2.4;
    case "paragraph":
    case "note":
      return body(pdf).heightOfString(plain(block.runs), { width, lineGap: 2 });
    case "list":
      return block.items.reduce(
        (sum, item) => sum + body(pdf).heightOfString(plain(item), { width: width - 20 }) + 5,
        0,
      );
    case "table":
      return block.rows.length * 19;
    case "page_break":
      return 0;
  }
}

function textWidth(pdf: Pdf): number {
  return pdf.page.width - MARGINS.left - MARGINS.right;
}

function body(pdf: Pdf): Pdf {
  return pdf.font("Helvetica").fontSize(BODY_SIZE).fillColor(INK);
}

function plain(runs: Run[]): string {
  return runs.map((run) => run.text).join("");
}

function headingSize(depth: number): number {
  return HEADING_SIZES[depth - 1] ?? BODY_SIZE;
}

function drawBlock(pdf: Pdf, block: Block): void {
  switch (block.kind) {
    case "heading":
      return drawHeading(pdf, block);
    case "paragraph":
      drawRuns(pdf, block.runs, { x: MARGINS.left, width: textWidth(pdf) });
      pdf.y += 7;
      return;
    case "note":
      return drawNote(pdf, block.runs);
    case "list":
      return drawList(pdf, block);
    case "table":
      return drawTable(pdf, block.rows);
    case "page_break":
      pdf.addPage();
  }
}

function drawHeading(pdf: Pdf, { depth, text }: { depth: number; text: string }): void {
  const size = headingSize(depth);
  const isFirstOnPage = pdf.y <= MARGINS.top;
  if (!isFirstOnPage) pdf.y += depth === 2 ? 16 : 7;
  pdf
    .font("Helvetica-Bold")
    .fontSize(size)
    .fillColor(ACCENT)
    .text(text, MARGINS.left, pdf.y, { width: textWidth(pdf) });
  if (depth === 2) pdf.outline.addItem(text);
  pdf.y += size * 0.45;
}

function drawRuns(pdf: Pdf, runs: Run[], { x, width }: { x: number; width: number }): void {
  body(pdf);
  for (const [index, run] of runs.entries()) {
    const options = { width, lineGap: 2, continued: index < runs.length - 1 };
    pdf.font(fontOf(run));
    // A position given again after the first run would start a new line instead of continuing this one.
    if (index === 0) pdf.text(run.text, x, pdf.y, options);
    else pdf.text(run.text, options);
  }
}

function fontOf(run: Run): string {
  if (run.bold) return "Helvetica-Bold";
  return run.italic ? "Helvetica-Oblique" : "Helvetica";
}

function drawNote(pdf: Pdf, runs: Run[]): void {
  const inner = { x: MARGINS.left + 14, width: textWidth(pdf) - 28 };
  const height = body(pdf).heightOfString(plain(runs), { width: inner.width, lineGap: 2 }) + 26;
  const top = pdf.y + 8;
  pdf.rect(MARGINS.left, top, textWidth(pdf), height).fill(TINT);
  pdf.y = top + 13;
  drawRuns(pdf, runs, inner);
  pdf.y = top + height + 12;
}

function drawList(pdf: Pdf, list: { ordered: boolean; items: Run[][] }): void {
  const left = { x: MARGINS.left + 20, width: textWidth(pdf) - 20 };
  for (const [index, item] of list.items.entries()) {
    const height = body(pdf).heightOfString(plain(item), { width: left.width, lineGap: 2 });
    if (pdf.y + height > pdf.page.height - MARGINS.bottom) pdf.addPage();
    const top = pdf.y;
    body(pdf).text(list.ordered ? `${index + 1}.` : "•", MARGINS.left + 6, top, { lineBreak: false });
    pdf.y = top;
    drawRuns(pdf, item, left);
    pdf.y += 3;
  }
  pdf.y += 5;
}

/** The page count is known only at the end, so headers and footers are drawn over the finished pages. */
function drawPageFurniture(pdf: Pdf, header: string): void {
  const { start, count } = pdf.bufferedPageRange();
  for (let page = start; page < start + count; page++) {
    pdf.switchToPage(page);
    // pdfkit adds a page when text is drawn inside the bottom margin.
    pdf.page.margins = { ...MARGINS, top: 0, bottom: 0 };
    pdf.font("Helvetica").fontSize(8.5).fillColor(GREY);
    if (page > start) drawHeader(pdf, header);
    const footer = `Page ${page + 1} of ${count}`;
    const y = pdf.page.height - 40;
    pdf.text(footer, MARGINS.left, y, { width: textWidth(pdf), align: "center", lineBreak: false });
  }
}

function drawHeader(pdf: Pdf, header: string): void {
  pdf.text(header, MARGINS.left, 38, { width: textWidth(pdf), lineBreak: false });
  const right = pdf.page.width - MARGINS.right;
  pdf.moveTo(MARGINS.left, 54).lineTo(right, 54).lineWidth(0.6).stroke(LINE);
}
