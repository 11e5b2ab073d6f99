/**
 * A run of text on a page in points, turned so that it reads left to right along x; y is the baseline
 * and grows downwards.
 */
export interface TextItem {
  text: string;
  x: number;
  y: number;
  width: number;
  /** Font size. */
  size: number;
  isBold: boolean;
  isRightToLeft: boolean;
}

/** One page's items. Each group holds what runs in one direction; the page's main direction comes first. */
export interface PageItems {
  groups: TextItem[][];
}

/** Items of a line that stand close together: a stretch of prose or a table's cell. */
export interface Cell {
  text: string;
  x: number;
  right: number;
}

export interface Line {
  cells: Cell[];
  x: number;
  right: number;
  y: number;
  size: number;
  isBold: boolean;
  /** The edges of the column that the line belongs to. */
  column: { left: number; right: number };
}
