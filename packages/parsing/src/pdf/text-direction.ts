import { z } from "zod";
import type { FormValue } from "./form-values.ts";
import type { PageItems, TextItem } from "./text-item.ts";

/** a, b, c, d, e, f of a PDF's transformation matrix. */
type Matrix = readonly number[];

interface RawItem {
  str: string;
  dir: string;
  transform: Matrix;
  width: number;
  height: number;
  fontName: string;
}

interface DirectionInput {
  items: readonly RawItem[];
  styles: Readonly<Record<string, { vertical: boolean }>>;
  viewport: Matrix;
  isBold: (font: string) => boolean;
  extra: readonly FormValue[];
}

const FORM_TEXT_SIZE = 10;

/**
 * Turns items from page space into reading space, where every text runs along x and y grows downwards,
 * and groups them by direction in steps of 90 degrees (slanted watermarks make a fifth group). The group with
 * the most text comes first: on a page scanned sideways that is the turned one.
 */
export function groupByDirection(input: DirectionInput): PageItems["groups"] {
  const groups = new Map<string, TextItem[]>();
  const add = (key: string, item: TextItem): void => {
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  };
  for (const raw of input.items) {
    if (raw.str === "") continue;
    const { key, item } = placeItem(raw, input);
    add(key, item);
  }
  for (const value of input.extra) add("0", placeFormValue(value, input.viewport));
  return [...groups.values()].toSorted((a, b) => charsOf(b) - charsOf(a));
}

function placeItem(raw: RawItem, input: DirectionInput): { key: string; item: TextItem } {
  const [a, b, c, d, x, y] = multiply(input.viewport, raw.transform);
  const isVertical = input.styles[raw.fontName]?.vertical === true;
  const base = { text: raw.str, isBold: input.isBold(raw.fontName), isRightToLeft: raw.dir === "rtl" };
  // Vertical lines run down and follow each other from right to left.
  if (isVertical) return { key: "vertical", item: { ...base, x: y, y: -x, width: raw.height, size: raw.width || 1 } };
  const size = Math.hypot(c, d) || raw.height || 1;
  const angle = Math.atan2(b, a);
  const quarter = Math.round(angle / (Math.PI / 2));
  const isStraight = Math.abs(angle - quarter * (Math.PI / 2)) < 0.05;
  const turn = isStraight ? quarter * (Math.PI / 2) : angle;
  const cos = Math.cos(turn);
  const sin = Math.sin(turn);
  return {
    key: isStraight ? String((quarter + 4) % 4) : "slanted",
    item: { ...base, x: x * cos + y * sin, y: y * cos - x * sin, width: raw.width, size },
  };
}

function placeFormValue(value: FormValue, viewport: Matrix): TextItem {
  const [left, bottom, right, top] = value.rect;
  const size = Math.min(FORM_TEXT_SIZE, Math.max(1, top - bottom));
  // A field of one line has its baseline near its bottom; one of many lines starts at its top.
  const baseline = top - bottom > 2.5 * size ? top - size : bottom + (top - bottom - size) / 2 + size * 0.25;
  const [, , , , x, y] = multiply(viewport, [1, 0, 0, 1, left, baseline]);
  return { text: value.text, x, y, width: right - left, size, isBold: false, isRightToLeft: false };
}

/** The product of two matrices; a matrix that is not six numbers long counts as no change at all. */
function multiply(outer: Matrix, inner: Matrix): SixNumbers {
  const [a, b, c, d, e, f] = sixNumbers(outer);
  const [g, h, i, j, k, l] = sixNumbers(inner);
  return [a * g + c * h, b * g + d * h, a * i + c * j, b * i + d * j, a * k + c * l + e, b * k + d * l + f];
}

type SixNumbers = readonly [number, number, number, number, number, number];

const sixNumbersSchema = z.tuple([z.number(), z.number(), z.number(), z.number(), z.number(), z.number()]);

function sixNumbers(matrix: Matrix): SixNumbers {
  const parsed = sixNumbersSchema.safeParse(matrix);
  return parsed.success ? parsed.data : [1, 0, 0, 1, 0, 0];
}

function charsOf(group: readonly TextItem[]): number {
  return group.reduce((total, item) => total + item.text.trim().length, 0);
}
