import type { BlockContent, DefinitionContent, ListItem, PhrasingContent, RootContent, Table } from "mdast";
import { fromMarkdown } from "mdast-util-from-markdown";
import { gfmTableFromMarkdown } from "mdast-util-gfm-table";
import { toString } from "mdast-util-to-string";
import { gfmTable } from "micromark-extension-gfm-table";

export type Run = { text: string; bold: boolean; italic: boolean };

export type Block =
  | { kind: "heading"; depth: number; text: string }
  | { kind: "paragraph"; runs: Run[] }
  | { kind: "note"; runs: Run[] }
  | { kind: "list"; ordered: boolean; items: Run[][] }
  | { kind: "table"; rows: string[][] }
  | { kind: "page_break" };

/**
 * Reads a sample's Markdown into the few kinds of block that both renderers know. `<!-- page -->` starts a page.
 * Throws on anything else, so that no text of a source is left out of the built document unseen.
 */
export function readSource(markdown: string): Block[] {
  const root = fromMarkdown(markdown, { extensions: [gfmTable()], mdastExtensions: [gfmTableFromMarkdown()] });
  return root.children.map((node) => readBlock(node));
}

function readBlock(node: RootContent): Block {
  if (node.type === "heading") return { kind: "heading", depth: node.depth, text: toString(node) };
  if (node.type === "paragraph") return { kind: "paragraph", runs: readRuns(node.children) };
  if (node.type === "blockquote") return { kind: "note", runs: readOnlyParagraph(node.children) };
  if (node.type === "list") {
    return { kind: "list", ordered: node.ordered === true, items: node.children.map((item) => readItem(item)) };
  }
  if (node.type === "table") return { kind: "table", rows: readTable(node) };
  if (node.type === "html" && node.value === "<!-- page -->") return { kind: "page_break" };
  throw new Error(`Samples do not use ${node.type} on line ${node.position?.start.line}`);
}

function readRuns(nodes: PhrasingContent[]): Run[] {
  return nodes.map((node) => {
    if (node.type !== "text" && node.type !== "strong" && node.type !== "emphasis") {
      throw new Error(`Samples do not use ${node.type} inside a paragraph`);
    }
    return { text: toString(node), bold: node.type === "strong", italic: node.type === "emphasis" };
  });
}

function readOnlyParagraph(children: (BlockContent | DefinitionContent)[]): Run[] {
  const [paragraph, ...rest] = children;
  if (paragraph?.type !== "paragraph" || rest.length > 0) throw new Error("Samples use one paragraph here");
  return readRuns(paragraph.children);
}

function readItem(item: ListItem): Run[] {
  return readOnlyParagraph(item.children);
}

function readTable(table: Table): string[][] {
  return table.children.map((row) => row.children.map((cell) => toString(cell)));
}
