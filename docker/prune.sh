#!/bin/sh
# Run while an image is built: leaves the named apps, the packages that they link to, and of their dependencies what runs.
set -eu
keep=" $* "
for app in apps/*; do
  case "$keep" in *" ${app#apps/} "*) ;; *) rm -rf "$app" ;; esac
done
# What no app linked to has no dependencies installed either.
for package in packages/*; do
  linked=$(find apps/*/node_modules packages/*/node_modules -maxdepth 2 -name "${package#packages/}" -path '*@pipeline*' | head -1)
  [ -n "$linked" ] || rm -rf "$package"
done
find . -mindepth 1 -maxdepth 1 ! -name apps ! -name packages ! -name migrations ! -name node_modules ! -name package.json \
  -exec rm -rf {} +
find apps packages -path '*/node_modules' -prune -o \( -name '*.test.ts' -o -name '*.suite.ts' -o -name '*.fixture.ts' -o -name testing \) \
  -exec rm -rf {} +
# Maps, types, sources and builds for browsers: Node loads none of them.
cd node_modules
find . -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.md' -o -name '*.markdown' \) -delete
find . -type d \( -name test -o -name tests -o -name __tests__ -o -name docs -o -name examples \) -path './.pnpm/*/node_modules/*' \
  ! -path '*/dist/*' ! -path '*/lib/*' ! -path '*/build/*' -prune -exec rm -rf {} +
rm -rf .pnpm/openai@*/node_modules/openai/src .pnpm/zod@*/node_modules/zod/src
for pdfjs in .pnpm/pdfjs-dist@*/node_modules/pdfjs-dist; do
  [ -d "$pdfjs" ] || continue
  find "$pdfjs" -mindepth 1 -maxdepth 1 ! -name legacy ! -name package.json ! -name cmaps ! -name standard_fonts ! -name wasm ! -name iccs ! -name LICENSE \
    -exec rm -rf {} +
done
