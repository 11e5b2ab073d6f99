/** A line that tells the number of its page. */
export interface NumberedLine {
  number: number;
  /** The line around the number, equal on every page where the line is a running one. */
  rest: string;
  /** Nothing else is said: the line may go from the first page too. */
  isAlone: boolean;
}

/** Longer lines are text. */
const LONGEST_LINE = 300;

/** One letter needs its dot: "P 1" and "S1" name many things. "Side" is Danish, and a form's side. */
const PAGE_WORDS = new Set(
  [
    "page pg pag pág p. s. с. seite blatt página pagina pàgina pagină bladzijde blz strona strana stránka stran",
    "str sida sivu oldal puslapis страница стр сторінка σελίδα σελ sayfa trang halaman",
    "页 頁 第 共 页共 頁共 ページ 쪽 페이지",
  ].flatMap((words) => words.split(" ")),
);
/** They stand beside a page word, or before a total. */
const SMALL_WORDS = new Set("no nr of out von sur de di do da din van z ze av af fra iz из з от από /".split(" "));

/**
 * The page number of "3", "- 3 -", "Page 3 of 12" or "3/12", and of "ACME · Page 3" or "ACME Page 3 of 12", which say
 * more than that. Every other line with a number is text: "Chapter 3", "Page 3 of the policy", "The year 2024".
 */
export function readPageNumber(line: string): NumberedLine | undefined {
  if (line.length > LONGEST_LINE) return undefined;
  const text = line.trim().toLowerCase();
  const number = readBare(text) ?? readWorded(text);
  if (number !== undefined) return { number, rest: withoutNumber(text), isAlone: true };
  for (const phrase of phrasesOf(text)) {
    const found = readWorded(phrase);
    if (found === undefined) continue;
    const rest = text.startsWith(phrase)
      ? `${withoutNumber(phrase)}${text.slice(phrase.length)}`
      : `${text.slice(0, -phrase.length)}${withoutNumber(phrase)}`;
    return { number: found, rest: rest.replace(/\s+/g, " "), isAlone: false };
  }
  return undefined;
}

/** "(1)", "1." and "- 1" begin items of a list, and 2024 is a year. */
const BARE =
  /^([-–—·•*_~=]{0,3})\s*(?!(?:19|20)\d\d(?!\d))(\d{1,4})(?:\s*(\/|\p{L}+)\s*(?!(?:19|20)\d\d(?!\d))(\d{1,4}))?\s*\1$/u;

function readBare(text: string): number | undefined {
  const [, , number, between = "/", total = number] = BARE.exec(text) ?? [];
  return SMALL_WORDS.has(between) ? numberOf(number, total) : undefined;
}

/** A page word, a number, perhaps a total, and punctuation. */
function readWorded(text: string): number | undefined {
  const words = (text.match(/\p{L}[\p{L}\p{M}]*\.?/gu) ?? []).map((word) =>
    PAGE_WORDS.has(word) ? word : word.replace(/\.$/, ""),
  );
  if (!words.some((word) => PAGE_WORDS.has(word))) return undefined;
  if (!words.every((word) => PAGE_WORDS.has(word) || SMALL_WORDS.has(word))) return undefined;
  const [number, total = number, ...others] = text.match(/\d+/g) ?? [];
  return others.length > 0 ? undefined : numberOf(number, total);
}

function numberOf(number: string | undefined, total: string | undefined): number | undefined {
  if (number === undefined || number.length > 5) return undefined;
  return Number(total) >= Number(number) ? Number(number) : undefined;
}

const WITH_TOTAL = /\p{L}+\.?\s?\d{1,5}\s?(?:\/|\p{L}+)\s?\d{1,5}/u.source;
const STARTS_WITH_TOTAL = new RegExp(`^${WITH_TOTAL}(?=\\s)`, "u");
const ENDS_WITH_TOTAL = new RegExp(`(?<=\\s)${WITH_TOTAL}$`, "u");

/** What may be the page's number at a line's start or end: parted from the rest, or with a total, as PDFs join cells. */
function phrasesOf(text: string): string[] {
  const parts = text.split(/\s*[·•|–—]\s*|\s-\s|\s{2,}/);
  const ends = parts.length > 1 ? [parts[0], parts.at(-1)] : [];
  return [...ends, STARTS_WITH_TOTAL.exec(text)?.[0], ENDS_WITH_TOTAL.exec(text)?.[0]].filter(
    (phrase) => phrase !== undefined,
  );
}

function withoutNumber(text: string): string {
  return text.replace(/\d+/, "#").replace(/\s+/g, " ");
}
