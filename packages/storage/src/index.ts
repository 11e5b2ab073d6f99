export { createDiskStore, type DiskStore, type DiskStoreOptions, type StoredFile } from "./disk-store.ts";
export { DOWNLOAD_ROUTE } from "./download-link.ts";
export { loadOrCreateSecret } from "./load-or-create-secret.ts";
export type {
  ListableStore,
  ListedObject,
  ObjectStat,
  ObjectStore,
  ResumableOffer,
  SignDownloadOptions,
  SignedUpload,
  SignUploadInput,
} from "./object-store.ts";
export type { ResumableRequest, ServeResumable } from "./receive-resumable.ts";
export type { ReceivedUpload, UploadRequest } from "./receive-upload.ts";
export { createSupabaseStore, type SupabaseStore, type SupabaseStoreOptions } from "./supabase-store.ts";
export { RESUMABLE_ROUTE, RESUMABLE_TOKEN_HEADER, UPLOAD_BUCKET, UPLOAD_ROUTE } from "./upload-link.ts";
