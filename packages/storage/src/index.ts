export { createDiskStore, type DiskStore, type DiskStoreOptions } from "./disk-store.ts";
export { loadOrCreateSecret } from "./load-or-create-secret.ts";
export type {
  ListableStore,
  ListedObject,
  ObjectStat,
  ObjectStore,
  ResumableOffer,
  SignedUpload,
  SignUploadInput,
} from "./object-store.ts";
export type { ResumableRequest, ServeResumable } from "./receive-resumable.ts";
export type { ReceivedUpload, UploadRequest } from "./receive-upload.ts";
export {
  createSupabaseStore,
  type SignDownloadOptions,
  type SupabaseStore,
  type SupabaseStoreOptions,
} from "./supabase-store.ts";
export { RESUMABLE_ROUTE, RESUMABLE_TOKEN_HEADER, UPLOAD_BUCKET, UPLOAD_ROUTE } from "./upload-link.ts";
