import { prefixOf } from "./word-prefix.ts";

/**
 * Characters that stand for page breaks on their way through mammoth, which does not know of most kinds.
 * They are Unicode noncharacters: no document holds them.
 */
export const PAGE_MARKS = {
  /** `w:br w:type="page"` */
  manual: "\uFDD0",
  /** `w:pageBreakBefore` of a paragraph or its style */
  before: "\uFDD1",
  /** the end of a section whose successor starts on a new page */
  section: "\uFDD2",
  /** `w:lastRenderedPageBreak`, where Word last broke a page when it laid the document out */
  rendered: "\uFDD3",
} as const;

type Token = { closes: boolean; name: string; attributes: string; selfCloses: boolean; start: number; end: number };

interface Paragraph {
  breaksBefore: boolean;
  sectionIndex: number | undefined;
}

/** A main document part in which every page break also stands as a mark in the text. */
export function markPageBreaks(xml: string, stylesWithBreak: ReadonlySet<string>): string {
  const prefix = prefixOf(xml);
  const context: Context = {
    prefix,
    stylesWithBreak,
    breaksAfterSection: sectionBreaks(xml, prefix),
    paragraphs: [],
    runProperties: [],
    sections: 0,
    changeDepth: 0,
    propertiesStart: 0,
    xml,
  };
  const parts: string[] = [];
  let copied = 0;
  for (const token of tokensOf(xml, { prefix, names: MARKED_NAMES })) {
    const { before, after } = insertionsAt(token, context);
    if (before === "" && after === "") continue;
    parts.push(xml.slice(copied, token.start), before, xml.slice(token.start, token.end), after);
    copied = token.end;
  }
  parts.push(xml.slice(copied));
  return parts.join("");
}

interface Context {
  prefix: string;
  stylesWithBreak: ReadonlySet<string>;
  breaksAfterSection: readonly boolean[];
  /** Innermost last; a text box holds paragraphs inside a paragraph's run. */
  paragraphs: Paragraph[];
  /** The formatting of each open run, so that a run can be closed and opened again around a mark. */
  runProperties: string[];
  sections: number;
  /** Above 0 inside tracked changes of properties, which repeat the old ones. */
  changeDepth: number;
  propertiesStart: number;
  xml: string;
}

const NOTHING = { before: "", after: "" };

function insertionsAt(token: Token, context: Context): typeof NOTHING {
  switch (token.name) {
    case "pPrChange":
    case "rPrChange":
      if (!token.selfCloses) context.changeDepth += token.closes ? -1 : 1;
      return NOTHING;
    case "r":
    case "rPr":
      return context.changeDepth > 0 ? NOTHING : trackRun(token, context);
    case "p":
      return trackParagraph(token, context);
    default:
      return context.changeDepth > 0 ? NOTHING : markAt(token, context);
  }
}

function trackRun(token: Token, context: Context): typeof NOTHING {
  if (token.selfCloses) return NOTHING;
  if (token.name === "r") {
    if (token.closes) context.runProperties.pop();
    else context.runProperties.push("");
  } else if (!token.closes) {
    context.propertiesStart = token.start;
  } else if (context.runProperties.length > 0) {
    context.runProperties[context.runProperties.length - 1] = context.xml.slice(context.propertiesStart, token.end);
  }
  return NOTHING;
}

function trackParagraph(token: Token, context: Context): typeof NOTHING {
  if (token.selfCloses) return NOTHING;
  if (!token.closes) {
    context.paragraphs.push({ breaksBefore: false, sectionIndex: undefined });
    return NOTHING;
  }
  const index = context.paragraphs.pop()?.sectionIndex;
  const breaksAfter = index !== undefined && context.breaksAfterSection[index] === true;
  return breaksAfter ? { before: markedRun(context.prefix, PAGE_MARKS.section), after: "" } : NOTHING;
}

function markAt(token: Token, context: Context): typeof NOTHING {
  if (token.name === "pPr") return endOfProperties(token, context);
  if (token.closes) return NOTHING;
  if (token.name === "lastRenderedPageBreak") return insideRun(context, PAGE_MARKS.rendered);
  if (token.name === "br") {
    return attributeOf(token, context.prefix, "type") === "page" ? insideRun(context, PAGE_MARKS.manual) : NOTHING;
  }
  noteProperty(token, context);
  return NOTHING;
}

function endOfProperties(token: Token, context: Context): typeof NOTHING {
  const breaksBefore = token.closes && context.paragraphs.at(-1)?.breaksBefore === true;
  return breaksBefore ? { before: "", after: markedRun(context.prefix, PAGE_MARKS.before) } : NOTHING;
}

function noteProperty(token: Token, context: Context): void {
  const paragraph = context.paragraphs.at(-1);
  const value = attributeOf(token, context.prefix, "val");
  if (token.name === "sectPr") {
    if (paragraph !== undefined) paragraph.sectionIndex = context.sections;
    context.sections += 1;
  } else if (paragraph !== undefined && token.name === "pageBreakBefore") {
    paragraph.breaksBefore = isOn(value);
  } else if (paragraph !== undefined && context.stylesWithBreak.has(value ?? "")) {
    // A paragraph's own property comes after its style and overrules it.
    paragraph.breaksBefore = true;
  }
}

/** A run of its own, without formatting: emphasis on both sides of a break stays balanced. */
function insideRun(context: Context, mark: string): typeof NOTHING {
  const properties = context.runProperties.at(-1);
  if (properties === undefined) return NOTHING;
  const { prefix } = context;
  return { before: "", after: `</${prefix}r>${markedRun(prefix, mark)}<${prefix}r>${properties}` };
}

function markedRun(prefix: string, mark: string): string {
  return `<${prefix}r><${prefix}t>${mark}</${prefix}t></${prefix}r>`;
}

const PAGE_SECTIONS: ReadonlySet<string> = new Set(["nextPage", "oddPage", "evenPage"]);

/** For each section in order, whether the next one starts on a new page: the type stands at the section it starts. */
function sectionBreaks(xml: string, prefix: string): boolean[] {
  const breaks: boolean[] = [];
  let type: string | undefined;
  let isInside = false;
  for (const token of tokensOf(xml, { prefix, names: "sectPr|type" })) {
    if (token.name === "type") {
      if (isInside) type ??= attributeOf(token, prefix, "val");
    } else if (isInside ? token.closes : token.selfCloses) {
      breaks.push(PAGE_SECTIONS.has(type ?? "nextPage"));
      type = undefined;
      isInside = false;
    } else if (!token.closes) {
      isInside = true;
    }
  }
  return breaks.slice(1);
}

const MARKED_NAMES = "p|pPr|pPrChange|rPrChange|r|rPr|pageBreakBefore|pStyle|sectPr|br|lastRenderedPageBreak";

/** A tag that is never closed ends at the next one, so that the time stays linear. */
function* tokensOf(xml: string, { prefix, names }: { prefix: string; names: string }): Generator<Token> {
  const tag = new RegExp(`<(/?)${prefix}(${names})(?=[\\s/>])([^<>]*?)(/?)>`, "g");
  for (const match of xml.matchAll(tag)) {
    const [whole, slash, name = "", attributes = "", selfCloses] = match;
    yield {
      closes: slash === "/",
      name,
      attributes,
      selfCloses: selfCloses === "/",
      start: match.index,
      end: match.index + whole.length,
    };
  }
}

function attributeOf(token: Token, prefix: string, name: string): string | undefined {
  return new RegExp(`${prefix}${name}=["']([^"']*)["']`).exec(token.attributes)?.[1];
}

function isOn(value: string | undefined): boolean {
  return value === undefined || !["0", "false", "off"].includes(value);
}
