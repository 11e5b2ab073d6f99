/** What a parser hands on. Pages count from 1 without gaps; a page may be empty, it is never left out. */
export interface ParsedDocument {
  parser: string;
  parser_version: string;
  /** See boundTitle. */
  title: string | null;
  pages: ParsedPage[];
  notes: ParseNote[];
}

export interface ParsedPage {
  page_number: number;
  /** Markdown. */
  text: string;
}

/** Something the document's owner may want to know; the codes are listed where they are made. */
export interface ParseNote {
  code: string;
  message: string;
  page_number?: number;
}
