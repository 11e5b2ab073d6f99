import { pagesOf } from "../count-text.ts";
import { damagedFile } from "../parse-errors.ts";
import type { ParseLimits } from "../parse-limits.ts";
import { inflateArchive } from "../zip-archive.ts";
import { MAIN_PART } from "./main-part.ts";

const PROPERTIES = "docProps/app.xml";

/**
 * How many pages a Word file may have at most, laid out anew: what Word counted, the pages that it laid out, and what its text,
 * its explicit breaks and its pictures may fill. Throws damaged_file, inflation_limit.
 */
export async function countDocx({ path, limits }: { path: string; limits: ParseLimits }): Promise<number> {
  const wanted = (name: string): boolean => name === PROPERTIES || MAIN_PART.test(name);
  const files = await inflateArchive({ path, limits, wanted });
  const main = [...files].find(([name]) => MAIN_PART.test(name))?.[1];
  if (main === undefined) throw damagedFile("The file holds no Word document.");
  const told = /<Pages>(\d{1,6})<\/Pages>/.exec(files.get(PROPERTIES)?.toString("latin1") ?? "")?.[1];
  return Math.max(Number(told ?? 0), countMarks(main, [":lastRenderedPageBreak"]) + 1, layOut(main));
}

/** What begins a page, or may fill one. */
const BREAKS = [':type="page"', ":pageBreakBefore", "<w:drawing", "<w:pict"];
const SECTION = ["<w:sectPr"];

function layOut(main: Buffer): number {
  const lines = countMarks(main, ["</w:p>", "<w:br"]);
  // The last section ends with the document.
  const sections = Math.max(1, countMarks(main, SECTION));
  return pagesOf({ chars: countTextBytes(main), lines }) + countMarks(main, BREAKS) + sections - 1;
}

function countMarks(bytes: Buffer, marks: readonly string[]): number {
  let count = 0;
  for (const mark of marks) {
    for (let at = bytes.indexOf(mark); at !== -1; at = bytes.indexOf(mark, at + mark.length)) count += 1;
  }
  return count;
}

const TAG_START = 0x3c;
const TAG_END = 0x3e;

/** Bytes outside of tags. */
function countTextBytes(xml: Buffer): number {
  let count = 0;
  let isTag = false;
  for (let at = 0; at < xml.length; at += 1) {
    const byte = xml[at];
    if (byte === TAG_START) isTag = true;
    else if (byte === TAG_END) isTag = false;
    else if (!isTag) count += 1;
  }
  return count;
}
