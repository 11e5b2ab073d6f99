import { spreadOf } from "./statistics.ts";

/** Plain text, the first column to the left, the others to the right. */
export function formatTable(title: string, rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
  const [head = "", ...body] = lines;
  return [title, head, "-".repeat(widths.reduce((sum, width) => sum + width + 2, -2)), ...body, ""].join("\n");
}

/** `median (min–max)`, or the only value there is; a dash where a system has no such figure. */
export function formatSpread(values: readonly (number | undefined)[]): string {
  const known = values.filter((value) => value !== undefined);
  if (known.length === 0) return "–";
  const { median, min, max } = spreadOf(known);
  if (known.length === 1 || min === max) return formatNumber(median);
  return `${formatNumber(median)} (${formatNumber(min)}–${formatNumber(max)})`;
}

/** Three significant digits below a thousand, whole numbers above. */
function formatNumber(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}
