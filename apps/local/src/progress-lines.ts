/** Shows where each file stands: one line per file redrawn on a terminal, one line per change elsewhere. */
export interface ProgressLines {
  update(name: string, line: ProgressLine): void;
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

export function createProgressLines(names: readonly string[], output: Output): ProgressLines {
  const width = Math.min(40, Math.max(0, ...names.map((name) => name.length)));
  const shown = new Map<string, string>();
  let drawn = 0;
  const redraw = (): void => {
    if (drawn > 0) output.write(`\u001B[${drawn}A`);
    for (const text of shown.values()) output.write(`\u001B[2K${text.slice(0, (output.columns ?? 80) - 1)}\n`);
    drawn = shown.size;
  };
  return {
    update: (name, line) => {
      const text = format(name, width, line);
      if (shown.get(name) === text) return;
      shown.set(name, text);
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
