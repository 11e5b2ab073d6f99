import { v5 } from "uuid";

/** Namespace of every name-based id of this project; a random UUID fixed once, changing it changes every id. */
const NAMESPACE = "8b1f8a55-5f0c-4a5e-9a52-7c1c0b8a4f5d";

/** The same file of the same user is the same document. `sha256` is lower-case hex. */
export function documentId(userId: string, sha256: string): string {
  return v5(`document:${userId}:${sha256}`, NAMESPACE);
}

export interface ChunkIdentity {
  document_id: string;
  chunker_name: string;
  chunker_version: string;
  generation: number;
  ordinal: number;
}

/** Chunking the same generation again yields the same ids, so a repeated write replaces itself. */
export function chunkId(chunk: ChunkIdentity): string {
  const name = [chunk.document_id, chunk.chunker_name, chunk.chunker_version, chunk.generation, chunk.ordinal];
  return v5(`chunk:${name.join(":")}`, NAMESPACE);
}
