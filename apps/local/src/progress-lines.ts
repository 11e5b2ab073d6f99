import { basename } from "node:path";

/** Shows where each file stands: one line per file redrawn on a terminal, one line per change elsewhere. */
export interface ProgressLines {
  update(path: string, line: ProgressLine): void;
  close(): void;
}

export interface ProgressLine {
  percent: number;
  status: string;
  note?: string;
}

export interface Output {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

export function createProgressLines(paths: readonly string[], output: Output): ProgressLines {
  const width = Math.min(40, Math.max(0, ...paths.map((path) => basename(path).length)));
  const shown = new Map<string, string>();
  let drawn = 0;
  const redraw = (): void => {
    if (drawn > 0) output.write(`\u001B[${drawn}A`);
    for (const text of shown.values()) output.write(`\u001B[2K${text.slice(0, (output.columns ?? 80) - 1)}\n`);
    drawn = shown.size;
  };
  return {
    update: (path, line) => {
      const text = format(basename(path), width, line);
      if (shown.get(path) === text) return;
      shown.set(path, text);
      if (output.isTTY) redraw();
      else output.write(`${text}\n`);
    },
    close: () => {
      shown.clear();
      drawn = 0;
    },
  };
}

const BAR_CELLS = 20;

function format(name: string, width: number, line: ProgressLine): string {
  const filled = Math.round((line.percent / 100) * BAR_CELLS);
  const bar = "█".repeat(filled) + "░".repeat(BAR_CELLS - filled);
  const label = name.length > width ? `…${name.slice(1 - width)}` : name.padEnd(width);
  return `  ${label}  ${bar} ${String(line.percent).padStart(3)} %  ${line.status}${line.note ? `  ${line.note}` : ""}`;
}
