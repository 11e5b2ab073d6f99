import { prefixOf } from "./word-prefix.ts";

/** mammoth passes over these with all that is in them; under the other name it reads them. */
const READABLE: Readonly<Record<string, string>> = {
  fldSimple: "smartTag",
  dir: "smartTag",
  bdo: "smartTag",
  ruby: "smartTag",
  rubyBase: "smartTag",
  ptab: "tab",
  cr: "br",
};

/** A part of a Word file that mammoth reads whole: fields, directions, what ruby stands over, and formulas. */
export function makeReadable(xml: string): string {
  const prefix = prefixOf(xml);
  const names = Object.keys(READABLE).join("|");
  const readable = xml.replace(
    new RegExp(`<(/?)${prefix}(${names})(?=[\\s/>])`, "g"),
    (_, slash: string, name: string) => `<${slash}${prefix}${READABLE[name] ?? name}`,
  );
  const math = MATH_NAMESPACE.exec(readable)?.[1];
  return math === undefined ? readable : writeFormulas(readable, { prefix, math });
}

const MATH_NAMESPACE =
  /xmlns:([\w-]+)="http:\/\/(?:schemas\.openxmlformats\.org\/officeDocument\/2006|purl\.oclc\.org\/ooxml\/officeDocument)\/math"/;

/** What the parts of a formula stand between in one line: a fraction must not become one number. */
const SIGNS: Readonly<Record<string, readonly [string, string]>> = {
  num: ["(", ")"],
  den: ["/(", ")"],
  sup: ["^(", ")"],
  sub: ["_(", ")"],
  rad: ["√(", ")"],
  d: ["(", ")"],
  mr: ["", "; "],
};
/** The sign of a sum or an integral where the file names none. */
const INTEGRAL = "∫";

/** Formulas as runs of text. Their properties, whose names end in Pr, stay what mammoth passes over. */
function writeFormulas(xml: string, { prefix, math }: { prefix: string; math: string }): string {
  const formula: Formula = { prefix, operator: INTEGRAL };
  const tag = new RegExp(`<(/?)${math}:(\\w+)(?=[\\s/>])([^<>]*)>`, "g");
  return xml.replace(tag, (whole, slash: string, name: string, rest: string) => {
    if (name === "r" || name === "t") return `<${slash}${prefix}${name}${rest}>`;
    if (name === "chr") formula.operator = /="([^"<>]*)"/.exec(rest)?.[1] ?? INTEGRAL;
    if (name === "naryPr") return writeOperator(whole, { formula, slash });
    return name.endsWith("Pr") ? whole : writePart({ slash, name, rest }, formula);
  });
}

interface Formula {
  prefix: string;
  operator: string;
}

/** The operator is known where its properties end. */
function writeOperator(tag: string, { formula, slash }: { formula: Formula; slash: string }): string {
  const isEmpty = tag.endsWith("/>");
  if (slash === "") formula.operator = INTEGRAL;
  return slash === "/" || isEmpty ? tag + signRun(formula.prefix, formula.operator) : tag;
}

function writePart(tag: { slash: string; name: string; rest: string }, { prefix }: Formula): string {
  const { slash, name, rest } = tag;
  const renamed = `<${slash}${prefix}smartTag${rest}>`;
  if (rest.endsWith("/")) return renamed;
  const [before, after] = SIGNS[name] ?? ["", ""];
  return slash === "/" ? signRun(prefix, after) + renamed : renamed + signRun(prefix, before);
}

function signRun(prefix: string, sign: string): string {
  return sign === "" ? "" : `<${prefix}r><${prefix}t>${sign}</${prefix}t></${prefix}r>`;
}
