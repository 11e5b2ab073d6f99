import type { Line } from "./text-item.ts";

/** A line's text, its cells one space apart. */
export function lineText(line: Line): string {
  return line.cells.map((cell) => cell.text).join(" ");
}
