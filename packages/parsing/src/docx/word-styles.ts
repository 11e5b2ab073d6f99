interface WordStyle {
  id: string;
  name: string;
  basedOn: string | undefined;
  outlineLevel: number | undefined;
  breaksBefore: boolean | undefined;
}

export interface WordStyles {
  /** Lines of a mammoth style map for headings that mammoth would not know as such. */
  headingMap: string[];
  /** Ids of paragraph styles that start a new page. */
  stylesWithBreak: Set<string>;
}

/** Word's own styles are based on at most two others. A damaged file may go round in a circle, a made one on and on. */
const DEEPEST_LINEAGE = 50;

/** What styles.xml says of headings and pages; styles inherit from the one they are based on. */
export function readWordStyles(xml: string): WordStyles {
  const styles = new Map(listStyles(xml).map((style) => [style.id, style]));
  const headingMap: string[] = [];
  const stylesWithBreak = new Set<string>();
  for (const style of styles.values()) {
    const line = lineageOf(style, styles);
    const level = line.map(headingLevelOf).find((found) => found !== undefined);
    // Other characters would need escapes in mammoth's little language.
    if (level !== undefined && /^[\w-]+$/.test(style.id)) headingMap.push(`p.${style.id} => h${level}:fresh`);
    if (line.find((each) => each.breaksBefore !== undefined)?.breaksBefore === true) stylesWithBreak.add(style.id);
  }
  return { headingMap, stylesWithBreak };
}

function listStyles(xml: string): WordStyle[] {
  // Cut at the ends first: looking for the end of each would be quadratic where styles do not end.
  const parts = xml.split("</w:style>").slice(0, -1);
  return parts.flatMap((part) => {
    const start = /<w:style\s([^<>]*)>/.exec(part);
    if (start === null) return [];
    const [tag, attributes = ""] = start;
    const body = part.slice(start.index + tag.length);
    const id = valueOf(/w:styleId="([^"]+)"/, attributes);
    if (id === undefined || !attributes.includes('w:type="paragraph"')) return [];
    const level = valueOf(/<w:outlineLvl\s+w:val="(\d)"/, body);
    return [
      {
        id,
        name: valueOf(/<w:name\s+w:val="([^"]*)"/, body) ?? "",
        basedOn: valueOf(/<w:basedOn\s+w:val="([^"]+)"/, body),
        outlineLevel: level === undefined ? undefined : Number(level),
        breaksBefore: breaksBefore(body),
      },
    ];
  });
}

function breaksBefore(body: string): boolean | undefined {
  const match = /<w:pageBreakBefore(?:\s+w:val="(\w+)")?\s*\/>/.exec(body);
  return match === null ? undefined : !["0", "false", "off"].includes(match[1] ?? "");
}

function valueOf(pattern: RegExp, text: string): string | undefined {
  return pattern.exec(text)?.[1];
}

/** The style and its ancestors, nearest first. */
function lineageOf(style: WordStyle, styles: ReadonlyMap<string, WordStyle>): WordStyle[] {
  const line: WordStyle[] = [];
  let current: WordStyle | undefined = style;
  while (current !== undefined && line.length < DEEPEST_LINEAGE) {
    line.push(current);
    current = current.basedOn === undefined ? undefined : styles.get(current.basedOn);
  }
  return line;
}

/** 1 to 6. An outline level of 9 means body text. */
function headingLevelOf(style: WordStyle): number | undefined {
  if (/^title$/i.test(style.name)) return 1;
  const named = /^heading ([1-9])$/i.exec(style.name)?.[1];
  const level = named === undefined ? style.outlineLevel : Number(named) - 1;
  return level === undefined || level > 8 ? undefined : Math.min(level + 1, 6);
}
