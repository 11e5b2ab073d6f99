/** A block of a page's Markdown. */
export type PageItem =
  | { type: "heading"; level: number; md: string; value: string }
  | { type: "text"; md: string; value: string }
  | { type: "table"; md: string; rows: string[][]; html: string; csv: string };

/** Headings, tables and, for everything else, paragraphs. */
export function listPageItems(markdown: string): PageItem[] {
  return markdown
    .split(/\n{2,}|\n(?=#{1,6} )|(?<=^#{1,6} .*)\n/m)
    .map((block) => block.trim())
    .filter((block) => block !== "")
    .map(readBlock);
}

function readBlock(block: string): PageItem {
  const heading = /^(#{1,6}) +(.+)$/.exec(block);
  if (heading !== null) {
    const [, marks = "", title = ""] = heading;
    return { type: "heading", level: marks.length, md: block, value: plainText(title) };
  }
  const lines = block.split("\n");
  if (lines.length > 1 && lines.every((line) => line.trimStart().startsWith("|"))) return readTable(block, lines);
  return { type: "text", md: block, value: plainText(block) };
}

function readTable(md: string, lines: readonly string[]): PageItem {
  const rows = lines
    .filter((line) => !/^[\s|:-]+$/.test(line))
    .map((line) => {
      const [, ...cells] = line.trim().replace(/\|$/, "").split("|");
      return cells.map((cell) => plainText(cell.trim()));
    });
  const html = rows.map((row) => `<tr>${row.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("")}</tr>`).join("");
  const csv = rows.map((row) => row.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(",")).join("\n");
  return { type: "table", md, rows, html: `<table>${html}</table>`, csv };
}

/** Markdown without its marks for headings and emphasis. */
export function plainText(markdown: string): string {
  return markdown
    .replace(/^#{1,6} +/gm, "")
    .replace(/(\*\*|__)(?=\S)(.+?)(?<=\S)\1/g, "$2")
    .replace(/\\([\\`*_{}[\]()#+.!|-])/g, "$1");
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
