import type { Range } from "./document-content.ts";

/** A piece of a page in reading order. Together the blocks of a page cover everything but white space. */
export type Block =
  | { kind: "heading"; range: Range; depth: number; title: string }
  | { kind: "text"; range: Range }
  /** Code and HTML tables: kept whole where they fit, else split between lines. */
  | { kind: "code"; range: Range }
  /** `items` are the outermost items; `parts` of an item start at the items nested in it. */
  | { kind: "list"; range: Range; items: ListItem[] }
  /** `header` is the header line and the delimiter line; `rows` the lines below. */
  | { kind: "table"; range: Range; header: Range; rows: Range[] };

export interface ListItem {
  range: Range;
  parts: Range[];
}

/** What a reader made of the lines from its start, and the index of the first line it left. */
export interface Scanned {
  block: Block;
  next: number;
}
