import type { Readable } from "node:stream";

/**
 * Where the uploaded files are. Frontends put a file in with a signed link, the worker reads it.
 *
 * A key is one to four lower-case UUIDs joined by "/". Rows written by hand may hold anything else as
 * their path: nothing can be stored under such a key, so to every reading call it is "not there".
 */
export interface ObjectStore {
  readonly kind: "disk" | "supabase";

  /**
   * A link that takes one file until it expires. Errors: `invalid_object_key`, `invalid_upload_promise`, transient
   * `storage_unavailable`; Supabase signs none for a file that is there, a conflict `upload_already_received`.
   */
  signUpload(input: SignUploadInput): Promise<SignedUpload>;

  /** Undefined is "not there", and only that; whatever else goes wrong throws a transient `storage_unavailable`. */
  stat(key: string): Promise<ObjectStat | undefined>;

  /**
   * The object's bytes. Errors: permanent `object_not_found`, transient `storage_unavailable`; a fault halfway
   * destroys the stream with the same transient error. After an abort the stream ends with the AbortError.
   */
  download(key: string, options: { signal?: AbortSignal }): Promise<Readable>;

  /**
   * A link that anybody can read the object with until it expires, as a download and not as a page. It says nothing of
   * whether the object is there. Errors: `object_not_found` (permanent), transient `storage_unavailable`.
   */
  signDownload(key: string, options: SignDownloadOptions): Promise<string>;

  /** Keys that are not there are skipped. Errors: transient `storage_unavailable`; what was removed stays removed. */
  remove(keys: string[]): Promise<void>;

  /** Writes, reads and deletes a probe object; throws a transient error that names the step that failed. */
  check(): Promise<void>;
}

/** What only a comparison of storage with the database needs. */
export interface ListableStore extends ObjectStore {
  /**
   * Every object whose name is a key, in no order; what comes or goes meanwhile may or may not be among them. Errors:
   * transient `storage_unavailable`.
   */
  list(): AsyncIterable<ListedObject>;
}

export interface ListedObject {
  key: string;
  bytes_len: number;
  stored_at: Date;
}

export interface SignUploadInput {
  key: string;
  /** The media type that the PUT will declare, parameters aside. */
  mime: string;
  /** The exact length that the PUT will have. */
  bytes_len: number;
  /** Supabase has one expiry for all links and ignores this. */
  expiresInSeconds: number;
}

export interface SignedUpload {
  url: string;
  method: "PUT";
  headers: Record<string, string>;
  bucket: string;
  path: string;
  token: string;
  resumable: ResumableOffer;
}

/** Where the same file can be sent piece by piece by the tus protocol 1.0.0, instead of with the PUT. */
export interface ResumableOffer {
  /** Takes the POST that begins the upload. */
  url: string;
  /** For every request of the upload; they hold the link's token. */
  headers: Record<string, string>;
  /** For the POST: what `Upload-Metadata` must say. */
  metadata: Record<string, string>;
  /** The length of every piece but the last. */
  chunk_bytes: number;
}

export interface SignDownloadOptions {
  expiresInSeconds: number;
  /** What a browser saves the file as. */
  filename: string;
  /** Supabase keeps the type of each object itself and ignores this. */
  mime: string;
}

export interface ObjectStat {
  bytes_len: number;
}
