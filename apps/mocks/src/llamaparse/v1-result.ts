import type { Job, ResultPage } from "./job.ts";
import type { PageItem } from "./page-items.ts";

/** A US letter page in points; nothing here knows the real size. */
const PAGE_SIZE = { width: 612, height: 792 } as const;

export function v1Markdown(job: Job): string {
  return joinPages(job, ({ md }) => md);
}

export function v1Text(job: Job): string {
  return joinPages(job, ({ text }) => text);
}

export function v1Pages(job: Job): unknown[] {
  return job.pages.map(describePage);
}

/** What a `webhook_url` gets: no job id, so the receiver must have put what it needs into the URL. */
export function v1PushedResult(job: Job): unknown {
  const json = job.pages.map(({ page, text, md }) => ({ page, text, md, images: [] }));
  return { txt: v1Text(job), md: v1Markdown(job), json, images: [] };
}

/** `{pageNumber}` stands for the page in what comes between and around pages. */
function joinPages({ pages, order }: Job, read: (page: ResultPage) => string): string {
  const { separator, prefix, suffix } = order.layout;
  return pages
    .map((page, index) => {
      const around = (text: string): string => text.replaceAll("{pageNumber}", String(page.page));
      return `${index === 0 ? "" : around(separator)}${around(prefix)}${read(page)}${around(suffix)}`;
    })
    .join("");
}

function describePage({ page, text, md, items, error }: ResultPage): unknown {
  return {
    page,
    text,
    md,
    items: items.map(describeItem),
    images: [],
    charts: [],
    status: error === undefined ? "OK" : "ERROR",
    ...(error === undefined ? {} : { error }),
    links: [],
    ...PAGE_SIZE,
    confidence: 1,
    noTextContent: text.trim() === "",
  };
}

function describeItem(item: PageItem): unknown {
  const bBox = { x: 0, y: 0, w: PAGE_SIZE.width, h: PAGE_SIZE.height };
  if (item.type !== "heading") return { ...item, bBox };
  const { level, ...heading } = item;
  return { ...heading, lvl: level, bBox };
}
