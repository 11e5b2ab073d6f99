export interface DecodedText {
  text: string;
  encoding: string;
  /** True where nothing in the file says which encoding it is and it is not valid UTF-8. */
  is_guess: boolean;
}

const SINGLE_BYTE_LATIN = new Set(["windows-1252", "iso-8859-1", "latin1", "us-ascii", "ascii"]);

/**
 * Bytes of a text file as a string without its byte order mark. In this order: byte order mark, the
 * encoding the file declares, UTF-8, UTF-8 with a few broken bytes, windows-1252 (which always succeeds).
 *
 * Latin declarations come after UTF-8: servers declare them for everything, and no Latin text of any
 * length with accents is valid UTF-8 by accident.
 */
export function decodeText(bytes: Uint8Array, declared?: string): DecodedText {
  const marked = decodeByMark(bytes);
  if (marked !== undefined) return marked;
  if (declared !== undefined && isOtherEncoding(declared)) {
    return { text: new TextDecoder(declared).decode(bytes), encoding: declared, is_guess: false };
  }
  const lenient = new TextDecoder("utf-8").decode(bytes);
  if (isValidUtf8(bytes)) return { text: lenient, encoding: "utf-8", is_guess: false };
  if (isMostlyUtf8(lenient)) return { text: lenient, encoding: "utf-8", is_guess: true };
  const isDeclared = declared !== undefined && SINGLE_BYTE_LATIN.has(declared);
  return { text: new TextDecoder("windows-1252").decode(bytes), encoding: "windows-1252", is_guess: !isDeclared };
}

/** The character set an HTML page names in its first 4 KiB, in lower case. */
export function declaredCharset(bytes: Uint8Array): string | undefined {
  const head = new TextDecoder("windows-1252").decode(bytes.subarray(0, 4096));
  const found =
    /<meta[^>]+charset\s*=\s*(?:["']\s*)?([\w.:-]+)/i.exec(head) ??
    /<\?xml[^>]+encoding\s*=\s*["']([\w.:-]+)/i.exec(head);
  return found?.[1]?.toLowerCase();
}

/**
 * Whether text is really the bytes of something else: it holds NULs, or more than one control character
 * in a hundred. Compressed data has about eleven in a hundred, logs with colour codes far below one.
 */
export function isBinaryNoise(text: string): boolean {
  if (text.includes("\0")) return true;
  // The escape character (colour codes in logs) is let through on purpose.
  // oxlint-disable-next-line eslint/no-control-regex -- control characters are what is looked for
  const controls = text.match(/[\u0001-\u0008\u000e-\u001a\u001c-\u001f\u007f\ufffe\uffff]/g)?.length ?? 0;
  return controls > 2 && controls / text.length > 0.01;
}

/**
 * Whether bytes can be windows-1252: Western European text has at most one byte in ten above 127, while
 * Cyrillic, Greek or East Asian text in an old encoding is made of them and would turn into nonsense.
 */
export function isPlausibleLatin(bytes: Uint8Array): boolean {
  let high = 0;
  let printed = 0;
  for (const byte of bytes) {
    if (byte > 0x20) printed += 1;
    if (byte >= 0x80) high += 1;
  }
  return printed === 0 || high / printed < 0.3;
}

function decodeByMark(bytes: Uint8Array): DecodedText | undefined {
  const [first, second, third] = bytes;
  if (first === 0xef && second === 0xbb && third === 0xbf) return decodeMarked(bytes, "utf-8");
  if (first === 0xff && second === 0xfe) return decodeMarked(bytes, "utf-16le");
  if (first === 0xfe && second === 0xff) return decodeMarked(bytes, "utf-16be");
  return undefined;
}

function decodeMarked(bytes: Uint8Array, encoding: string): DecodedText {
  return { text: new TextDecoder(encoding).decode(bytes), encoding, is_guess: false };
}

/** An encoding we can decode that is not UTF-8 or Latin. Without a mark nothing that can be read here is UTF-16. */
function isOtherEncoding(label: string): boolean {
  if (SINGLE_BYTE_LATIN.has(label) || label.startsWith("utf")) return false;
  try {
    return new TextDecoder(label).encoding !== "utf-8";
  } catch {
    // A label nobody knows says nothing; the bytes decide.
    return false;
  }
}

function isValidUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}

/** At most one broken place for ten characters that only UTF-8 explains. */
function isMostlyUtf8(text: string): boolean {
  let broken = 0;
  let multibyte = 0;
  for (const char of text) {
    if (char === "\ufffd") broken += 1;
    else if (char > "\u007f") multibyte += 1;
  }
  return multibyte >= broken * 10;
}
