import {
  AlignmentType,
  BorderStyle,
  Document,
  Footer,
  Header,
  HeadingLevel,
  LevelFormat,
  Packer,
  PageBreak,
  PageNumber,
  Paragraph,
  Table,
  TableCell,
  TableLayoutType,
  TableRow,
  TextRun,
  WidthType,
} from "docx";
import { strFromU8, strToU8, unzipSync, zipSync } from "fflate";
import type { Block, Run } from "./read-source.ts";

export type DocxOptions = { title: string; header: string; date: string };

// Twentieths of a point: US letter, less two margins of 0.9 inch.
const TEXT_WIDTH = 12_240 - 2 * 1296;
const ACCENT = "12384F";

/** Renders blocks as a Word file. `date` is `YYYY-MM-DD`; the same blocks and options give the same bytes. */
export async function renderDocx(blocks: Block[], options: DocxOptions): Promise<Uint8Array> {
  const document = new Document({
    title: options.title,
    creator: "Harbour Mutual",
    lastModifiedBy: "Harbour Mutual",
    styles: {
      default: {
        document: { run: { font: "Calibri", size: 22 }, paragraph: { spacing: { after: 130, line: 264 } } },
        heading1: heading(40, { before: 0, after: 60 }),
        heading2: heading(30, { before: 160, after: 100 }),
        heading3: heading(24, { before: 180, after: 80 }),
      },
    },
    numbering: {
      config: [listLevel("bullets", LevelFormat.BULLET, "•"), listLevel("steps", LevelFormat.DECIMAL, "%1.")],
    },
    sections: [
      {
        properties: { page: { size: { width: 12_240, height: 15_840 }, margin: margins() } },
        headers: { default: new Header({ children: [smallLine([options.header], AlignmentType.LEFT)] }) },
        footers: { default: new Footer({ children: [smallLine(pageOf(), AlignmentType.CENTER)] }) },
        children: blocks.flatMap((block, index) => renderBlock(block, index)),
      },
    ],
  });
  return fixDates(await Packer.toBuffer(document), options.date);
}

function heading(size: number, spacing: { before: number; after: number }) {
  return { run: { font: "Calibri", size, bold: true, color: ACCENT }, paragraph: { spacing, keepNext: true } };
}

function listLevel(reference: string, format: (typeof LevelFormat)[keyof typeof LevelFormat], text: string) {
  const style = { paragraph: { indent: { left: 540, hanging: 420 } } };
  return { reference, levels: [{ level: 0, format, text, alignment: AlignmentType.LEFT, style }] };
}

function margins() {
  return { top: 1296, bottom: 1150, left: 1296, right: 1296, header: 600, footer: 560 };
}

function pageOf() {
  return ["Page ", PageNumber.CURRENT, " of ", PageNumber.TOTAL_PAGES];
}

function smallLine(children: string[], alignment: (typeof AlignmentType)[keyof typeof AlignmentType]): Paragraph {
  return new Paragraph({ alignment, children: [new TextRun({ children, size: 16, color: "5B6B75" })] });
}

function renderBlock(block: Block, index: number): (Paragraph | Table)[] {
  switch (block.kind) {
    case "heading":
      return [new Paragraph({ text: block.text, heading: headingLevel(block.depth) })];
    case "paragraph":
    case "note":
      return [new Paragraph({ children: block.runs.map((run) => textRun(run)) })];
    case "list":
      return block.items.map((item) => renderItem(item, { ordered: block.ordered, instance: index }));
    case "table":
      return [renderTable(block.rows), new Paragraph({ spacing: { after: 0, line: 160 } })];
    case "page_break":
      // Its own tiny paragraph: at the end of a full page an ordinary one would spill over and leave a blank page.
      return [new Paragraph({ spacing: { after: 0, line: 20 }, children: [new PageBreak()] })];
  }
}

function headingLevel(depth: number) {
  if (depth === 1) return HeadingLevel.HEADING_1;
  return depth === 2 ? HeadingLevel.HEADING_2 : HeadingLevel.HEADING_3;
}

function textRun(run: Run): TextRun {
  return new TextRun({ text: run.text, bold: run.bold, italics: run.italic });
}

/** The instance restarts the numbers of each ordered list at 1. */
function renderItem(item: Run[], { ordered, instance }: { ordered: boolean; instance: number }): Paragraph {
  const numbering = { reference: ordered ? "steps" : "bullets", level: 0, instance };
  return new Paragraph({ numbering, spacing: { after: 80 }, children: item.map((run) => textRun(run)) });
}

function renderTable(rows: string[][]): Table {
  const columnCount = rows[0]?.length ?? 1;
  const first = Math.round(TEXT_WIDTH * 0.46);
  const rest = Math.round((TEXT_WIDTH - first) / (columnCount - 1));
  const columnWidths = Array.from({ length: columnCount }, (_, column) => (column === 0 ? first : rest));
  return new Table({
    layout: TableLayoutType.FIXED,
    width: { size: TEXT_WIDTH, type: WidthType.DXA },
    columnWidths,
    rows: rows.map((cells, row) => renderRow(cells, { isHeader: row === 0, columnWidths })),
  });
}

function renderRow(
  cells: string[],
  { isHeader, columnWidths }: { isHeader: boolean; columnWidths: number[] },
): TableRow {
  const edge = { style: BorderStyle.SINGLE, size: 4, color: "A9B7C0" };
  const children = cells.map((text, column) => {
    return new TableCell({
      width: { size: columnWidths[column] ?? TEXT_WIDTH, type: WidthType.DXA },
      margins: { top: 50, bottom: 50, left: 90, right: 90 },
      borders: { top: edge, bottom: edge, left: edge, right: edge },
      ...(isHeader ? { shading: { fill: "E3ECF1" } } : {}),
      children: [new Paragraph({ spacing: { after: 0 }, children: [new TextRun({ text, bold: isHeader })] })],
    });
  });
  // Left out rather than false: some readers take the mark alone, whatever its value, for a header row.
  return new TableRow({ ...(isHeader ? { tableHeader: true } : {}), cantSplit: true, children });
}

/** docx stamps the clock into the properties and into every zip entry, and has no option for either. */
function fixDates(docx: Uint8Array, date: string): Uint8Array {
  const files = unzipSync(docx);
  const properties = files["docProps/core.xml"];
  if (properties === undefined) throw new Error("The Word file has no core properties");
  const fixed = strFromU8(properties).replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, `${date}T09:00:00Z`);
  // Without a zone it is local time, which is what a zip stores: the same bytes in every time zone.
  return zipSync({ ...files, "docProps/core.xml": strToU8(fixed) }, { mtime: `${date}T09:00:00`, level: 9 });
}
