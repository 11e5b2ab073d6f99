export { createDiskStore, type DiskStore, type DiskStoreOptions } from "./disk-store.ts";
export { loadOrCreateSecret } from "./load-or-create-secret.ts";
export type {
  ListableStore,
  ListedObject,
  ObjectStat,
  ObjectStore,
  SignedUpload,
  SignUploadInput,
} from "./object-store.ts";
export type { ReceivedUpload, UploadRequest } from "./receive-upload.ts";
export {
  createSupabaseStore,
  type SignDownloadOptions,
  type SupabaseStore,
  type SupabaseStoreOptions,
} from "./supabase-store.ts";
export { UPLOAD_ROUTE } from "./upload-link.ts";
